"""The store: streams, ledger, work, insights, knowledge, outbox, audit and usage.

Revision: 0001
Previous: none
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Two schemas: `store` is the daemon's own; `insights` holds what analysts read. DBAs grant on schemas, not on tables.
# Text columns with CHECK instead of enum types: a CHECK is altered in one short statement, an enum never shrinks.
UPGRADE = """
CREATE SCHEMA store;
CREATE SCHEMA insights;
COMMENT ON SCHEMA store IS 'Working tables of the insights daemon; nobody else writes here';
COMMENT ON SCHEMA insights IS 'Read-only views for analysts';

CREATE TABLE store.setting (
    name text PRIMARY KEY,
    value text NOT NULL
);
COMMENT ON TABLE store.setting IS
    'Facts the daemon checks at start, such as the check value of the hash key. Never a secret';

CREATE TABLE store.lease (
    name text PRIMARY KEY,
    holder text NOT NULL,
    token uuid NOT NULL,
    epoch bigint NOT NULL DEFAULT 1,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE store.lease IS
    'Who polls, sweeps or publishes what. epoch grows with every change of hands and fences late writers';

CREATE TABLE store.pipeline (
    pipeline_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);
CREATE TABLE store.pipeline_version (
    pipeline_version_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pipeline_id integer NOT NULL REFERENCES store.pipeline,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (pipeline_id, sha256)
);
COMMENT ON COLUMN store.pipeline_version.definition IS
    'Canonical JSON that the SHA-256 was taken over: template, schema, retrieval, model hashes, sampling, redaction';

CREATE TABLE store.stream (
    stream_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    pipeline_version_id integer REFERENCES store.pipeline_version,
    paused boolean NOT NULL DEFAULT false,
    stopped_reason text,
    epoch integer NOT NULL DEFAULT 1,
    identity text,
    position text,
    watermark text,
    pass jsonb,
    passes jsonb NOT NULL DEFAULT '[]',
    window_read jsonb,
    sweep_due boolean NOT NULL DEFAULT true,
    baselined boolean NOT NULL DEFAULT false,
    overlap_s double precision,
    hash_version smallint NOT NULL DEFAULT 1,
    shape jsonb,
    last_poll_at timestamptz,
    last_error text,
    complete_through timestamptz,
    lag_s double precision,
    missed_rows bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE store.stream IS 'One legacy table or query: its switch (paused), watermark, bookmark and health';
COMMENT ON COLUMN store.stream.paused IS 'The DBA''s switch: UPDATE store.stream SET paused = true stops reading at once';
COMMENT ON COLUMN store.stream.watermark IS 'Cursor as the source''s own text; a hint that makes polling cheap';
COMMENT ON COLUMN store.stream.pass IS 'The unfinished pass: bookmark, mark taken before it, when it began';
COMMENT ON COLUMN store.stream.passes IS
    'Complete passes whose mark the watermark has not reached: when each began, and its largest safe cursor';
COMMENT ON COLUMN store.stream.window_read IS
    'Count, lowest and highest cursor above the watermark when it was last read, and how often it was skipped since';
COMMENT ON COLUMN store.stream.shape IS 'Columns and types as first read; one that vanishes or changes stops the stream';
COMMENT ON COLUMN store.stream.baselined IS 'With a start policy: older rows are in the ledger, without work';
COMMENT ON COLUMN store.stream.missed_rows IS 'Rows that a sweep had to rescue';

-- Ten million rows live here: fixed-width columns first, the hash as uuid (16 bytes without a length word).
CREATE TABLE store.ledger (
    row_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    insight_id bigint,
    gone_at timestamptz,
    input_hash uuid NOT NULL,
    stream_id integer NOT NULL REFERENCES store.stream,
    hash_version smallint NOT NULL,
    row_key text NOT NULL,
    cursor text,
    UNIQUE (stream_id, row_key)
) WITH (fillfactor = 90);
COMMENT ON TABLE store.ledger IS 'Every row known of every stream: key, keyed hash of its inputs, its current insight';
COMMENT ON COLUMN store.ledger.input_hash IS 'BLAKE2b-128 keyed with the credential hash_key, which is never in this store';
COMMENT ON COLUMN store.ledger.gone_at IS 'When sweeps found the row deleted; cleared when it comes back';

-- No foreign key to the ledger: ledger rows are never deleted while work exists, and the check would cost a first load
-- of ten million rows ten million look-ups.
CREATE TABLE store.work (
    work_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_id bigint NOT NULL,
    input_hash uuid NOT NULL,
    lease_token uuid,
    lease_until timestamptz,
    not_before timestamptz NOT NULL DEFAULT now(),
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    stream_id integer NOT NULL,
    pipeline_version_id integer NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    expiries smallint NOT NULL DEFAULT 0,
    isolated boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'claimed', 'done', 'dead', 'superseded', 'missing', 'cancelled')),
    holder text,
    reason text,
    UNIQUE (row_id, input_hash, pipeline_version_id),
    CHECK ((state = 'claimed') = (lease_token IS NOT NULL)),
    CHECK ((state = 'claimed') = (lease_until IS NOT NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE store.work IS 'One (row, input hash, pipeline version) to be done; the unique key makes it done once';
COMMENT ON COLUMN store.work.expiries IS 'How often a lease ran out because a daemon died; three times isolates';
COMMENT ON COLUMN store.work.isolated IS 'A generator died with this row in flight: it runs alone until it is cleared';
CREATE INDEX work_ready ON store.work (stream_id, work_id) WHERE state = 'pending';
CREATE INDEX work_leased ON store.work (lease_until) WHERE state = 'claimed';
CREATE INDEX work_dead ON store.work (stream_id, work_id) WHERE state = 'dead';
CREATE INDEX work_missing ON store.work (stream_id, work_id) WHERE state = 'missing';

CREATE TABLE store.insight (
    insight_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_id bigint NOT NULL REFERENCES store.ledger,
    pipeline_version_id integer NOT NULL REFERENCES store.pipeline_version,
    input_hash uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('ok', 'abstained', 'withheld')),
    reason text,
    output jsonb,
    model text,
    route text,
    quotes_by text CHECK (quotes_by IN ('construction', 'check')),
    shared boolean NOT NULL DEFAULT false,
    confidence real,
    source_cursor text,
    redactions jsonb NOT NULL DEFAULT '{}',
    notes text[] NOT NULL DEFAULT '{}',
    generated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (row_id, input_hash, pipeline_version_id),
    CHECK (status = 'ok' OR reason IS NOT NULL),
    CHECK (status <> 'ok' OR output IS NOT NULL)
);
COMMENT ON TABLE store.insight IS 'Validated output for exactly one input hash and pipeline version; never updated';
ALTER TABLE store.ledger ADD CONSTRAINT ledger_insight_fk FOREIGN KEY (insight_id) REFERENCES store.insight;

CREATE TABLE store.collection (
    collection_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    language text NOT NULL DEFAULT 'english',
    passages bigint NOT NULL DEFAULT 0,
    mean_tokens real NOT NULL DEFAULT 1,
    changed_passages bigint NOT NULL DEFAULT 0,
    synced_at timestamptz,
    problems jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON COLUMN store.collection.passages IS
    'With mean_tokens and store.lexeme: what BM25 needs to know; refreshed when 5 % of the passages have changed';
COMMENT ON COLUMN store.collection.problems IS 'Documents the last sync could not use, and why';
CREATE TABLE store.lexeme (
    collection_id integer NOT NULL REFERENCES store.collection,
    lexeme text NOT NULL,
    passages integer NOT NULL,
    PRIMARY KEY (collection_id, lexeme)
);
COMMENT ON TABLE store.lexeme IS
    'In how many passages of a collection a word occurs: how much a match of it says';
CREATE TABLE store.embedding_model (
    model_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, sha256)
);
COMMENT ON TABLE store.embedding_model IS 'Every vector names its model; a changed model embeds beside the old vectors';
CREATE TABLE store.collection_model (
    collection_id integer NOT NULL REFERENCES store.collection,
    model_id smallint NOT NULL REFERENCES store.embedding_model,
    completed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_id, model_id)
);
COMMENT ON TABLE store.collection_model IS
    'Every passage of the collection has had a vector of the model: search may use it';
CREATE TABLE store.document (
    document_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collection_id integer NOT NULL REFERENCES store.collection,
    uri text NOT NULL,
    title text NOT NULL,
    content_hash uuid NOT NULL,
    bytes bigint NOT NULL DEFAULT 0,
    indexed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (collection_id, uri)
);
COMMENT ON COLUMN store.document.uri IS 'Path relative to the collection''s folder, or the row key of a stream';
CREATE TABLE store.passage (
    passage_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document_id bigint NOT NULL REFERENCES store.document ON DELETE CASCADE,
    collection_id integer NOT NULL REFERENCES store.collection,
    ordinal integer NOT NULL,
    heading text NOT NULL DEFAULT '',
    content text NOT NULL,
    tokens integer NOT NULL,
    filters text[] NOT NULL DEFAULT '{}',
    search tsvector NOT NULL,
    UNIQUE (document_id, ordinal)
) WITH (toast_tuple_target = 4080);
COMMENT ON TABLE store.passage IS
    'Pieces of documents. Kept out of TOAST: ranking reads `search` of some hundred passages a query';
COMMENT ON COLUMN store.passage.filters IS
    '`name=value` of every declared filter; an array, so that the planner has statistics of each value';
COMMENT ON COLUMN store.passage.search IS
    'Title and headings with weight A, text with D, exact codes (`=e1234`) with A';
CREATE INDEX passage_filters ON store.passage USING gin (filters) WITH (fastupdate = off);
CREATE INDEX passage_search ON store.passage USING gin (search) WITH (fastupdate = off);
CREATE INDEX passage_collection ON store.passage (collection_id);
CREATE TABLE store.embedding (
    passage_id bigint NOT NULL REFERENCES store.passage ON DELETE CASCADE,
    model_id smallint NOT NULL REFERENCES store.embedding_model,
    embedding halfvec NOT NULL,
    PRIMARY KEY (model_id, passage_id)
);
CREATE INDEX embedding_passage ON store.embedding (passage_id);
COMMENT ON TABLE store.embedding IS 'Vectors by model; each model has a partial HNSW index made by `insights migrate`';

CREATE TABLE store.citation (
    insight_id bigint NOT NULL REFERENCES store.insight ON DELETE CASCADE,
    ordinal smallint NOT NULL,
    field text NOT NULL,
    source text NOT NULL,
    passage_id bigint REFERENCES store.passage ON DELETE SET NULL,
    uri text,
    title text,
    quote text,
    quote_start integer,
    quote_end integer,
    support real,
    PRIMARY KEY (insight_id, ordinal)
);
CREATE INDEX citation_passage ON store.citation (passage_id) WHERE passage_id IS NOT NULL;
COMMENT ON TABLE store.citation IS
    'What each output field stands on; uri, title and quote outlive the passage. Quotes are of redacted text';

CREATE SEQUENCE store.revision AS bigint;
COMMENT ON SEQUENCE store.revision IS 'Orders the states that sinks are told; only grows';
CREATE TABLE store.sink (
    sink_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    stopped_reason text,
    last_published_at timestamptz
);
CREATE TABLE store.outbox (
    sink_id integer NOT NULL REFERENCES store.sink,
    row_id bigint NOT NULL REFERENCES store.ledger,
    revision bigint NOT NULL,
    insight_id bigint REFERENCES store.insight,
    delivered_at timestamptz,
    not_before timestamptz NOT NULL DEFAULT now(),
    attempts smallint NOT NULL DEFAULT 0,
    shows text NOT NULL CHECK (shows IN ('current', 'stale', 'tombstoned')),
    error text,
    PRIMARY KEY (sink_id, row_id)
) WITH (fillfactor = 80);
CREATE INDEX outbox_due ON store.outbox (sink_id, revision) WHERE delivered_at IS NULL AND error IS NULL;
COMMENT ON TABLE store.outbox IS 'The state each sink shall show of each row; a newer state replaces an undelivered one';

CREATE TABLE store.audit_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    stream_id integer,
    row_id bigint,
    insight_id bigint,
    details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_event_row ON store.audit_event (row_id) WHERE row_id IS NOT NULL;
COMMENT ON TABLE store.audit_event IS 'Append-only: what was done, to which row, by which daemon. Never row text';
CREATE FUNCTION store.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'store.audit_event is append-only'; END $$;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();

CREATE TABLE store.usage (
    insight_id bigint PRIMARY KEY REFERENCES store.insight ON DELETE CASCADE,
    prompt_tokens integer NOT NULL,
    reused_tokens integer NOT NULL,
    sampled_tokens integer NOT NULL,
    forced_tokens integer NOT NULL,
    queue_ms real NOT NULL,
    prompt_ms real NOT NULL,
    decode_ms real NOT NULL
);
COMMENT ON TABLE store.usage IS 'What each generation cost, in tokens and milliseconds';

CREATE TABLE store.sweep (
    sweep_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id integer NOT NULL REFERENCES store.stream,
    epoch integer NOT NULL,
    position text,
    bookmark jsonb,
    last_row_id bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    rows bigint NOT NULL DEFAULT 0,
    rescued bigint NOT NULL DEFAULT 0,
    absent bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    refused_reason text
);
CREATE INDEX sweep_stream ON store.sweep (stream_id, sweep_id);
CREATE TABLE store.sweep_block (
    sweep_id bigint NOT NULL REFERENCES store.sweep ON DELETE CASCADE,
    block bigint NOT NULL,
    present bytea NOT NULL CHECK (length(present) <= 8192),
    PRIMARY KEY (sweep_id, block)
);
-- Uncompressed: get_bit reads it for every row of the ledger.
ALTER TABLE store.sweep_block ALTER present SET STORAGE EXTERNAL;
COMMENT ON TABLE store.sweep_block IS 'Presence of 65,536 consecutive row ids in one sweep; absent = bit not set';

CREATE VIEW insights.current AS
SELECT s.name AS stream, l.row_key, i.insight_id, i.status, i.reason, i.output, i.model, p.name AS pipeline,
       v.sha256 AS pipeline_version, i.source_cursor, i.generated_at, i.confidence,
       (l.input_hash <> i.input_hash) AS stale, l.gone_at
FROM store.ledger l
JOIN store.stream s USING (stream_id)
JOIN store.insight i ON i.insight_id = l.insight_id
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id);
COMMENT ON VIEW insights.current IS 'The current insight of every row; stale: the row changed since, and is being redone';

CREATE VIEW insights.citation AS
SELECT s.name AS stream, l.row_key, c.insight_id, c.ordinal, c.field, c.source, c.uri, c.title, c.quote,
       c.quote_start, c.quote_end, c.support
FROM store.citation c
JOIN store.insight i USING (insight_id)
JOIN store.ledger l ON l.row_id = i.row_id
JOIN store.stream s USING (stream_id);
COMMENT ON VIEW insights.citation IS 'What each insight stands on';

CREATE VIEW insights.history AS
SELECT s.name AS stream, l.row_key, i.insight_id, i.status, i.reason, i.output, i.model,
       v.sha256 AS pipeline_version, i.generated_at, (i.insight_id = l.insight_id) AS is_current
FROM store.insight i
JOIN store.ledger l ON l.row_id = i.row_id
JOIN store.stream s USING (stream_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id;
COMMENT ON VIEW insights.history IS 'Every insight ever made, newest and superseded';

-- Every ledger row is counted exactly once, so that the columns sum to rows_known.
CREATE VIEW insights.completeness AS
SELECT s.name AS stream,
       count(l.row_id) AS rows_known,
       count(*) FILTER (WHERE o.outcome = 'ok') AS ok,
       count(*) FILTER (WHERE o.outcome = 'abstained') AS abstained,
       count(*) FILTER (WHERE o.outcome = 'withheld') AS withheld,
       count(*) FILTER (WHERE o.outcome = 'pending') AS pending,
       count(*) FILTER (WHERE o.outcome = 'dead') AS dead,
       count(*) FILTER (WHERE o.outcome = 'missing') AS missing,
       count(*) FILTER (WHERE o.outcome = 'gone') AS gone,
       count(*) FILTER (WHERE o.outcome = 'skipped') AS skipped,
       s.complete_through, s.lag_s, s.missed_rows, s.paused, s.stopped_reason, s.last_poll_at
FROM store.stream s
LEFT JOIN store.ledger l USING (stream_id)
LEFT JOIN store.insight i ON i.insight_id = l.insight_id AND i.input_hash = l.input_hash
LEFT JOIN LATERAL (
    SELECT w.state FROM store.work w
    WHERE w.row_id = l.row_id AND w.input_hash = l.input_hash AND w.state <> 'done'
    ORDER BY w.work_id DESC LIMIT 1
) w ON i.insight_id IS NULL
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN l.row_id IS NULL THEN NULL
        WHEN l.gone_at IS NOT NULL THEN 'gone'
        WHEN i.insight_id IS NOT NULL THEN i.status
        WHEN w.state IN ('pending', 'claimed') THEN 'pending'
        WHEN w.state IN ('dead', 'missing') THEN w.state
        ELSE 'skipped'
    END AS outcome
) o
GROUP BY s.stream_id;
COMMENT ON VIEW insights.completeness IS 'Where every known row stands; the outcome columns sum to rows_known';
"""

DOWNGRADE = """
DROP SCHEMA insights CASCADE;
DROP SCHEMA store CASCADE;
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
