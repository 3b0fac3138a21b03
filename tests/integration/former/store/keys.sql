-- name: shown
-- How a personal key is shown to people: its keyed hash, whatever stream it is of.
SELECT left(encode(sha256(convert_to(value || %(row_key)s, 'UTF8')), 'hex'), 32) AS shown_key
FROM store.setting WHERE name = 'key_salt';

-- name: find
-- The rows whose key is shown so, for people who may read the store itself.
SELECT stream, row_id, row_key, shown_key FROM store.shown_key
WHERE shown_key = %(shown_key)s AND (%(stream)s::text IS NULL OR stream = %(stream)s)
ORDER BY row_id;

-- name: known
-- The keyed hash of each key, whether keys are personal or not, and the row that it names, where the store knows it.
SELECT s.stream_id, l.row_id, left(encode(sha256(convert_to(k.value || w.row_key, 'UTF8')), 'hex'), 32) AS hashed
FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS w (row_key, place)
JOIN store.setting k ON k.name = 'key_salt'
LEFT JOIN store.stream s ON s.name = %(stream)s::text
LEFT JOIN store.ledger l ON l.stream_id = s.stream_id AND l.row_key = w.row_key
ORDER BY w.place;
