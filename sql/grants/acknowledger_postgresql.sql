-- The login that tells a PostgreSQL application that its marked rows are done (acknowledge, reject): it finds rows by their
-- key and changes one column, and nothing else. Run on the primary by the table's owner or a superuser; then
-- \password insights_acknowledger. Put your key and mark in the place of ticket_id and ai_status.

CREATE ROLE insights_acknowledger LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 4;
GRANT USAGE ON SCHEMA public TO insights_acknowledger;
GRANT SELECT (ticket_id, ai_status), UPDATE (ai_status) ON public.ticket TO insights_acknowledger;
