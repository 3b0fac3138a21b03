-- The publisher's login on a SQL Server database that shows insights: three rights on one table, and nothing else.
-- Run as sysadmin, after what `insights sink ddl NAME --dialect mssql` printed. Put your own database in the place of
-- helpdesk, a secret in the place of CHANGE-ME. Generated and parsed in this project's tests, not run there.

CREATE LOGIN insights_writer WITH PASSWORD = 'CHANGE-ME', DEFAULT_DATABASE = helpdesk;
GO
USE helpdesk;
GO
CREATE USER insights_writer FOR LOGIN insights_writer;
GRANT SELECT, INSERT, UPDATE ON OBJECT::dbo.ai_insight_triage TO insights_writer;
DENY DELETE, EXECUTE, ALTER TO insights_writer;
GO
-- What the legacy application's own login may read.
-- GRANT SELECT ON OBJECT::dbo.ticket_with_insight TO legacy_application;
