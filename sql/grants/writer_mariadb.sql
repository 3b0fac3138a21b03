-- The publisher's login on a MariaDB or MySQL database that shows insights: three rights on one table, and nothing else.
-- Run in the legacy database as an administrator, after what `insights sink ddl NAME` printed. Put the daemon's host in the
-- place of %, a secret in the place of CHANGE-ME. No DELETE: deleted rows are shown as tombstones.

CREATE USER 'insights_writer'@'%' IDENTIFIED BY 'CHANGE-ME' WITH MAX_USER_CONNECTIONS 4;
GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO 'insights_writer'@'%';

-- What the legacy application's own login may read.
-- GRANT SELECT ON ticket_with_insight TO 'legacy_application'@'%';
