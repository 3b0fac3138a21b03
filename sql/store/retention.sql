-- What members of insights_retention run, and nobody else may: sql/grants/store_retention.sql.

-- name: forget
-- Forget a row of a stream; `collections` are those that the settings feed from it.
SELECT store.forget(%(stream)s, %(key)s, %(collections)s::text[]) AS forgotten_id;

-- name: allow
-- Let a forgotten row be recorded again.
SELECT store.allow_again(%(stream)s, %(key)s) AS allowed;

-- name: expire
-- Forget a row that the source deleted long ago; should it come back, it is recorded as a new one.
SELECT store.forget(%(stream)s, %(key)s, %(collections)s::text[], false) AS forgotten_id;

-- name: expire_insights
-- Take the oldest insights away, at most so many, that are older than this.
SELECT store.expire_insights(now() - make_interval(secs => %(age_s)s), %(limit)s) AS insights;

-- name: seal
-- Take away events older than this; a summary of each chain's stays.
SELECT coalesce(sum(s.events), 0)::bigint AS events FROM store.seal_events(now() - make_interval(secs => %(age_s)s)) s;
