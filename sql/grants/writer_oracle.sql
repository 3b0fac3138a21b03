-- The publisher's login on an Oracle database that shows insights: three rights on one table, and nothing else.
-- Run as a DBA, after what `insights sink ddl NAME --dialect oracle` printed, as the schema helpdesk. A secret in the place
-- of CHANGE-ME. Generated and parsed in this project's tests, not run there.

CREATE USER insights_writer IDENTIFIED BY "CHANGE-ME" QUOTA 0 ON users;
GRANT CREATE SESSION TO insights_writer;
GRANT SELECT, INSERT, UPDATE ON helpdesk.ai_insight_triage TO insights_writer;

-- What the legacy application's own login may read.
-- GRANT SELECT ON helpdesk.ticket_with_insight TO legacy_application;
