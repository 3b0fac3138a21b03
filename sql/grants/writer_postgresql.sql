-- The publisher's login on a PostgreSQL database that shows insights: three rights on one table, and nothing else.
-- Run in the legacy database by the table's owner or a superuser, after what `insights sink ddl NAME` printed; then
-- \password insights_writer. No DELETE: deleted rows are shown as tombstones, so that a late state cannot revive them.

CREATE ROLE insights_writer LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 4;
GRANT USAGE ON SCHEMA public TO insights_writer;
GRANT SELECT, INSERT, UPDATE ON public.ai_insight_triage TO insights_writer;

-- What the legacy application's own login may read.
-- GRANT SELECT ON public.ticket_with_insight TO legacy_application;
