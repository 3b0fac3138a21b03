-- The reader's login on a MariaDB or MySQL replica: SELECT on the tables it reads, and nothing else.
-- Run on the primary (accounts replicate) as an administrator, in the legacy database. Put your own tables in the place of
-- ticket, one line each, the daemon's host in the place of %, and a secret in the place of CHANGE-ME.

CREATE USER 'insights_reader'@'%' IDENTIFIED BY 'CHANGE-ME' WITH MAX_USER_CONNECTIONS 4;
GRANT SELECT ON ticket TO 'insights_reader'@'%';

-- Optional: replication lag in `insights status` where there is no heartbeat table (MariaDB 10.5; MySQL: REPLICATION CLIENT).
-- GRANT SLAVE MONITOR ON *.* TO 'insights_reader'@'%';
