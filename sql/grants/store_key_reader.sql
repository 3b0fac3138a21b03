-- Who may go from the keyed hash of a personal key to the key: members of this role, and nobody else but the daemon.
-- By a superuser (the role) and the owner (the grants), after `insights migrate`, where it is wanted at all.

-- A group without a login; GRANT insights_key_reader TO anna;
CREATE ROLE insights_key_reader NOLOGIN;
GRANT USAGE ON SCHEMA store TO insights_key_reader;
GRANT SELECT ON store.shown_key TO insights_key_reader;
-- `insights key find` looks whether the schema is the program's.
GRANT SELECT ON public.insights_schema_version TO insights_key_reader;
