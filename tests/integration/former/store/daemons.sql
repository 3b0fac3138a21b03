-- name: tell
-- A daemon says that it runs, and what keeps it from its work. `started` is true for the first time.
INSERT INTO store.daemon AS d (holder, roles, version, troubles, threads)
VALUES (%(holder)s, %(roles)s, %(version)s, %(troubles)s, %(threads)s)
ON CONFLICT (holder) DO UPDATE
SET roles = excluded.roles, version = excluded.version, troubles = excluded.troubles, threads = excluded.threads, heard_at = now(),
    started_at = CASE WHEN %(started)s THEN now() ELSE d.started_at END;

-- name: forget
-- A daemon ends; whoever has not been heard of for a week is forgotten with it.
DELETE FROM store.daemon WHERE holder = %(holder)s OR heard_at < now() - interval '7 days';

-- name: daemons
-- Which daemons run, and what keeps each from its work.
SELECT holder, roles, version, started_at, extract(epoch FROM now() - heard_at)::float8 AS silent_s, troubles,
       threads
FROM store.daemon ORDER BY holder;

-- name: clock
-- What time the store has, in seconds since 1970: `insights doctor` compares it with this machine's.
SELECT extract(epoch FROM clock_timestamp())::float8 AS now_s;
