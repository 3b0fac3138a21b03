-- name: keep
-- Where the outcomes of a message's requests go. A message that comes again says the same again.
INSERT INTO store.reply (door, message, request_id, address, correlation)
SELECT %(door)s, %(message)s, id::uuid, %(address)s, %(correlation)s FROM unnest(%(ids)s::text[]) AS id
ON CONFLICT (request_id, door, address, message) DO NOTHING;

-- name: due
-- Of a door's next open replies those whose requests have no work left, the oldest first; taken for a while, so that no other
-- sends them too. A bounded window: ten thousand that wait for a model are not all looked at in each round.
WITH next AS MATERIALIZED (
    SELECT r.number, r.request_id, r.not_before FROM store.reply r
    WHERE r.door = %(door)s AND r.sent_at IS NULL AND r.given_up_at IS NULL AND r.number > %(after)s
    ORDER BY r.number LIMIT %(window)s
), due AS MATERIALIZED (
    SELECT r.number FROM next n
    JOIN store.inbox b USING (request_id)
    JOIN store.reply r ON r.number = n.number AND r.sent_at IS NULL AND r.not_before <= now()
    WHERE n.not_before <= now()
      AND NOT EXISTS (SELECT FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
                      WHERE w.row_id = b.row_id AND w.input_hash = ANY(b.own) AND d.pipeline_id = b.pipeline_id
                        AND d.stage <> 'shadow' AND w.state IN ('pending', 'claimed', 'missing'))
    ORDER BY r.number LIMIT %(most)s
    FOR UPDATE OF r SKIP LOCKED
), taken AS (
    UPDATE store.reply r SET not_before = now() + make_interval(secs => %(in_hand_s)s) FROM due WHERE r.number = due.number
    RETURNING r.number, r.request_id, r.address, r.correlation
)
SELECT (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.number), '[]') FROM taken t) AS due,
       (SELECT count(*) FROM next) AS looked, (SELECT coalesce(max(number), 0) FROM next) AS last;

-- name: sent
-- They are where they were to go.
UPDATE store.reply SET sent_at = now(), reason = NULL WHERE number = ANY(%(numbers)s);

-- name: failed
-- It cannot be sent: later again, with growing pauses, and at last no more. A quarter more or less by chance, so that what
-- failed together does not come together again.
UPDATE store.reply
SET attempts = attempts + 1, reason = %(reason)s,
    not_before = now() + make_interval(secs => least(%(longest_s)s, 2 ^ attempts) * (0.75 + random() / 2)),
    given_up_at = CASE WHEN attempts + 1 >= %(most)s THEN now() END
WHERE number = %(number)s;

-- name: replies
-- What each door still has to tell, what it gave up, and why the last attempt failed.
SELECT door, count(*) FILTER (WHERE sent_at IS NULL AND given_up_at IS NULL) AS waiting,
       count(*) FILTER (WHERE sent_at IS NULL AND given_up_at IS NULL AND attempts > 0) AS failing,
       count(given_up_at) AS given_up,
       (array_agg(reason ORDER BY attempts DESC, number DESC) FILTER (WHERE sent_at IS NULL AND reason IS NOT NULL))[1] AS reason
FROM store.reply
GROUP BY door
ORDER BY door;

-- name: late
-- How long an outcome that is there waits to be told, at most, by door: among the first open replies of each, as `due` looks
-- at them. One that was asked for after it was there counts from then, which `not_before` is until it is tried.
SELECT d.door, greatest(0, extract(epoch FROM now() - x.since))::float8 AS late_s
FROM (SELECT DISTINCT door FROM store.reply WHERE sent_at IS NULL AND given_up_at IS NULL) d
CROSS JOIN LATERAL (
    SELECT min(greatest(e.ended_at, CASE WHEN r.attempts = 0 THEN r.not_before END)) AS since
    FROM (SELECT o.request_id, o.attempts, o.not_before FROM store.reply o
          WHERE o.door = d.door AND o.sent_at IS NULL AND o.given_up_at IS NULL
          ORDER BY o.number LIMIT 2000) r
    JOIN store.inbox b USING (request_id)
    CROSS JOIN LATERAL (
        SELECT max(w.finished_at) AS ended_at, bool_or(w.state IN ('pending', 'claimed', 'missing')) AS is_open
        FROM store.work w JOIN store.deployment p USING (pipeline_version_id)
        WHERE w.row_id = b.row_id AND w.input_hash = ANY(b.own) AND p.pipeline_id = b.pipeline_id AND p.stage <> 'shadow'
    ) e
    WHERE e.is_open IS NOT TRUE
) x
WHERE x.since IS NOT NULL
ORDER BY d.door;

-- name: forget
-- Replies that were sent, or given up, a day ago.
DELETE FROM store.reply WHERE sent_at < now() - interval '1 day' OR given_up_at < now() - interval '7 days';
