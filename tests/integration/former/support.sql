-- How far sentences are supported, as one join (until 2026-11-29).
WITH collection AS MATERIALIZED (
    SELECT collection_id, passages, language FROM store.collection WHERE name = ANY (%(collections)s)
), spoken AS MATERIALIZED (
    SELECT coalesce(min(language), 'simple')::regconfig AS language, coalesce(sum(passages), 0)::float8 AS passages
    FROM collection
), source AS MATERIALIZED (
    SELECT s.output, s.name, to_tsvector(spoken.language, s.text) AS words
    FROM jsonb_to_recordset(%(sources)s) AS s (output integer, name text, text text)
    CROSS JOIN spoken
), word AS MATERIALIZED (
    SELECT c.output, c.sentence, u.lexeme,
           ('''' || replace(replace(u.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM jsonb_to_recordset(%(sentences)s) AS c (output integer, sentence integer, text text)
    CROSS JOIN spoken
    CROSS JOIN LATERAL unnest(to_tsvector(spoken.language, c.text)) u
), weight AS MATERIALIZED (
    SELECT known.lexeme, ln(1 + greatest(spoken.passages - frequency + 0.5, 0.5) / (frequency + 0.5)) AS idf
    FROM (
        SELECT d.lexeme, coalesce(sum(l.passages), 0)::float8 AS frequency
        FROM (SELECT DISTINCT lexeme FROM word) d
        LEFT JOIN store.lexeme l
            ON l.lexeme = d.lexeme AND l.collection_id IN (SELECT collection_id FROM collection)
        GROUP BY d.lexeme
    ) known
    CROSS JOIN spoken
), met AS MATERIALIZED (
    SELECT w.output, w.sentence, w.lexeme, t.idf, s.name, coalesce(s.words @@ w.query, false) AS has
    FROM word w
    JOIN weight t USING (lexeme)
    LEFT JOIN source s USING (output)
), most AS (
    SELECT DISTINCT ON (output, sentence) output, sentence, name
    FROM met WHERE has
    GROUP BY output, sentence, name
    ORDER BY output, sentence, sum(idf) DESC, name
)
SELECT output, sentence, sum(idf * found::integer) / sum(idf) AS share, most.name
FROM (
    SELECT output, sentence, lexeme, idf, bool_or(has) AS found FROM met GROUP BY output, sentence, lexeme, idf
) each
LEFT JOIN most USING (output, sentence)
GROUP BY output, sentence, most.name
