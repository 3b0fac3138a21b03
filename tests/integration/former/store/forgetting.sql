-- name: begun
-- Whether anything that was asked to be forgotten is not over.
SELECT EXISTS (SELECT FROM store.forgotten f WHERE f.state <> 'completed') AS begun;

-- name: more
-- Go on with what was asked to be forgotten, a step of each; how many went on.
SELECT store.forget_more() AS changed;

-- name: how_far
-- How far one forgetting is, and which sinks have not said that they show it no more; none: it went, and is not kept out.
SELECT f.state, f.asked_at, f.completed_at,
       ARRAY(SELECT DISTINCT k.name FROM store.outbox o JOIN store.sink k USING (sink_id)
             WHERE o.row_id = ANY (f.row_id || f.others) AND o.delivered_at IS NULL ORDER BY 1) AS sinks
FROM store.forgotten f WHERE f.forgotten_id = %(forgotten_id)s;

-- name: forgotten
-- Of each stream: rows that stay out, how often they were read again, forgettings that are not over, and the sinks they wait for.
SELECT f.stream, count(*) FILTER (WHERE f.kept_out) AS rows, coalesce(sum(f.held_back), 0)::bigint AS held_back,
       count(*) FILTER (WHERE f.state <> 'completed') AS unfinished,
       min(f.asked_at) FILTER (WHERE f.state <> 'completed') AS since,
       ARRAY(SELECT DISTINCT k.name FROM store.forgotten u
             JOIN store.outbox o ON o.row_id = ANY (u.row_id || u.others) AND o.delivered_at IS NULL
             JOIN store.sink k USING (sink_id)
             WHERE u.stream = f.stream AND u.state <> 'completed' ORDER BY 1) AS sinks
FROM store.forgotten f GROUP BY f.stream ORDER BY f.stream;

-- name: kept_out
-- Which of the rows that clients send were forgotten, and are kept out.
SELECT k.row_key FROM store.kept_out(%(stream)s, %(keys)s::text[]) AS k (row_key);
