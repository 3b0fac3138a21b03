-- name: take
-- Take a lease that is free, expired or already ours; the epoch grows with every change of hands.
INSERT INTO store.lease AS l (name, holder, token, expires_at)
VALUES (%(name)s, %(holder)s, gen_random_uuid(), now() + make_interval(secs => %(ttl_s)s))
ON CONFLICT (name) DO UPDATE
SET holder = excluded.holder, token = excluded.token, expires_at = excluded.expires_at,
    epoch = l.epoch + (l.holder <> excluded.holder)::int
WHERE l.expires_at < now() OR l.holder = excluded.holder
RETURNING token, epoch;

-- name: renew
-- Prolong a lease; no row means that another has taken it.
UPDATE store.lease SET expires_at = now() + make_interval(secs => %(ttl_s)s)
WHERE name = %(name)s AND token = %(token)s
RETURNING epoch;

-- name: give_back
-- A daemon ends: whatever it holds is free at once. The rows stay, for their epochs.
UPDATE store.lease SET expires_at = now() - interval '1 second' WHERE holder = %(holder)s AND expires_at > now();

-- name: stands
-- Whether anybody holds a lease now.
SELECT EXISTS (SELECT FROM store.lease WHERE name = %(name)s AND expires_at > now()) AS stands;
