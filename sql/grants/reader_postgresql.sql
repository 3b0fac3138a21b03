-- The reader's login on a PostgreSQL replica: SELECT on the tables it reads, and nothing else.
-- Run on the primary, in the legacy database (roles replicate), as its owner or a superuser; then \password insights_reader.
-- Put your own tables in the place of public.ticket, one line each.

CREATE ROLE insights_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 4;
ALTER ROLE insights_reader SET default_transaction_read_only = on;
ALTER ROLE insights_reader SET statement_timeout = '60s';
ALTER ROLE insights_reader SET idle_in_transaction_session_timeout = '60s';

GRANT USAGE ON SCHEMA public TO insights_reader;
GRANT SELECT ON public.ticket TO insights_reader;
