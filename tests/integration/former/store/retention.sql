-- What members of insights_retention run, and nobody else may: sql/grants/store_retention.sql.

-- name: forget
-- Forget a row of a stream; `collections` are those that the settings feed from it.
SELECT store.forget(%(stream)s, %(key)s, %(collections)s::text[]) AS forgotten_id;

-- name: allow
-- Let a forgotten row be recorded again.
SELECT store.allow_again(%(stream)s, %(key)s) AS allowed;
