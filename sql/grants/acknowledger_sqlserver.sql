-- The login that tells a SQL Server application that its marked rows are done (acknowledge, reject): it finds rows by their
-- key and changes one column, and nothing else. Run on the primary as sysadmin. Put your own database in the place of
-- helpdesk, a secret in the place of CHANGE-ME, your key and mark in the place of ticket_id and ai_status. Parsed in this
-- project's tests, not run there.

CREATE LOGIN insights_acknowledger WITH PASSWORD = 'CHANGE-ME', DEFAULT_DATABASE = helpdesk;
GO
USE helpdesk;
GO
CREATE USER insights_acknowledger FOR LOGIN insights_acknowledger;
GRANT SELECT (ticket_id, ai_status) ON OBJECT::dbo.ticket TO insights_acknowledger;
GRANT UPDATE (ai_status) ON OBJECT::dbo.ticket TO insights_acknowledger;
DENY INSERT, DELETE, EXECUTE, ALTER TO insights_acknowledger;
GO
