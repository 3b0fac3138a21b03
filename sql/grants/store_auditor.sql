-- Who may check and take along the audit: every event, and what each insight says, of which its hash is computed. Changes nothing.
-- By a superuser, after each `insights migrate`, where it is wanted at all; repeating it changes nothing. Then: GRANT insights_auditor TO anna;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'insights_auditor') THEN
        CREATE ROLE insights_auditor NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO insights_auditor', current_database());
END $$;
GRANT USAGE ON SCHEMA store TO insights_auditor;
GRANT SELECT ON public.insights_schema_version TO insights_auditor;
GRANT SELECT ON store.audit_event, store.audit_chain TO insights_auditor;
GRANT SELECT (insight_id, row_id, pipeline_version_id, status, reason, output, generated_at, notes) ON store.insight TO insights_auditor;
GRANT SELECT (insight_id, ordinal, field, source, passage_id, uri) ON store.citation TO insights_auditor;
GRANT SELECT (row_id, stream, shown_key) ON store.shown_key TO insights_auditor;
GRANT SELECT ON store.pipeline, store.pipeline_version TO insights_auditor;
