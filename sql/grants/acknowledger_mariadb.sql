-- The login that tells a MariaDB or MySQL application that its marked rows are done (acknowledge, reject): it finds rows by
-- their key and changes one column, and nothing else. Run on the primary as an administrator. Put the daemon's host in the
-- place of %, a secret in the place of CHANGE-ME, your key and mark in the place of ticket_id and ai_status.

CREATE USER 'insights_acknowledger'@'%' IDENTIFIED BY 'CHANGE-ME' WITH MAX_USER_CONNECTIONS 4;
GRANT SELECT (ticket_id, ai_status), UPDATE (ai_status) ON ticket TO 'insights_acknowledger'@'%';
