"""The tables of `benchmarks.poll`: the legacy ones, and what a store in use knows of their rows."""

TABLES = """
CREATE TABLE work_order (
    id int PRIMARY KEY,
    updated_at timestamp(6) NOT NULL,
    imported_at timestamp(6) NOT NULL DEFAULT '2026-01-01',
    title varchar(120) NOT NULL,
    description varchar(600) NOT NULL,
    INDEX (updated_at),
    INDEX (imported_at)
);
INSERT INTO work_order (id, updated_at, title, description)
SELECT seq, '2025-01-01' + INTERVAL seq SECOND, concat('Work order ', seq),
       concat('Order ', seq, ': ', repeat('the pump stops under load and ', 8), md5(seq))
FROM seq_1_to_{rows};
"""
POLLED = """
CREATE TABLE {table} (
    id int PRIMARY KEY,
    updated_at timestamp(6) NOT NULL,
    body varchar(100) NOT NULL,
    INDEX (updated_at)
);
INSERT INTO {table} SELECT seq, '2025-01-01' + INTERVAL seq SECOND, md5(seq) FROM seq_1_to_{rows};
"""
# A store in use: each row is known, done, and has its insight; a watermark behind the last row. The
# rows' hashes are none of ours: whatever a poll reads has changed.
KNOWN = """
SET session_replication_role = replica;
INSERT INTO store.stream (name, watermark, overlap_s, columns)
VALUES ('{table}', '2025-06-01', 1.0, '{{body}}');
INSERT INTO store.pipeline (name) VALUES ('p {table}');
INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
SELECT pipeline_id, repeat('0', 64), '{{}}' FROM store.pipeline WHERE name = 'p {table}';
INSERT INTO store.deployment
    (pipeline_version_id, pipeline_id, stream_id, columns, stage, full_at, changed_by)
SELECT v.pipeline_version_id, v.pipeline_id, s.stream_id, '{{body}}', 'full', now(), 'b'
FROM store.pipeline_version v JOIN store.pipeline p USING (pipeline_id), store.stream s
WHERE p.name = 'p {table}' AND s.name = '{table}';
WITH known AS (
    INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)
    SELECT s.stream_id, n, md5(n::text)::uuid, 1, n
    FROM store.stream s, generate_series(1, {rows}) n WHERE s.name = '{table}'
    RETURNING row_id, stream_id, input_hash
), done AS (
    INSERT INTO store.work
        (row_id, stream_id, input_hash, pipeline_version_id, state, finished_at)
    SELECT k.row_id, k.stream_id, k.input_hash, d.pipeline_version_id, 'done', now()
    FROM known k JOIN store.deployment d USING (stream_id)
), made AS (
    INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output)
    SELECT k.row_id, d.pipeline_version_id, k.input_hash, 'ok', '{{"category": "a"}}'
    FROM known k JOIN store.deployment d USING (stream_id)
    RETURNING insight_id, row_id, pipeline_version_id
)
INSERT INTO store.current_insight (row_id, pipeline_id, insight_id)
SELECT m.row_id, d.pipeline_id, m.insight_id
FROM made m JOIN store.deployment d USING (pipeline_version_id);
"""
