"""Versions and deployments: any number of pipelines follow one stream, each by the version deployed.

Revision: 0007
Previous: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# What is current stands beside the ledger, a row for each pipeline; what is stale is derived from the work that is open.
UPGRADE = """
CREATE TABLE store.deployment (
    pipeline_version_id integer PRIMARY KEY REFERENCES store.pipeline_version,
    pipeline_id integer NOT NULL REFERENCES store.pipeline,
    stream_id integer NOT NULL REFERENCES store.stream,
    sink_id integer REFERENCES store.sink,
    share real NOT NULL DEFAULT 1 CHECK (share BETWEEN 0 AND 1),
    stage text NOT NULL CHECK (stage IN ('shadow', 'canary', 'gradual', 'full', 'retired')),
    columns text[],
    stopped_reason text,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);
COMMENT ON TABLE store.deployment IS
    'Which version of each pipeline makes new work. Changed by a version never seen before, and by promote and rollback';
COMMENT ON COLUMN store.deployment.columns IS
    'What the version reads of a row, sorted; NULL until a daemon that has its files has started';
COMMENT ON COLUMN store.deployment.stopped_reason IS 'Why the daemon that has its files cannot do its work';
COMMENT ON COLUMN store.deployment.share IS 'Share of the row keys, for canary and gradual';
CREATE UNIQUE INDEX deployment_full ON store.deployment (pipeline_id) WHERE stage = 'full';
CREATE INDEX deployment_stream ON store.deployment (stream_id) WHERE stage <> 'retired';
INSERT INTO store.deployment (pipeline_version_id, pipeline_id, stream_id, stage, changed_by)
SELECT v.pipeline_version_id, v.pipeline_id, s.stream_id,
       CASE WHEN v.pipeline_version_id = s.pipeline_version_id THEN 'full' ELSE 'retired' END, 'migration 0007'
FROM store.stream s
JOIN store.pipeline_version f ON f.pipeline_version_id = s.pipeline_version_id
JOIN store.pipeline_version v ON v.pipeline_id = f.pipeline_id;

CREATE TABLE store.current_insight (
    row_id bigint NOT NULL,
    insight_id bigint NOT NULL,
    pipeline_id integer NOT NULL,
    PRIMARY KEY (row_id, pipeline_id)
) WITH (fillfactor = 90);
COMMENT ON TABLE store.current_insight IS
    'The insight of each row and pipeline that is shown. No foreign keys: rows and insights are never deleted under it';
INSERT INTO store.current_insight (row_id, insight_id, pipeline_id)
SELECT l.row_id, l.insight_id, v.pipeline_id
FROM store.ledger l
JOIN store.insight i USING (insight_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id;

ALTER TABLE store.work ADD overtaken boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN store.work.overtaken IS
    'The row has other inputs by now: what comes of a claim is kept, and is not what is current';
UPDATE store.work w SET overtaken = true
FROM store.ledger l
WHERE l.row_id = w.row_id AND w.state IN ('claimed', 'dead') AND w.input_hash <> l.input_hash;
DROP INDEX store.work_ready;
CREATE INDEX work_ready ON store.work (pipeline_version_id, work_id) WHERE state = 'pending';
CREATE INDEX work_suspect ON store.work (pipeline_version_id, work_id) WHERE state = 'pending' AND isolated;

-- The form of the hashes of a stream's rows: by which key, over which columns. hash_version counts the forms.
UPDATE store.stream SET hash_version = greatest(1, (SELECT count(*) FROM store.setting WHERE name LIKE 'hash\\_key\\_check%'));
ALTER TABLE store.stream
    ADD generation integer NOT NULL DEFAULT 1,
    ADD columns text[],
    ADD key_version smallint NOT NULL DEFAULT 1,
    ADD former_columns text[],
    ADD former_key_version smallint,
    ADD form_at timestamptz NOT NULL DEFAULT now();
UPDATE store.stream SET key_version = hash_version;
UPDATE store.stream s SET former_key_version = s.key_version - 1
WHERE EXISTS (SELECT FROM store.ledger l
              WHERE l.stream_id = s.stream_id AND l.hash_version < s.hash_version AND l.gone_at IS NULL);
COMMENT ON COLUMN store.stream.generation IS 'Grows with each change of the versions that follow it: a page read before is not recorded';
COMMENT ON COLUMN store.stream.columns IS 'What the hash of a row is over: all that the versions that follow it read; NULL: not polled yet';
COMMENT ON COLUMN store.stream.key_version IS 'The number of the hash key that hashes are made with';
COMMENT ON COLUMN store.stream.former_columns IS
    'With former_key_version: the form that rows are still known by until one whole sweep has given them the new one';
COMMENT ON COLUMN store.stream.hash_version IS 'Counts the forms of the hash: key and columns; see ledger.hash_version';

CREATE OR REPLACE VIEW insights.current AS
SELECT s.name AS stream, l.row_key, i.insight_id, i.status, i.reason, i.output, i.model, p.name AS pipeline,
       v.sha256 AS pipeline_version, i.source_cursor, i.generated_at, i.confidence,
       EXISTS (SELECT FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
               WHERE w.row_id = c.row_id AND d.pipeline_id = c.pipeline_id AND d.stage = 'full'
                 AND w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
                 AND w.input_hash <> i.input_hash) AS stale,
       l.gone_at
FROM store.current_insight c
JOIN store.ledger l ON l.row_id = c.row_id
JOIN store.stream s USING (stream_id)
JOIN store.insight i ON i.insight_id = c.insight_id
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p ON p.pipeline_id = c.pipeline_id;
COMMENT ON VIEW insights.current IS
    'The current insight of every row and pipeline; stale: the row changed since, and is being redone';

CREATE OR REPLACE VIEW insights.history AS
SELECT s.name AS stream, l.row_key, i.insight_id, i.status, i.reason, i.output, i.model,
       v.sha256 AS pipeline_version, i.generated_at, (c.insight_id IS NOT NULL) AS is_current, p.name AS pipeline
FROM store.insight i
JOIN store.ledger l USING (row_id)
JOIN store.stream s USING (stream_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id)
LEFT JOIN store.current_insight c ON c.row_id = i.row_id AND c.pipeline_id = v.pipeline_id AND c.insight_id = i.insight_id;

-- Every ledger row is counted once for each pipeline that follows its stream: the columns sum to rows_known.
CREATE OR REPLACE VIEW insights.completeness AS
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
       s.complete_through, s.lag_s, s.missed_rows, s.paused, s.stopped_reason, s.last_poll_at,
       greatest(s.overlap_s, s.widened_s) AS overlap_s,
       (SELECT max(w.started_at) FROM store.sweep w WHERE w.stream_id = s.stream_id AND w.finished_at IS NOT NULL)
           AS swept_through,
       (SELECT max(w.finished_at) FROM store.sweep w WHERE w.stream_id = s.stream_id) AS last_sweep_at,
       s.epoch - 1 AS epoch_changes,
       jsonb_array_length(s.gaps) AS open_gaps,
       (SELECT p50_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p50_s,
       (SELECT p99_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p99_s,
       p.name AS pipeline, s.last_error
FROM store.stream s
LEFT JOIN store.deployment d ON d.stream_id = s.stream_id AND d.stage = 'full'
LEFT JOIN store.pipeline p ON p.pipeline_id = d.pipeline_id
LEFT JOIN store.ledger l ON l.stream_id = s.stream_id
LEFT JOIN store.current_insight c ON c.row_id = l.row_id AND c.pipeline_id = d.pipeline_id
LEFT JOIN store.insight i ON i.insight_id = c.insight_id
LEFT JOIN (
    SELECT DISTINCT ON (w.row_id, v.pipeline_id) w.row_id, v.pipeline_id, w.state, w.input_hash
    FROM store.work w JOIN store.pipeline_version v USING (pipeline_version_id)
    WHERE w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
    ORDER BY w.row_id, v.pipeline_id, w.work_id DESC
) w ON w.row_id = l.row_id AND w.pipeline_id = d.pipeline_id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN l.row_id IS NULL THEN NULL
        WHEN l.gone_at IS NOT NULL THEN 'gone'
        WHEN i.insight_id IS NOT NULL AND (w.row_id IS NULL OR w.input_hash = i.input_hash) THEN i.status
        WHEN w.state IN ('pending', 'claimed') THEN 'pending'
        WHEN w.state IN ('dead', 'missing') THEN w.state
        ELSE 'skipped'
    END AS outcome
) o
GROUP BY s.stream_id, p.pipeline_id;
COMMENT ON VIEW insights.completeness IS
    'Where every known row stands, for each pipeline that follows its stream; the outcome columns sum to rows_known';

CREATE VIEW insights.deployment AS
SELECT p.name AS pipeline, v.sha256 AS pipeline_version, d.stage, d.share, s.name AS stream, k.name AS sink, d.columns,
       d.stopped_reason, v.created_at, d.changed_at, d.changed_by
FROM store.deployment d
JOIN store.pipeline p USING (pipeline_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = d.pipeline_version_id
JOIN store.stream s USING (stream_id)
LEFT JOIN store.sink k ON k.sink_id = d.sink_id;
COMMENT ON VIEW insights.deployment IS 'Every version of every pipeline, and how it is deployed';

ALTER TABLE store.ledger DROP COLUMN insight_id;
ALTER TABLE store.stream DROP COLUMN pipeline_version_id;
"""

DOWNGRADE = """
ALTER TABLE store.stream ADD pipeline_version_id integer REFERENCES store.pipeline_version;
UPDATE store.stream s SET pipeline_version_id = d.pipeline_version_id
FROM store.deployment d WHERE d.stream_id = s.stream_id AND d.stage = 'full';
ALTER TABLE store.ledger ADD insight_id bigint;
UPDATE store.ledger l SET insight_id = c.insight_id FROM store.current_insight c WHERE c.row_id = l.row_id;
DROP VIEW insights.deployment;
DROP VIEW insights.completeness;
DROP VIEW insights.history;
CREATE OR REPLACE VIEW insights.current AS
SELECT s.name AS stream, l.row_key, i.insight_id, i.status, i.reason, i.output, i.model, p.name AS pipeline,
       v.sha256 AS pipeline_version, i.source_cursor, i.generated_at, i.confidence,
       (l.input_hash <> i.input_hash) AS stale, l.gone_at
FROM store.ledger l
JOIN store.stream s USING (stream_id)
JOIN store.insight i ON i.insight_id = l.insight_id
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id);
CREATE VIEW insights.history AS
SELECT s.name AS stream, l.row_key, i.insight_id, i.status, i.reason, i.output, i.model,
       v.sha256 AS pipeline_version, i.generated_at, (i.insight_id = l.insight_id) AS is_current
FROM store.insight i
JOIN store.ledger l ON l.row_id = i.row_id
JOIN store.stream s USING (stream_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id;
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
       s.complete_through, s.lag_s, s.missed_rows, s.paused, s.stopped_reason, s.last_poll_at,
       greatest(s.overlap_s, s.widened_s) AS overlap_s,
       (SELECT max(w.started_at) FROM store.sweep w WHERE w.stream_id = s.stream_id AND w.finished_at IS NOT NULL)
           AS swept_through,
       (SELECT max(w.finished_at) FROM store.sweep w WHERE w.stream_id = s.stream_id) AS last_sweep_at,
       s.epoch - 1 AS epoch_changes,
       jsonb_array_length(s.gaps) AS open_gaps,
       (SELECT p50_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p50_s,
       (SELECT p99_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p99_s
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
COMMENT ON VIEW insights.history IS 'Every insight ever made, newest and superseded';
COMMENT ON VIEW insights.completeness IS 'Where every known row stands; the outcome columns sum to rows_known';
DROP INDEX store.work_suspect;
DROP INDEX store.work_ready;
CREATE INDEX work_ready ON store.work (stream_id, work_id) WHERE state = 'pending';
ALTER TABLE store.work DROP COLUMN overtaken;
ALTER TABLE store.stream DROP generation, DROP columns, DROP key_version, DROP former_columns,
    DROP former_key_version, DROP form_at;
DROP TABLE store.current_insight;
DROP TABLE store.deployment;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
