-- name: standing_stream
-- The versions that follow the stream stay so until this transaction ends; whether our hash key is still in use; and which of
-- these clients have budgets. What follows looks rows up, few at a time, on tables that grow: a plan that is kept must not read
-- all of one, as it would if it was made while that was small. Made anew each time, the plans would take longer than the work.
SELECT s.generation, NOT EXISTS (SELECT FROM store.fact WHERE name = 'hash_key_check_' || (%(key_version)s + 1)) AS newest,
       ARRAY(SELECT DISTINCT b.client FROM store.budget b WHERE b.client = ANY(%(clients)s)) AS spenders,
       set_config('enable_seqscan', 'off', true) AS scans, set_config('plan_cache_mode', 'force_generic_plan', true) AS plans
FROM store.stream s WHERE s.name = %(stream)s
FOR SHARE OF s;

-- name: targets
-- The pipelines that make new work of a stream's rows.
SELECT p.name, p.pipeline_id
FROM store.pipeline p
JOIN store.deployment d USING (pipeline_id)
JOIN store.stream s ON s.stream_id = d.stream_id
WHERE s.name = %(stream)s AND d.stage = 'full';

-- name: used_keys
-- What idempotency keys brought before.
SELECT k.client, k.idempotency_key, s.pipeline_id, s.hashes, s.requests
FROM unnest(%(clients)s::text[], %(keys)s::text[]) AS k (client, idempotency_key)
CROSS JOIN LATERAL (
    SELECT s.pipeline_id, s.hashes, s.requests FROM store.submission s
    WHERE s.client = k.client AND s.idempotency_key = k.idempotency_key LIMIT 1
) s;

-- name: keep_keys
-- From now on these keys bring these requests. Who uses one at the same moment waits here, and then finds it used. All take
-- them in one order, so that nobody waits in a circle.
INSERT INTO store.submission (client, idempotency_key, forget_at, pipeline_id, hashes, requests)
SELECT k.client, k.idempotency_key, now() + make_interval(secs => k.keep_s), k.pipeline_id, k.hashes, k.requests
FROM jsonb_to_recordset(%(kept)s) AS k (client text, idempotency_key text, keep_s float8, pipeline_id integer, hashes uuid[],
                                         requests uuid[])
ORDER BY k.client, k.idempotency_key
ON CONFLICT DO NOTHING
RETURNING client;

-- name: known_rows
-- What is known of rows that are sent; one that the store never saw is left out. `kept_out` was forgotten. `request_id` is that
-- of rows that were accepted before with these fields, are that still, and have an outcome or work that will bring one: the same
-- fields again are the same request.
SELECT r.row_key, r.row_key = ANY(f.keys) AS kept_out, b.request_id
FROM (SELECT ARRAY(SELECT store.kept_out(%(stream)s, %(keys)s::text[])) AS keys) f
CROSS JOIN jsonb_to_recordset(%(rows)s) AS r (row_key text, pipeline text, hashes uuid[])
JOIN store.pipeline p ON p.name = r.pipeline
JOIN store.stream s ON s.name = %(stream)s
LEFT JOIN LATERAL (
    SELECT l.row_id FROM store.ledger l WHERE l.stream_id = s.stream_id AND l.row_key = r.row_key LIMIT 1
) l ON true
LEFT JOIN LATERAL (
    SELECT b.input_hash FROM store.inbox b WHERE b.row_id = l.row_id ORDER BY b.row_id, b.number DESC LIMIT 1
) latest ON true
LEFT JOIN LATERAL (
    SELECT b.request_id
    FROM (SELECT b.request_id, b.own, b.input_hash FROM store.inbox b
          WHERE b.row_id = l.row_id AND b.pipeline_id = p.pipeline_id ORDER BY b.number DESC LIMIT 1) b
    WHERE latest.input_hash = ANY(r.hashes) AND b.input_hash = ANY(r.hashes)
      AND (EXISTS (SELECT FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
                   WHERE w.row_id = l.row_id AND w.input_hash = ANY(b.own) AND d.pipeline_id = p.pipeline_id
                     AND w.state IN ('pending', 'claimed', 'done', 'dead'))
           OR EXISTS (SELECT FROM store.insight i JOIN store.deployment d USING (pipeline_version_id)
                      WHERE i.row_id = l.row_id AND i.input_hash = ANY(b.own) AND d.pipeline_id = p.pipeline_id))
) b ON true
WHERE l.row_id IS NOT NULL OR r.row_key = ANY(f.keys);

-- name: take_of_client
-- Rows that a client sends are taken of its budgets of rows, of all or of none, in the transaction that accepts them. Returns what has
-- not so many left, and the seconds until it begins anew.
WITH under AS MATERIALIZED (
    SELECT b.budget_id, b.name, b.hard, b.per, w.begins, CASE WHEN b.window_start >= w.begins THEN b.used ELSE 0 END AS used,
           extract(epoch FROM ((w.begins AT TIME ZONE b.time_zone) + ('1 ' || b.per)::interval) AT TIME ZONE b.time_zone
                              - now())::float8 AS again_s
    FROM store.budget b CROSS JOIN LATERAL (SELECT date_trunc(b.per, now(), b.time_zone) AS begins) w
    WHERE b.client = %(client)s AND b.unit = 'rows' ORDER BY b.budget_id FOR NO KEY UPDATE OF b
), taken AS (
    UPDATE store.budget b SET used = u.used + %(rows)s, window_start = greatest(b.window_start, u.begins)
    FROM under u
    WHERE b.budget_id = u.budget_id AND NOT EXISTS (SELECT FROM under o WHERE o.used + %(rows)s > o.hard)
)
SELECT name, hard, used, per, again_s FROM under WHERE used + %(rows)s > hard ORDER BY again_s DESC LIMIT 1;

-- name: spent_by_client
-- Whether what models take for a client's rows is under budgets of its own; if so the one that is furthest from letting a row
-- of this pipeline begin. Claims reserve of them, not this: rows are accepted while there is any room.
SELECT b.hard, b.unit, b.per, u.used, coalesce(b.hard - u.used < r.reserve, u.used >= b.hard) AS used_up,
       extract(epoch FROM ((w.begins AT TIME ZONE b.time_zone) + ('1 ' || b.per)::interval) AT TIME ZONE b.time_zone
                          - now())::float8 AS again_s
FROM store.budget b
CROSS JOIN LATERAL (SELECT date_trunc(b.per, now(), b.time_zone) AS begins) w
CROSS JOIN LATERAL (SELECT CASE WHEN b.window_start >= w.begins THEN b.used ELSE 0 END AS used) u
CROSS JOIN LATERAL (
    SELECT min(v.reserve) AS reserve FROM store.budgeted v JOIN store.deployment d USING (pipeline_version_id)
    WHERE v.budget_id = b.budget_id AND d.pipeline_id = %(pipeline_id)s AND d.stage <> 'retired'
) r
WHERE b.client = %(client)s AND b.unit <> 'rows'
ORDER BY used_up DESC, again_s DESC LIMIT 1;

-- name: accept_new
-- Requests whose rows the ledger does not know: nothing can have been made of them, so that nothing else is looked up. They enter
-- ledger, work and inbox as `record` and `accept` would enter them: work of each version that makes them, with the deadline of
-- their own pipeline's and, under budgets of their client, its name. In the order in which they came; in the ledger in that of
-- their keys, so that nobody waits in a circle. Returns the requests that have work: fewer than were given means that another
-- transaction was at the same rows, and all of it is tried again.
WITH given AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s)
        AS r (place integer, request_id uuid, row_key text, pipeline_id integer, input_hash uuid, own uuid[], of_versions uuid[],
              fields jsonb, client text, keep_s float8, deadline_s float8, spender text)
), added AS (
    INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version)
    SELECT %(stream_id)s, row_key, input_hash, %(hash_version)s FROM given ORDER BY row_key
    ON CONFLICT (stream_id, row_key) DO NOTHING
    RETURNING row_id, row_key
), entered AS MATERIALIZED (
    SELECT g.*, a.row_id FROM added a JOIN given g USING (row_key) ORDER BY g.place
), kept AS (
    INSERT INTO store.inbox (request_id, row_id, forget_at, pipeline_id, input_hash, own, fields, client)
    SELECT request_id, row_id, now() + make_interval(secs => keep_s), pipeline_id, input_hash, own, fields, client FROM entered
), wanted AS (
    SELECT e.request_id, e.row_id, v.version_id, v.own_hash, v.pipeline_id = e.pipeline_id AS asked, e.deadline_s, e.spender
    FROM entered e
    CROSS JOIN LATERAL unnest(%(versions)s::integer[], %(pipelines)s::integer[], e.of_versions)
        AS v (version_id, pipeline_id, own_hash)
    JOIN store.deployment d ON d.pipeline_version_id = v.version_id
    WHERE store.covers(0, d.share, e.row_key)
    ORDER BY e.place
), queued AS (
    INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id, not_after, client)
    SELECT row_id, %(stream_id)s, own_hash, version_id, CASE WHEN asked THEN now() + make_interval(secs => deadline_s) END,
           CASE WHEN asked THEN spender END
    FROM wanted
)
SELECT DISTINCT request_id FROM wanted WHERE asked;

-- name: accept
-- Requests whose rows the ledger knows by now, recorded as a poll records them. Of a row only the fields that came last are
-- kept. A pipeline that has neither work nor an insight of them begins: its work was cancelled, or it came later than the
-- row. Returns the requests that have work or an outcome now: fewer than were given means that another transaction was at
-- the same rows, and all of it is tried again.
WITH given AS MATERIALIZED (
    SELECT r.*, l.row_id
    FROM jsonb_to_recordset(%(rows)s) AS r (request_id uuid, row_key text, pipeline_id integer, input_hash uuid, own uuid[],
                                            of_versions uuid[], fields jsonb, client text, keep_s float8)
    CROSS JOIN LATERAL (
        SELECT l.row_id FROM store.ledger l
        WHERE l.stream_id = %(stream_id)s AND l.row_key = r.row_key AND l.input_hash = r.input_hash LIMIT 1
    ) l
), former AS (
    UPDATE store.inbox b SET fields = NULL FROM given g WHERE b.row_id = g.row_id AND b.fields IS NOT NULL
), begun AS (
    INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id)
    SELECT g.row_id, %(stream_id)s, v.own_hash, v.version_id
    FROM given g
    CROSS JOIN LATERAL unnest(%(versions)s::integer[], %(pipelines)s::integer[], g.of_versions)
        AS v (version_id, pipeline_id, own_hash)
    JOIN store.deployment f ON f.pipeline_version_id = v.version_id AND f.stage = 'full'
    WHERE NOT EXISTS (SELECT FROM store.work o JOIN store.deployment d USING (pipeline_version_id)
                      WHERE o.row_id = g.row_id AND o.input_hash = ANY(g.own) AND d.pipeline_id = v.pipeline_id
                        AND o.state IN ('pending', 'claimed', 'dead') AND d.stage <> 'shadow')
      AND NOT EXISTS (SELECT FROM store.insight i JOIN store.deployment d USING (pipeline_version_id)
                      WHERE i.row_id = g.row_id AND i.input_hash = ANY(g.own) AND d.pipeline_id = v.pipeline_id
                        AND d.stage <> 'shadow')
    ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
    SET state = 'pending', overtaken = false, attempts = 0, not_before = now(), not_after = NULL, reason = NULL, finished_at = NULL
    WHERE w.state IN ('superseded', 'missing', 'cancelled')
    RETURNING w.row_id, w.pipeline_version_id
), kept AS (
    INSERT INTO store.inbox (request_id, row_id, forget_at, pipeline_id, input_hash, own, fields, client)
    SELECT request_id, row_id, now() + make_interval(secs => keep_s), pipeline_id, input_hash, own, fields, client FROM given
)
SELECT g.request_id FROM given g
WHERE EXISTS (SELECT FROM begun n JOIN store.deployment d USING (pipeline_version_id)
              WHERE n.row_id = g.row_id AND d.pipeline_id = g.pipeline_id)
   OR EXISTS (SELECT FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
              WHERE w.row_id = g.row_id AND w.input_hash = ANY(g.own) AND d.pipeline_id = g.pipeline_id
                AND w.state IN ('pending', 'claimed', 'dead'))
   OR EXISTS (SELECT FROM store.insight i JOIN store.deployment d USING (pipeline_version_id)
              WHERE i.row_id = g.row_id AND i.input_hash = ANY(g.own) AND d.pipeline_id = g.pipeline_id);

-- name: bound
-- Requests that have a deadline, or whose work is under budgets of their client: what their pipelines have not begun by the
-- one is not begun any more, and claims reserve of the others.
UPDATE store.work w
SET not_after = coalesce(now() + make_interval(secs => r.deadline_s), w.not_after), client = coalesce(r.spender, w.client)
FROM jsonb_to_recordset(%(rows)s) AS r (request_id uuid, deadline_s float8, spender text), store.inbox b, store.deployment d
WHERE (r.deadline_s IS NOT NULL OR r.spender IS NOT NULL) AND b.request_id = r.request_id AND w.row_id = b.row_id AND w.input_hash = ANY(b.own)
  AND w.state = 'pending' AND d.pipeline_version_id = w.pipeline_version_id AND d.pipeline_id = b.pipeline_id;

-- name: fetch
-- The fields that rows have now, for the pipeline: those that came last, unless they are forgotten.
SELECT k.row_key, b.request_id, b.own, b.fields
FROM unnest(%(keys)s::text[]) AS k (row_key)
JOIN store.stream s ON s.name = %(stream)s
CROSS JOIN LATERAL (
    SELECT l.row_id FROM store.ledger l WHERE l.stream_id = s.stream_id AND l.row_key = k.row_key LIMIT 1
) l
CROSS JOIN LATERAL (
    SELECT b.request_id, b.own, b.fields FROM store.inbox b WHERE b.row_id = l.row_id ORDER BY b.row_id, b.number DESC LIMIT 1
) b
WHERE b.fields IS NOT NULL;

-- name: read_by_other
-- A version that reads other columns than those that were live when rows were accepted has read them: by these hashes, too,
-- their outcome is found.
UPDATE store.inbox b SET own = array_append(b.own, r.own_hash)
FROM jsonb_to_recordset(%(rows)s) AS r (request_id uuid, own_hash uuid)
WHERE b.request_id = r.request_id AND NOT r.own_hash = ANY(b.own);

-- name: outcomes
-- How requests stand: the insight made of these fields, or the work that is to make one. Of several versions' work that
-- which is furthest from its end counts, and what is live before what is not.
SELECT b.request_id::text AS id, p.name AS pipeline, k.stream, k.row_key AS key, b.accepted_at, w.state, w.reason AS work_reason,
       w.finished_at, i.insight_id, i.status, i.output, i.reason, i.confidence, i.generated_at, v.sha256 AS version,
       coalesce((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('field', c.field, 'source', c.source, 'uri', c.uri,
                                                                       'title', c.title, 'quote', c.quote)) ORDER BY c.ordinal)
                 FROM store.citation c WHERE c.insight_id = i.insight_id), '[]') AS citations
FROM store.inbox b
JOIN store.pipeline p USING (pipeline_id)
CROSS JOIN LATERAL (
    SELECT s.name AS stream, l.row_key FROM store.ledger l JOIN store.stream s USING (stream_id) WHERE l.row_id = b.row_id LIMIT 1
) k
LEFT JOIN LATERAL (
    SELECT i.* FROM store.insight i JOIN store.deployment d USING (pipeline_version_id)
    WHERE i.row_id = b.row_id AND i.input_hash = ANY(b.own) AND d.pipeline_id = b.pipeline_id AND d.stage <> 'shadow'
    ORDER BY (d.stage = 'retired'), i.insight_id DESC LIMIT 1
) i ON true
LEFT JOIN store.pipeline_version v USING (pipeline_version_id)
LEFT JOIN LATERAL (
    SELECT w.state, w.reason, w.finished_at FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
    WHERE w.row_id = b.row_id AND w.input_hash = ANY(b.own) AND d.pipeline_id = b.pipeline_id AND d.stage <> 'shadow'
    ORDER BY array_position('{claimed,pending,missing,dead,cancelled,superseded,done}'::text[], w.state), w.work_id DESC LIMIT 1
) w ON true
WHERE b.request_id = ANY(%(ids)s::uuid[]);

-- name: deliver
-- Outcomes that a client was given; their fields may be forgotten.
UPDATE store.inbox SET delivered_at = now() WHERE request_id = ANY(%(ids)s::uuid[]) AND delivered_at IS NULL;

-- name: cancel
-- A client takes a request back: its pipeline's work ends, in hand or not; whoever holds it finds its lease gone.
UPDATE store.work w
SET state = 'cancelled', lease_token = NULL, lease_until = NULL, holder = NULL, finished_at = now(), reason = 'cancelled on request'
FROM store.inbox b, store.deployment d
WHERE b.request_id = %(id)s::uuid AND w.row_id = b.row_id AND w.input_hash = ANY(b.own) AND w.state IN ('pending', 'claimed')
  AND d.pipeline_version_id = w.pipeline_version_id AND d.pipeline_id = b.pipeline_id
RETURNING w.row_id, w.stream_id;

-- name: forget_late
-- Fields whose time is over go, done or not: what has not been done of them never will be, and says so.
WITH late AS (
    SELECT b.request_id, b.row_id FROM store.inbox b
    WHERE b.fields IS NOT NULL AND b.forget_at <= now()
    ORDER BY b.forget_at LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
), forgotten AS (
    UPDATE store.inbox b SET fields = NULL FROM late WHERE b.request_id = late.request_id
), ended AS (
    UPDATE store.work w
    SET state = 'cancelled', lease_token = NULL, lease_until = NULL, holder = NULL, finished_at = now(),
        reason = 'not done while its fields were kept'
    FROM late WHERE w.row_id = late.row_id AND w.state IN ('pending', 'claimed', 'missing')
    RETURNING w.row_id, w.stream_id
)
SELECT (SELECT count(*) FROM late) AS forgotten,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('row_id', row_id, 'stream_id', stream_id)), '[]') FROM ended) AS ended;

-- name: forget_delivered
-- Fields whose outcome was delivered go, once no pipeline needs them any more.
WITH told AS (
    SELECT b.request_id FROM store.inbox b
    WHERE b.fields IS NOT NULL AND b.delivered_at IS NOT NULL
      AND NOT EXISTS (SELECT FROM store.work w WHERE w.row_id = b.row_id AND w.state IN ('pending', 'claimed', 'missing'))
    ORDER BY b.delivered_at LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
)
UPDATE store.inbox b SET fields = NULL FROM told WHERE b.request_id = told.request_id;

-- name: forget_keys
-- Idempotency keys whose time is over bring nothing any more.
DELETE FROM store.submission WHERE forget_at <= now();

-- name: waiting
-- How many rows wait for a pipeline, counted up to a bound along `work_ready`.
SELECT count(*) AS rows
FROM store.pipeline p
JOIN store.deployment d ON d.pipeline_id = p.pipeline_id AND d.stage = 'full'
CROSS JOIN LATERAL (
    SELECT FROM store.work w
    WHERE w.pipeline_version_id BETWEEN d.pipeline_version_id AND d.pipeline_version_id AND w.state = 'pending'
    ORDER BY w.pipeline_version_id, w.work_id
    LIMIT %(most)s
) waiting
WHERE p.name = %(pipeline)s;
