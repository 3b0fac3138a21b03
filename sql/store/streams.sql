-- name: pause
-- A person stops the reading of a stream, and the work on its rows.
UPDATE store.stream SET paused = true WHERE name = %(stream)s AND NOT paused
RETURNING stream_id, false AS paused, NULL::text AS stopped_reason;

-- name: resume
-- A person lets a stream go on: whatever stopped it is taken to be mended, and its columns are as they are now. Returns what
-- it was like before.
WITH former AS (
    SELECT stream_id, paused, stopped_reason FROM store.stream
    WHERE name = %(stream)s AND (paused OR stopped_reason IS NOT NULL)
    FOR UPDATE
)
UPDATE store.stream s
SET paused = false, stopped_reason = NULL, shape = CASE WHEN f.stopped_reason IS NULL THEN s.shape END
FROM former f WHERE s.stream_id = f.stream_id
RETURNING f.stream_id, f.paused, f.stopped_reason;

-- name: known
-- Whether the store knows a stream.
SELECT EXISTS (SELECT FROM store.stream WHERE name = %(stream)s) AS known;

-- name: standing
-- How each stream fares, of one small table: for health checks and metrics, which ask it every few seconds.
SELECT name AS stream, paused, stopped_reason, last_error, lag_s,
       extract(epoch FROM now() - last_poll_at)::float8 AS polled_s
FROM store.stream ORDER BY name;

-- name: backlog
-- What waits for the versions of each pipeline that make new work, and how long the oldest of it: both along `work_ready`,
-- whose order is that in which rows were found. Served: of each of them nothing waits, or somebody does it.
SELECT stream, pipeline, sum(pending)::bigint AS pending, max(oldest_s) AS oldest_s, bool_and(served OR pending = 0) AS served,
       bool_or(held) AS held
FROM (
    SELECT s.name AS stream, p.name AS pipeline,
           (SELECT count(*) FROM store.work w WHERE w.pipeline_version_id = d.pipeline_version_id AND w.state = 'pending')
               + (SELECT coalesce(sum(q.rows), 0) FROM store.work_page q WHERE q.pipeline_version_id = d.pipeline_version_id)
               AS pending,
           extract(epoch FROM now() - least(
               (SELECT w.enqueued_at FROM store.work w
                WHERE w.pipeline_version_id = d.pipeline_version_id AND w.state = 'pending' ORDER BY w.work_id LIMIT 1),
               (SELECT q.found_at FROM store.work_page q
                WHERE q.pipeline_version_id = d.pipeline_version_id ORDER BY q.work_page_id LIMIT 1)))::float8 AS oldest_s,
           EXISTS (SELECT FROM store.lease l
                   WHERE starts_with(l.name, 'serves ' || d.pipeline_version_id || ' ') AND l.expires_at > now()) AS served,
           d.held_reason IS NOT NULL AS held
    FROM store.deployment d
    JOIN store.pipeline p USING (pipeline_id)
    JOIN store.stream s ON s.stream_id = d.stream_id
    WHERE d.stage <> 'retired'
) version
GROUP BY stream, pipeline
ORDER BY stream, pipeline;

-- name: dead
-- How many dead letters each stream has, along `work_dead`.
SELECT s.name AS stream, (SELECT count(*) FROM store.work w WHERE w.stream_id = s.stream_id AND w.state = 'dead') AS rows
FROM store.stream s ORDER BY s.name;

-- name: outboxes
-- What each sink still has to be told, and since when the oldest of it could be, along `outbox_due`.
SELECT k.name AS sink, k.stopped_reason,
       (SELECT count(*) FROM store.outbox o
        WHERE o.sink_id = k.sink_id AND o.delivered_at IS NULL AND o.error IS NULL) AS due,
       (SELECT extract(epoch FROM now() - coalesce(i.generated_at, o.not_before))::float8
        FROM store.outbox o LEFT JOIN store.insight i USING (insight_id)
        WHERE o.sink_id = k.sink_id AND o.delivered_at IS NULL AND o.error IS NULL
        ORDER BY o.sink_id, o.revision LIMIT 1) AS oldest_s
FROM store.sink k ORDER BY k.name;
