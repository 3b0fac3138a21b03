-- Who may say whether insights are right: analysts, and the legacy application. INSERT of its own columns into one view, and
-- nothing else: no insight, no row and no verdict of others can be read, and none be changed (docs/evaluation.md).
-- By a superuser, after each `insights migrate`, where it is wanted at all; repeating it changes nothing. Then: GRANT insights_reviewer TO helpdesk;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'insights_reviewer') THEN
        CREATE ROLE insights_reviewer NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO insights_reviewer', current_database());
END $$;
GRANT USAGE ON SCHEMA insights TO insights_reviewer;
GRANT INSERT (insight_id, pipeline, row_key, verdict, corrected) ON insights.verdict TO insights_reviewer;
