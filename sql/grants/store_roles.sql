-- The store's roles. Once, by a superuser, in the store's database (CREATE DATABASE insights first).
-- Then give each login a secret: \password insights_owner, \password insights_daemon, ...

-- Runs `insights migrate`, owns both schemas, and is never the daemon.
CREATE ROLE insights_owner LOGIN;
-- The daemon: reads and writes rows, holds no DDL right, cannot change what is history.
CREATE ROLE insights_daemon LOGIN;
-- Analysts: a group without a login; GRANT insights_analyst TO anna;
CREATE ROLE insights_analyst NOLOGIN;

-- The extension once, so that the owner needs no superuser.
CREATE EXTENSION IF NOT EXISTS vector;

-- Schema public holds the extension and the table with the schema's version, and takes nothing else.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO insights_owner;

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO insights_owner', current_database());
    -- TEMPORARY: pages of a poll arrive by COPY in a temporary table.
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO insights_daemon', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO insights_analyst', current_database());
END $$;
