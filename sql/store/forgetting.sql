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

-- name: proof_columns
-- Every column of the store that can hold a text: what `--prove` looks through.
SELECT c.table_name::text AS "table", c.column_name::text AS "column", c.udt_name = 'bytea' AS is_bytes
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = 'store' AND t.table_type = 'BASE TABLE'
  AND c.udt_name::text <> ALL ('{int2,int4,int8,bool,timestamptz,float4,float8,date,_int8,uuid,_uuid,halfvec,tsvector}')
ORDER BY 1, 2;

-- name: proof_of_key
-- What names a row by its key, place by place; vectors by the documents that they are of.
WITH whose AS (
    SELECT (SELECT s.stream_id FROM store.stream s WHERE s.name = %(stream)s) AS stream_id
), fed AS (
    SELECT c.collection_id, c.problems FROM store.collection c
    WHERE c.stream = %(stream)s OR c.stream IS NULL AND c.name = ANY (%(collections)s::text[])
), made AS (
    SELECT d.document_id FROM store.document d JOIN fed USING (collection_id) WHERE d.uri = %(key)s
), known AS (
    SELECT l.row_id FROM store.ledger l JOIN whose USING (stream_id) WHERE l.row_key = %(key)s
)
SELECT 'ledger' AS place, count(*) AS found FROM known
UNION ALL SELECT 'insights', count(*) FROM store.insight i JOIN known USING (row_id)
UNION ALL SELECT 'what people said of insights', count(*) FROM store.feedback b JOIN store.insight i USING (insight_id) JOIN known USING (row_id)
UNION ALL SELECT 'work and dead letters', count(*) FROM store.work w JOIN known USING (row_id)
UNION ALL SELECT 'outbox', count(*) FROM store.outbox o JOIN known USING (row_id)
UNION ALL SELECT 'inbox', count(*) FROM store.inbox b JOIN known USING (row_id)
UNION ALL SELECT 'documents', count(*) FROM made
UNION ALL SELECT 'passages', count(*) FROM store.passage p JOIN made USING (document_id)
UNION ALL SELECT 'vectors', count(*) FROM store.embedding e JOIN store.passage p USING (passage_id) JOIN made USING (document_id)
UNION ALL SELECT 'problems of collections', count(*) FROM fed WHERE fed.problems ? %(key)s
UNION ALL SELECT 'citations of others', count(*) FROM store.citation c
          LEFT JOIN store.passage p USING (passage_id) LEFT JOIN store.document d USING (document_id)
          WHERE c.uri = %(key)s AND (d.document_id IS NULL OR d.collection_id IN (SELECT fed.collection_id FROM fed))
            AND EXISTS (SELECT FROM fed)
UNION ALL SELECT 'neighbours of others', count(*) FROM store.insight i
          WHERE i.neighbour ->> 'uri' = %(key)s AND EXISTS (SELECT FROM fed)
UNION ALL SELECT 'audit', count(*) FROM store.audit_event e JOIN whose USING (stream_id) WHERE e.details ->> 'key' = %(key)s
UNION ALL SELECT 'audit, by its number', count(*) FROM store.audit_event e JOIN known USING (row_id)
UNION ALL SELECT 'bookmark of a poll', count(*) FROM store.stream s
          WHERE s.name = %(stream)s AND s.pass #> '{bookmark,key}' IN (jsonb_build_array(%(key)s::text), %(parts)s::jsonb)
UNION ALL SELECT 'bookmarks of sweeps', count(*) FROM store.sweep w JOIN whose USING (stream_id)
          WHERE w.bookmark -> 'key' IN (jsonb_build_array(%(key)s::text), %(parts)s::jsonb);

-- name: expired
-- Rows that the source deleted longer ago than this, the oldest first, but for those whose forgetting has begun.
SELECT s.name AS stream, l.row_key FROM store.ledger l JOIN store.stream s USING (stream_id)
WHERE l.gone_at < now() - make_interval(secs => %(age_s)s)
  AND NOT EXISTS (SELECT FROM store.forgotten f WHERE f.row_id = l.row_id)
ORDER BY l.gone_at, l.row_id LIMIT %(limit)s;
