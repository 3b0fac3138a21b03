-- The reader's login on a SQL Server secondary: SELECT on the tables it reads, and nothing else.
-- Run on the primary as sysadmin (on availability groups create the login on each replica with the same SID).
-- Put your own database and tables in the place of helpdesk and dbo.ticket, a secret in the place of CHANGE-ME.
-- Connect with ApplicationIntent=ReadOnly. Generated and parsed in this project's tests, not run there.

CREATE LOGIN insights_reader WITH PASSWORD = 'CHANGE-ME', DEFAULT_DATABASE = helpdesk;
GO
USE helpdesk;
GO
CREATE USER insights_reader FOR LOGIN insights_reader;
GRANT SELECT ON OBJECT::dbo.ticket TO insights_reader;
DENY INSERT, UPDATE, DELETE, EXECUTE, ALTER TO insights_reader;
GO
-- Optional: the replica's position and lag (sys.dm_hadr_database_replica_states).
-- USE master; GRANT VIEW SERVER STATE TO insights_reader;
