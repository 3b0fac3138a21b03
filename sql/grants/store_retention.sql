-- Who may take things away, and only through functions that leave a sealed summary or empty events (docs/audit.md,
-- docs/forgetting.md): old events of the audit (SELECT * FROM store.seal_events(now() - interval '2 years');, say once a month),
-- and rows (`insights forget`). Reads no row, no event, no text.
-- By a superuser, after each `insights migrate`, where it is wanted at all; repeating it changes nothing. Then: GRANT insights_retention TO anna;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'insights_retention') THEN
        CREATE ROLE insights_retention NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO insights_retention', current_database());
END $$;
GRANT USAGE ON SCHEMA store TO insights_retention;
GRANT SELECT ON public.insights_schema_version TO insights_retention;
GRANT EXECUTE ON FUNCTION store.seal_events(timestamptz) TO insights_retention;

-- Forgetting rows, and letting one in again; how far it is, and which sinks are waited for.
GRANT EXECUTE ON FUNCTION store.forget(text, text, text[], boolean), store.forget_more(), store.allow_again(text, text)
    TO insights_retention;

-- Insights that are too old, a number of them at a time (`[retention]`).
GRANT EXECUTE ON FUNCTION store.expire_insights(timestamptz, integer) TO insights_retention;
GRANT SELECT ON store.forgotten, store.sink TO insights_retention;
GRANT SELECT (sink_id, row_id, delivered_at) ON store.outbox TO insights_retention;
