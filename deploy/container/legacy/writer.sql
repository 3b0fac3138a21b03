-- The publisher's rights, after the table is there; sql/grants/writer_mariadb.sql says why these three.
GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO 'insights_writer'@'%';
