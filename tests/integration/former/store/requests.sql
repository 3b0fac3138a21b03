-- name: seen
-- Every row of this page is marked on the replica, and the page has been recorded. A first mark opens a request; so does one
-- that stands where the replica is past what the row was told. A mark that still stands behind it is none.
-- The current insight is published again; work is done again where the stream says so, and where it had failed.
WITH live AS MATERIALIZED (
    SELECT v.*, d.share, d.shown_from, d.shown_upto
    FROM unnest(%(versions)s::integer[], %(pipelines)s::integer[], %(sinks)s::integer[], %(slots)s::integer[])
        AS v (version_id, pipeline_id, sink_id, slot)
    JOIN store.deployment d ON d.pipeline_version_id = v.version_id
), marked AS MATERIALIZED (
    SELECT DISTINCT l.row_id, p.row_key, p.input_hash, p.own
    FROM page p
    CROSS JOIN LATERAL (
        SELECT * FROM store.ledger l WHERE l.stream_id = %(stream_id)s AND l.row_key = p.row_key LIMIT 1
    ) l
), first AS (
    INSERT INTO store.request (row_id, stream_id)
    SELECT m.row_id, %(stream_id)s FROM marked m
    WHERE NOT EXISTS (SELECT FROM store.request r WHERE r.row_id = m.row_id)
    ON CONFLICT (row_id) DO NOTHING
), again AS (
    -- Two statements in a row that changed nothing: the mark has a value that they do not name. Ever longer pauses.
    UPDATE store.request r
    SET state = 'open', passed = false, mark_rejected = false, requests = r.requests + 1, opened_at = now(),
        not_before = CASE WHEN r.misses < 2 THEN now()
                     ELSE now() + make_interval(secs => least(3600, power(2, least(r.misses, 12)))) END
    FROM marked m
    WHERE r.row_id = m.row_id AND r.passed
    RETURNING r.row_id, m.row_key, m.input_hash, m.own, r.misses
), asked AS MATERIALIZED (
    SELECT a.row_id, v.version_id, v.pipeline_id, v.sink_id,
           CASE v.slot WHEN 0 THEN a.input_hash ELSE a.own[v.slot] END AS own_hash,
           store.covers(v.shown_from, v.shown_upto, a.row_key) AS shows
    FROM again a JOIN live v ON store.covers(0, v.share, a.row_key)
    WHERE a.misses < 2
), told AS (
    INSERT INTO store.outbox AS o (sink_id, row_id, revision, insight_id, shows)
    SELECT a.sink_id, a.row_id, nextval('store.revision'), c.insight_id, 'current'
    FROM asked a
    JOIN store.current_insight c ON c.row_id = a.row_id AND c.pipeline_id = a.pipeline_id
    JOIN store.insight i ON i.insight_id = c.insight_id AND i.input_hash = a.own_hash
    WHERE a.sink_id IS NOT NULL AND a.shows AND NOT %(regenerate)s
    ON CONFLICT (sink_id, row_id) DO UPDATE
    SET revision = nextval('store.revision'), insight_id = excluded.insight_id, shows = 'current', delivered_at = NULL,
        not_before = now(), attempts = 0, error = NULL
), queued AS (
    INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id)
    SELECT a.row_id, %(stream_id)s, a.own_hash, a.version_id
    FROM asked a
    WHERE %(regenerate)s OR EXISTS (SELECT FROM store.work d
                                    WHERE d.row_id = a.row_id AND d.input_hash = a.own_hash AND d.state = 'dead')
    ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
    SET state = 'pending', request = w.request + CASE w.state WHEN 'done' THEN 1 ELSE 0 END, attempts = 0, expiries = 0,
        isolated = false, not_before = now(), enqueued_at = now(), reason = NULL, finished_at = NULL, overtaken = false
    WHERE w.state = 'dead' OR (w.state = 'done' AND %(regenerate)s)
)
SELECT row_id FROM again;

-- name: told
-- Positions of the primary that the replica may not have reached yet, oldest first.
SELECT position FROM store.request
WHERE stream_id = %(stream_id)s AND state <> 'open' AND NOT passed AND position IS NOT NULL
GROUP BY position ORDER BY min(told_at) LIMIT %(limit)s;

-- name: passing
-- Rows whose statement the replica has applied: at a position it has reached, or, where none can be compared, when the
-- overlap is over. A position that is not reached within an hour can't be compared either.
SELECT r.row_id, l.row_key, r.told_at
FROM store.request r JOIN store.ledger l USING (row_id)
WHERE r.stream_id = %(stream_id)s AND r.state <> 'open' AND NOT r.passed
  AND (r.position = ANY(%(positions)s)
       OR r.told_at < now() - make_interval(secs => CASE WHEN r.position IS NULL OR NOT %(comparable)s
                                                         THEN %(overlap_s)s ELSE 3600 END))
ORDER BY r.told_at LIMIT %(limit)s;

-- name: passed
-- From now on a mark on these rows is a new request. A row that was told again meanwhile is left out.
UPDATE store.request r SET passed = true
FROM unnest(%(row_ids)s::bigint[], %(told_at)s::timestamptz[]) AS t (row_id, told_at)
WHERE r.row_id = t.row_id AND r.told_at = t.told_at AND r.state <> 'open';

-- name: due
-- Open requests of a stream whose outcomes the sinks show (or, without a sink, the store has): a window of them by row id.
-- A sink shows one when the state that the outbox holds now was delivered. With several pipelines all must be through;
-- one that failed rejects.
WITH looked AS MATERIALIZED (
    SELECT r.row_id, r.requests, r.mark_rejected, r.stream_id
    FROM store.request r JOIN store.stream s USING (stream_id)
    WHERE s.name = %(stream)s AND r.state = 'open' AND r.not_before <= now() AND r.row_id > %(after)s
    ORDER BY r.row_id LIMIT %(window)s
), due AS (
    SELECT k.row_id, l.row_key, k.requests, k.mark_rejected, v.verb
    FROM looked k
    JOIN store.ledger l USING (row_id)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN bool_or(w.state = 'dead') THEN 'reject'
            WHEN bool_and(w.state IS NULL AND c.insight_id IS NOT NULL
                          AND (d.sink_id IS NULL
                               OR (o.delivered_at IS NOT NULL AND o.shows = 'current' AND o.insight_id = c.insight_id)))
            THEN 'acknowledge'
        END AS verb
        FROM store.deployment d
        LEFT JOIN store.current_insight c ON c.row_id = k.row_id AND c.pipeline_id = d.pipeline_id
        LEFT JOIN store.outbox o ON o.sink_id = d.sink_id AND o.row_id = k.row_id
        LEFT JOIN LATERAL (
            SELECT w.state FROM store.work w
            WHERE w.row_id = k.row_id AND w.pipeline_version_id = d.pipeline_version_id AND NOT w.overtaken
              AND w.state IN ('pending', 'claimed', 'missing', 'dead')
            ORDER BY w.work_id DESC LIMIT 1
        ) w ON true
        WHERE d.stream_id = k.stream_id AND d.stage = 'full'
    ) v
    WHERE v.verb = ANY(%(verbs)s)
)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT max(row_id) FROM looked) AS last,
       coalesce((SELECT jsonb_agg(to_jsonb(due) ORDER BY due.row_id) FROM due), '[]') AS outcomes;

-- name: settle
-- What came of the statements, after they committed at this position. A request that another publisher has settled, or
-- that was opened again, counts only where our statement did change the mark.
UPDATE store.request r
SET state = CASE t.verb WHEN 'reject' THEN 'rejected' ELSE 'acknowledged' END, passed = false,
    mark_rejected = (t.verb = 'reject'), told_at = now(), position = %(position)s,
    misses = CASE WHEN t.changed THEN 0 ELSE least(r.misses + 1, 100) END
FROM jsonb_to_recordset(%(told)s) AS t (row_id bigint, verb text, requests integer, changed boolean)
WHERE r.row_id = t.row_id AND (t.changed OR (r.state = 'open' AND r.requests = t.requests))
RETURNING r.row_id, r.stream_id, r.state, t.changed;
