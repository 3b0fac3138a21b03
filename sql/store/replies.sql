-- name: keep
-- Where the outcomes of a message's requests go. A message that comes again says the same again.
INSERT INTO store.reply (door, message, request_id, address, correlation)
SELECT %(door)s, %(message)s, id::uuid, %(address)s, %(correlation)s FROM unnest(%(ids)s::text[]) AS id
ON CONFLICT (request_id, door, address, message) DO NOTHING;

-- name: due
-- Replies of a door whose requests have no work left, the oldest first; taken for a while, so that no other sends them too.
UPDATE store.reply r SET not_before = now() + make_interval(secs => %(in_hand_s)s)
FROM (
    SELECT r.number FROM store.reply r
    JOIN store.inbox b USING (request_id)
    WHERE r.door = %(door)s AND r.sent_at IS NULL AND r.given_up_at IS NULL AND r.not_before <= now()
      AND NOT EXISTS (SELECT FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
                      WHERE w.row_id = b.row_id AND w.input_hash = ANY(b.own) AND d.pipeline_id = b.pipeline_id
                        AND d.stage <> 'shadow' AND w.state IN ('pending', 'claimed', 'missing'))
    ORDER BY r.number LIMIT %(most)s
    FOR UPDATE OF r SKIP LOCKED
) due
WHERE r.number = due.number
RETURNING r.number, r.request_id, r.address, r.correlation;

-- name: sent
-- The broker has them.
UPDATE store.reply SET sent_at = now(), reason = NULL WHERE number = ANY(%(numbers)s);

-- name: failed
-- It cannot be sent: later again, with growing pauses, and at last no more.
UPDATE store.reply
SET attempts = attempts + 1, reason = %(reason)s,
    not_before = now() + make_interval(secs => least(600, 2 ^ attempts)),
    given_up_at = CASE WHEN attempts + 1 >= %(most)s THEN now() END
WHERE number = %(number)s;

-- name: forget
-- Replies that were sent, or given up, a day ago.
DELETE FROM store.reply WHERE sent_at < now() - interval '1 day' OR given_up_at < now() - interval '7 days';
