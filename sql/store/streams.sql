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
