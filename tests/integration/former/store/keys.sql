-- name: shown
-- How a personal key is shown to people: its keyed hash, whatever stream it is of.
SELECT left(encode(sha256(convert_to(value || %(row_key)s, 'UTF8')), 'hex'), 32) AS shown_key
FROM store.setting WHERE name = 'key_salt';

-- name: find
-- The rows whose key is shown so, for people who may read the store itself.
SELECT stream, row_id, row_key, shown_key FROM store.shown_key
WHERE shown_key = %(shown_key)s AND (%(stream)s::text IS NULL OR stream = %(stream)s)
ORDER BY row_id;
