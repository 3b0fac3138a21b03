-- What the daemon may do in the store. By the owner, after each `insights migrate`; repeating it changes nothing.
-- No TRUNCATE, no DDL. History cannot be rewritten: insights (but for the hash of
-- their inputs), citations and audit events are only ever added.

GRANT USAGE ON SCHEMA store, insights TO insights_daemon;
GRANT SELECT ON ALL TABLES IN SCHEMA store TO insights_daemon;
GRANT SELECT ON public.insights_schema_version TO insights_daemon;
GRANT SELECT ON insights.completeness, insights.completeness_counted, insights.deployment TO insights_daemon;

-- Added to, never changed.
-- A rotated hash key gives an insight the new hash of the same inputs.
GRANT UPDATE (input_hash) ON store.insight TO insights_daemon;
GRANT INSERT ON store.insight, store.citation, store.setting, store.plan TO insights_daemon;

-- Audit events are written by this function alone: it gives them their number, time, login and hash.
GRANT EXECUTE ON FUNCTION store.append_events(text, jsonb) TO insights_daemon;

-- A row that was forgotten and is read again is counted. What somebody with the right has asked for, the daemon ends: what it
-- has not been asked for it cannot forget.
GRANT UPDATE (held_back) ON store.forgotten TO insights_daemon;
GRANT EXECUTE ON FUNCTION store.forget_more(), store.kept_out(text, text[]) TO insights_daemon;

-- Facts about streams, pipelines and sinks, and where each stands.
GRANT INSERT, UPDATE ON store.pipeline, store.pipeline_version, store.stream, store.sink TO insights_daemon;

-- Stages are changed by functions: a version never seen before, and a schedule that an operator made. What the settings say
-- of a version, and why it is stopped, the daemon writes itself. store_operator.sql has who promotes.
REVOKE INSERT, UPDATE ON store.deployment FROM insights_daemon;
GRANT UPDATE (sink_id) ON store.deployment TO insights_daemon;
GRANT UPDATE (columns) ON store.deployment TO insights_daemon;
GRANT UPDATE (stopped_reason) ON store.deployment TO insights_daemon;
GRANT EXECUTE ON FUNCTION store.deploy_version(integer, integer, integer, text[], text, text) TO insights_daemon;
GRANT EXECUTE ON FUNCTION store.raise_shares(text) TO insights_daemon;
-- A version that breaks a guard loses its share, or does not get more; none gets one so.
GRANT EXECUTE ON FUNCTION store.withdraw_version(integer, text, text, boolean) TO insights_daemon;
GRANT INSERT, UPDATE ON store.watch TO insights_daemon;
-- What columns of a legacy table say of insights that are shown; what people say, no daemon can write.
GRANT EXECUTE ON FUNCTION store.column_verdicts(text, jsonb) TO insights_daemon;

-- Known rows, work to be done, which insight is current, what sinks shall show, and what marked rows were told.
GRANT INSERT, UPDATE ON store.ledger, store.work, store.current_insight, store.outbox, store.request TO insights_daemon;

-- What of a first load waits as pages; claims make work of them.
GRANT INSERT, UPDATE, DELETE ON store.work_page TO insights_daemon;
GRANT EXECUTE ON FUNCTION store.enter_page(integer, smallint, integer[], boolean, boolean) TO insights_daemon;
GRANT EXECUTE ON FUNCTION store.queue_pages(bigint[]) TO insights_daemon;

-- Requests that came in through doors: their fields go when they are no longer needed, idempotency keys too.
GRANT INSERT, UPDATE ON store.inbox TO insights_daemon;
GRANT INSERT, DELETE ON store.submission TO insights_daemon;
GRANT INSERT, UPDATE, DELETE ON store.reply TO insights_daemon;

-- What may be spent, what was, and which versions are under it; a version that is no longer is taken out.
GRANT INSERT, UPDATE ON store.budget TO insights_daemon;
GRANT INSERT, UPDATE, DELETE ON store.budgeted TO insights_daemon;

-- Which daemons run; one that ends takes its word back.
GRANT INSERT, UPDATE, DELETE ON store.daemon TO insights_daemon;

-- Leases change hands; the rows stay, for their epochs.
GRANT INSERT, UPDATE ON store.lease TO insights_daemon;

-- Sweeps; the bitmaps of finished ones are dropped.
GRANT INSERT, UPDATE ON store.sweep TO insights_daemon;
GRANT INSERT, UPDATE, DELETE ON store.sweep_block TO insights_daemon;

-- Where rows stood when they were last counted.
GRANT INSERT, UPDATE, DELETE ON store.counted TO insights_daemon;
GRANT INSERT, UPDATE ON store.counted_sink TO insights_daemon;

-- How late rows are found; days long past are dropped.
GRANT INSERT, UPDATE, DELETE ON store.lateness TO insights_daemon;

-- Knowledge: documents that are gone go; their passages and vectors with them.
GRANT INSERT, UPDATE ON store.collection TO insights_daemon;
GRANT INSERT ON store.embedding, store.embedding_model, store.collection_model TO insights_daemon;
-- What a served embedding model makes of the check text is stored when it is first used.
GRANT UPDATE (check_vector) ON store.embedding_model TO insights_daemon;
GRANT INSERT, UPDATE, DELETE ON store.document TO insights_daemon;
GRANT INSERT, DELETE ON store.passage, store.lexeme TO insights_daemon;
-- SELECT ... FOR KEY SHARE needs the right to update some column; identities cannot be changed.
GRANT UPDATE (passage_id) ON store.passage TO insights_daemon;

-- Revisions: nextval for each state, setval only to lift the counter above a sink's.
GRANT SELECT, USAGE, UPDATE ON SEQUENCE store.revision TO insights_daemon;
