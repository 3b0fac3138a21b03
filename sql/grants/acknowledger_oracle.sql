-- The login that tells an Oracle application that its marked rows are done (acknowledge, reject): it reads the table, which
-- Oracle grants as a whole only, and changes one column. Run on the primary as a DBA. A secret in the place of CHANGE-ME,
-- your mark in the place of ai_status. Parsed in this project's tests, not run there.

CREATE USER insights_acknowledger IDENTIFIED BY "CHANGE-ME" QUOTA 0 ON users;
GRANT CREATE SESSION TO insights_acknowledger;
GRANT SELECT ON helpdesk.ticket TO insights_acknowledger;
GRANT UPDATE (ai_status) ON helpdesk.ticket TO insights_acknowledger;
