-- Who may run a site from the command line: status, budgets, pause and resume, drain, dead letters, versions, backfill, what a sink
-- refused. No texts: not what insights say, no citation, no passage, no key that is personal.
-- By a superuser, after each `insights migrate`, where it is wanted at all; repeating it changes nothing. Then: GRANT insights_operator TO otto;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'insights_operator') THEN
        CREATE ROLE insights_operator NOLOGIN;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO insights_operator', current_database());
END $$;
GRANT USAGE ON SCHEMA store, insights TO insights_operator;
GRANT SELECT ON public.insights_schema_version TO insights_operator;

-- How things stand. Of insights what they cost and where they belong, of rows what they are known by; never what they say.
GRANT SELECT ON insights.completeness, insights.completeness_counted, insights.deployment, store.counted, store.counted_sink TO insights_operator;
GRANT SELECT ON store.stream, store.pipeline, store.pipeline_version, store.deployment, store.watch, store.sink, store.daemon, store.work, store.work_page, store.lease,
    store.budget_standing, store.plan, store.fact, store.forgotten, store.current_insight TO insights_operator;
GRANT SELECT (insight_id, row_id, input_hash, pipeline_version_id, generated_at, shared, prompt_tokens, reused_tokens, sampled_tokens,
              forced_tokens, prompt_ms, decode_ms, compute_ms, money, route) ON store.insight TO insights_operator;
GRANT SELECT (number, door, attempts, sent_at, given_up_at, reason) ON store.reply TO insights_operator;
GRANT SELECT (insight_id, pipeline_version_id, verdict) ON store.feedback TO insights_operator;
GRANT SELECT (row_id, stream, shown_key) ON store.shown_key TO insights_operator;
GRANT SELECT (row_id, stream_id, input_hash, hash_version, gone_at) ON store.ledger TO insights_operator;
GRANT SELECT (row_id) ON store.inbox TO insights_operator;
GRANT SELECT (sink_id, row_id, revision, shows, delivered_at, error) ON store.outbox TO insights_operator;

-- What was done to a dead row, and which version was live when.
GRANT SELECT ON store.audit_event, store.audit_chain TO insights_operator;
GRANT EXECUTE ON FUNCTION store.append_events(text, jsonb) TO insights_operator;

-- Streams are paused and resumed; daemons are asked to drain by a lease.
GRANT UPDATE (paused, stopped_reason, shape) ON store.stream TO insights_operator;
GRANT INSERT, UPDATE ON store.lease TO insights_operator;

-- Dead letters begin anew, and what a sink refused is told again.
GRANT INSERT, UPDATE ON store.work TO insights_operator;
GRANT SELECT, UPDATE ON store.request TO insights_operator;
GRANT UPDATE (not_before, attempts, error) ON store.outbox TO insights_operator;

-- Stages of versions are changed by this function alone, which writes its event too: no daemon may. And the full version of a
-- pipeline does all rows.
REVOKE INSERT, UPDATE ON store.deployment FROM insights_operator;
GRANT EXECUTE ON FUNCTION store.set_stage(integer, text, double precision, text, text, boolean, jsonb) TO insights_operator;
GRANT INSERT (name), UPDATE (name) ON store.pipeline TO insights_operator;
