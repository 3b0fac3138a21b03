-- The reader's login on an Oracle standby: READ on the tables it reads, and nothing else. READ (12.1 on) is SELECT without
-- FOR UPDATE: it cannot lock a row. Run on the primary as a DBA. Put your own tables in the place of helpdesk.ticket, a
-- secret in the place of CHANGE-ME. Generated and parsed in this project's tests, not run there.

CREATE USER insights_reader IDENTIFIED BY "CHANGE-ME" QUOTA 0 ON users;
GRANT CREATE SESSION TO insights_reader;
GRANT READ ON helpdesk.ticket TO insights_reader;

-- Optional: the replica's position (CURRENT_SCN).
-- GRANT READ ON sys.v_$database TO insights_reader;
