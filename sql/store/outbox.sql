-- name: due
-- What a sink still has to be told, oldest first. The publisher's lease keeps others from reading the same rows; nothing
-- is locked, and whoever reads late is refused by the sink.
WITH due AS MATERIALIZED (
    SELECT o.row_id, o.revision, o.shows, o.attempts, o.insight_id,
           CASE WHEN (o.sealed ->> 'insight_id')::bigint = o.insight_id THEN o.sealed -> 'values' END AS sealed
    FROM store.outbox o JOIN store.sink k USING (sink_id)
    WHERE k.name = %(sink)s AND o.delivered_at IS NULL AND o.error IS NULL AND o.not_before <= now()
    ORDER BY o.revision LIMIT %(limit)s
)
SELECT d.row_id, l.row_key, d.revision, d.shows, d.attempts, d.insight_id, d.sealed, i.status, i.output,
       coalesce(v.sha256, '') AS pipeline_version, coalesce(i.model, '') AS model, i.source_cursor, i.generated_at,
       i.confidence, i.pipeline_version_id, i.input_hash, w.enqueued_at AS found_at,
       coalesce(c.citations, '') AS citations
FROM due d
JOIN store.ledger l USING (row_id)
LEFT JOIN store.insight i ON i.insight_id = d.insight_id
LEFT JOIN store.work w ON d.shows = 'current' AND w.row_id = i.row_id AND w.input_hash = i.input_hash
                          AND w.pipeline_version_id = i.pipeline_version_id
LEFT JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
LEFT JOIN LATERAL (
    -- A document is named by the code its file's name begins with, or else that name, and by its title:
    -- "KB-0042, Printer queue reset".
    SELECT string_agg(named.document, '; ' ORDER BY named.ordinal) AS citations
    FROM (
        SELECT concat_ws(', ', coalesce(upper(substring(stem FROM '^[[:alpha:]]{1,8}-[0-9]+')), stem), nullif(title, ''))
                   AS document,
               min(ordinal) AS ordinal
        FROM store.citation
        CROSS JOIN LATERAL regexp_replace(uri, '^.*/|\.[^./]*$', '', 'g') AS stem
        WHERE insight_id = d.insight_id AND uri IS NOT NULL AND claim_start IS NULL AND source NOT LIKE 'example.%%'
        GROUP BY 1
    ) named
) c ON i.status = 'ok'
ORDER BY d.revision;

-- name: settle
-- What came of a batch, each row on condition that the outbox still says what was published: a newer state stays due.
-- Where the sink holds a newer revision than the store ever gave this row, the store has lost history: the row's state
-- gets a new revision and stays due.
WITH told AS (
    SELECT * FROM jsonb_to_recordset(%(results)s) AS t (row_id bigint, revision bigint, standing bigint, error text)
), settled AS (
    UPDATE store.outbox o
    SET delivered_at = CASE WHEN t.standing IS NULL AND t.error IS NULL THEN now() END,
        sealed = CASE WHEN t.standing IS NULL AND t.error IS NULL THEN NULL ELSE o.sealed END,
        revision = CASE WHEN t.standing IS NULL THEN o.revision ELSE nextval('store.revision') END,
        attempts = CASE WHEN t.error IS NULL THEN 0 ELSE o.attempts + 1 END,
        error = t.error
    FROM told t, store.sink k
    WHERE k.name = %(sink)s AND o.sink_id = k.sink_id AND o.row_id = t.row_id AND o.revision = t.revision
    RETURNING o.delivered_at
)
UPDATE store.sink SET last_published_at = now() WHERE name = %(sink)s;

-- name: defer
-- A batch during which the publisher died: later, and from the third time on each row alone. Never an error of the row:
-- a database that hangs kills publishers too.
UPDATE store.outbox o
SET attempts = o.attempts + 1,
    not_before = now() + make_interval(secs => least(%(longest_s)s, power(2, least(o.attempts, 12))))
FROM store.sink k
WHERE k.name = %(sink)s AND o.sink_id = k.sink_id AND o.row_id = ANY (%(row_ids)s) AND o.delivered_at IS NULL;

-- name: go_on
-- The sink answers: whatever stopped it is over.
UPDATE store.sink SET stopped_reason = NULL WHERE name = %(sink)s AND stopped_reason IS NOT NULL;

-- name: stop
-- Why nothing can be published to a sink.
UPDATE store.sink SET stopped_reason = %(reason)s
WHERE name = %(sink)s AND stopped_reason IS DISTINCT FROM %(reason)s;

-- name: is_behind
-- Whether the store's revisions end before a number: it lost history that a sink has seen.
SELECT last_value < %(revision)s AS behind FROM store.revision;

-- name: lock
-- Keep everybody from taking revisions while the counter is lifted: whoever takes one writes the outbox.
LOCK TABLE store.outbox IN SHARE ROW EXCLUSIVE MODE;

-- name: lift
-- Continue revisions after a number. Only grows.
SELECT setval('store.revision', %(revision)s) FROM store.revision WHERE last_value < %(revision)s;

-- name: retell
-- The sink's newest revision is older than what it was told: its table was emptied or restored. Tell those rows again.
UPDATE store.outbox o SET delivered_at = NULL, not_before = now()
FROM store.sink k
WHERE k.name = %(sink)s AND o.sink_id = k.sink_id AND o.delivered_at IS NOT NULL AND o.revision > %(revision)s;

-- name: retry
-- Give rows that the sink refused for good a fresh start.
UPDATE store.outbox o SET error = NULL, attempts = 0, not_before = now()
FROM store.sink k
WHERE k.name = %(sink)s AND o.sink_id = k.sink_id AND o.error IS NOT NULL;

-- name: refused
-- Rows that a sink refused for good, with the reason.
SELECT r.stream, r.shown_key AS row_key, o.revision, o.shows, o.error
FROM store.outbox o
JOIN store.sink k USING (sink_id)
JOIN store.shown_key r USING (row_id)
WHERE k.name = %(sink)s AND o.error IS NOT NULL
ORDER BY o.revision LIMIT %(limit)s;
