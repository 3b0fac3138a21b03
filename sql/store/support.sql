-- name: support
-- What the words of texts are and how rare they are: of each text its lexemes, in the order of the texts; of each lexeme of a
-- sentence its weight (BM25's idf over the collections); and the sources' names in their order. How far a sentence is supported
-- is counted from these where it is asked for: as a join it took five times as long. Words are stemmed in the collections'
-- language. A word that no collection knows weighs most, so that an invention is not outweighed by what everything says.
WITH collection AS MATERIALIZED (
    SELECT collection_id, passages, language FROM store.collection WHERE name = ANY (%(collections)s)
), spoken AS MATERIALIZED (
    SELECT coalesce(min(language), 'simple')::regconfig AS language, coalesce(sum(passages), 0)::float8 AS passages
    FROM collection
), told AS MATERIALIZED (
    SELECT t.number, t.number <= %(sentences)s AS is_sentence, to_tsvector(spoken.language, t.text) AS words
    FROM json_array_elements_text(%(texts)s::json) WITH ORDINALITY AS t (text, number)
    CROSS JOIN spoken
), weight AS (
    SELECT known.lexeme, ln(1 + greatest(spoken.passages - frequency + 0.5, 0.5) / (frequency + 0.5)) AS idf
    FROM (
        SELECT d.lexeme, coalesce(sum(l.passages), 0)::float8 AS frequency
        FROM (SELECT DISTINCT u.lexeme FROM told CROSS JOIN LATERAL unnest(told.words) u WHERE told.is_sentence) d
        LEFT JOIN store.lexeme l
            ON l.lexeme = d.lexeme AND l.collection_id IN (SELECT collection_id FROM collection)
        GROUP BY d.lexeme
    ) known
    CROSS JOIN spoken
)
SELECT (SELECT json_agg(tsvector_to_array(words) ORDER BY number)::text FROM told) AS lexemes,
       (SELECT json_object_agg(lexeme, idf)::text FROM weight) AS weights,
       (SELECT json_agg(name ORDER BY name)::text FROM unnest(%(names)s::text[]) AS n (name)) AS names;
