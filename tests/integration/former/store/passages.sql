-- Knowledge: collections, documents, passages, vectors, and the search over them.
-- `halfvec(384)` stands for the length of the configured model's vectors, which a type modifier
-- cannot take from a bound value; the program writes that number in its place.

-- name: declare_collection
-- A collection's id; a changed language shows in the documents' content hashes.
INSERT INTO store.collection (name, language, stream) VALUES (%(name)s, %(language)s, %(stream)s)
ON CONFLICT (name) DO UPDATE SET language = EXCLUDED.language, stream = EXCLUDED.stream
RETURNING collection_id;

-- name: declare_model
-- An embedding model's id; the same name with other files is another model.
WITH made AS (
    INSERT INTO store.embedding_model (name, sha256, dimensions)
    VALUES (%(name)s, %(sha256)s, %(dimensions)s)
    ON CONFLICT (name, sha256) DO NOTHING
    RETURNING model_id
)
SELECT model_id FROM made
UNION ALL
SELECT model_id FROM store.embedding_model WHERE name = %(name)s AND sha256 = %(sha256)s
LIMIT 1;

-- name: find_model
-- The id of a model that has been declared.
SELECT model_id FROM store.embedding_model WHERE name = %(name)s AND sha256 = %(sha256)s;

-- name: pin_model
-- What a served model makes of the check text when it is first used; never changed again.
UPDATE store.embedding_model SET check_vector = %(vector)s::halfvec
WHERE model_id = %(model_id)s AND check_vector IS NULL;

-- name: check_vector
-- What a served model made of the check text at first, in pgvector's binary format.
SELECT halfvec_send(check_vector) AS check_vector
FROM store.embedding_model WHERE model_id = %(model_id)s;

-- name: known_documents
-- What a synchronisation compares a listing with.
SELECT uri, content_hash::text AS content_hash, title
FROM store.document WHERE collection_id = %(collection_id)s;

-- name: forgotten
-- Which of these rows of a collection's stream are kept out, because they were forgotten.
SELECT u.uri FROM unnest(%(uris)s::text[]) AS u (uri) JOIN store.collection c ON c.collection_id = %(collection_id)s
WHERE EXISTS (SELECT FROM store.forgotten f WHERE f.stream = c.stream) AND store.is_forgotten(c.stream, u.uri);

-- name: lock_collection
-- Two synchronisations of one collection replace documents one after the other.
SELECT 1 FROM store.collection WHERE collection_id = %(collection_id)s FOR UPDATE;

-- name: move_document
-- The same content under another name: nothing is embedded again.
UPDATE store.document SET uri = %(uri)s, indexed_at = now()
WHERE collection_id = %(collection_id)s AND uri = %(old_uri)s;

-- name: delete_documents
-- Documents that are gone, with their passages and vectors.
WITH gone AS (
    DELETE FROM store.document WHERE collection_id = %(collection_id)s AND uri = ANY (%(uris)s)
    RETURNING document_id
)
UPDATE store.collection
SET changed_passages = changed_passages
    + (SELECT count(*) FROM store.passage JOIN gone USING (document_id))
WHERE collection_id = %(collection_id)s;

-- name: put_document
-- A new or changed document; its old passages go in the same transaction as the new ones come. A row that was forgotten
-- since it was read is not stored.
WITH put AS (
    INSERT INTO store.document (collection_id, uri, title, content_hash, bytes, labels, moment)
    SELECT %(collection_id)s, %(uri)s, %(title)s, %(content_hash)s::uuid, %(bytes)s, %(labels)s::jsonb,
           %(moment)s::numeric
    WHERE NOT EXISTS (SELECT FROM store.collection c
                      WHERE c.collection_id = %(collection_id)s AND store.is_forgotten(c.stream, %(uri)s))
    ON CONFLICT (collection_id, uri) DO UPDATE
    SET title = EXCLUDED.title, content_hash = EXCLUDED.content_hash, bytes = EXCLUDED.bytes,
        labels = EXCLUDED.labels, moment = EXCLUDED.moment, indexed_at = now()
    RETURNING document_id
), old AS (
    DELETE FROM store.passage p USING put WHERE p.document_id = put.document_id
), counted AS (
    UPDATE store.collection SET changed_passages = changed_passages + %(passages)s
    WHERE collection_id = %(collection_id)s
)
SELECT document_id FROM put;

-- name: put_passage
-- One passage with its vector. Title and headings weigh A, the text D, exact codes A.
WITH put AS (
    INSERT INTO store.passage
        (document_id, collection_id, ordinal, heading, content, tokens, filters, search)
    VALUES (
        %(document_id)s, %(collection_id)s, %(ordinal)s, %(heading)s, %(content)s, %(tokens)s,
        %(filters)s,
        setweight(to_tsvector(%(language)s::regconfig, %(about)s), 'A')
        || setweight(to_tsvector(%(language)s::regconfig, %(content)s), 'D')
        || %(codes)s::tsvector
    )
    RETURNING passage_id
)
INSERT INTO store.embedding (passage_id, model_id, embedding)
SELECT passage_id, %(model_id)s, %(vector)s::halfvec FROM put;

-- name: without_vector
-- Passages that a new model has not seen yet, a page by id.
SELECT p.passage_id, d.title, p.heading, p.content, p.tokens
FROM store.passage p
JOIN store.document d USING (document_id)
WHERE p.collection_id = %(collection_id)s AND p.passage_id > %(after)s
  AND NOT EXISTS (
      SELECT FROM store.embedding e
      WHERE e.model_id = %(model_id)s AND e.passage_id = p.passage_id
  )
ORDER BY p.passage_id
LIMIT %(limit)s;

-- name: add_vector
-- A new model's vector beside the old one; nothing to do where the passage went meanwhile.
INSERT INTO store.embedding (passage_id, model_id, embedding)
SELECT passage_id, %(model_id)s, %(vector)s::halfvec
FROM store.passage WHERE passage_id = %(passage_id)s
FOR KEY SHARE
ON CONFLICT DO NOTHING;

-- name: complete_model
-- From now on the collection may be searched with this model.
INSERT INTO store.collection_model (collection_id, model_id)
VALUES (%(collection_id)s, %(model_id)s)
ON CONFLICT DO NOTHING;

-- name: forget_words
-- First half of refreshing a collection's word statistics, if 5 %% of its passages have changed.
DELETE FROM store.lexeme l USING store.collection c
WHERE c.collection_id = %(collection_id)s AND l.collection_id = c.collection_id;

-- name: words_are_stale
-- Whether enough passages have changed for the word statistics to be counted again.
SELECT changed_passages > 0.05 * passages AS stale
FROM store.collection WHERE collection_id = %(collection_id)s;

-- name: count_words
-- In how many passages each word occurs.
INSERT INTO store.lexeme (collection_id, lexeme, passages)
SELECT %(collection_id)s, word, ndoc
FROM ts_stat(format(
    'SELECT search FROM store.passage WHERE collection_id = %%s', %(collection_id)s::integer));

-- name: count_passages
-- The rest of what BM25 needs: number and mean length of the passages.
UPDATE store.collection c
SET passages = s.passages, mean_tokens = greatest(s.mean_tokens, 1), changed_passages = 0
FROM (
    SELECT count(*) AS passages, coalesce(avg(tokens), 1) AS mean_tokens
    FROM store.passage WHERE collection_id = %(collection_id)s
) s
WHERE c.collection_id = %(collection_id)s;

-- name: finish_sync
-- When a synchronisation ended, and what it could not use; a row that was forgotten meanwhile is not named.
UPDATE store.collection c
SET synced_at = now(),
    problems = (SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}') FROM jsonb_each(%(problems)s::jsonb) p
                WHERE c.stream IS NULL OR NOT store.is_forgotten(c.stream, p.key))
WHERE c.collection_id = %(collection_id)s;

-- name: status
-- What `insights knowledge status` shows.
SELECT c.name, c.language, c.synced_at, c.problems,
       (SELECT count(*) FROM store.document d WHERE d.collection_id = c.collection_id) AS documents,
       (SELECT count(*) FROM store.passage p WHERE p.collection_id = c.collection_id) AS passages,
       ARRAY(
           SELECT m.name || '@' || left(m.sha256, 12)
           FROM store.collection_model cm JOIN store.embedding_model m USING (model_id)
           WHERE cm.collection_id = c.collection_id ORDER BY cm.completed_at
       ) AS models
FROM store.collection c
ORDER BY c.name;

-- name: complete_models
-- Which of the named collections each model is complete for.
SELECT m.name, m.sha256, m.model_id, array_agg(c.name) AS collections
FROM store.collection_model cm
JOIN store.embedding_model m USING (model_id)
JOIN store.collection c USING (collection_id)
WHERE c.name = ANY (%(collections)s)
GROUP BY m.model_id;

-- name: search_collections
-- The named collections and their language.
SELECT collection_id, language FROM store.collection WHERE name = ANY (%(collections)s);

-- name: session
-- Search settings of this transaction (pgvector manual, "Iterative Index Scans").
SELECT set_config(s.name, s.value, true)
FROM (VALUES ('hnsw.ef_search', %(ef_search)s),
             ('hnsw.iterative_scan', 'strict_order'),
             ('hnsw.max_scan_tuples', %(max_scan_tuples)s),
             ('jit', 'off')) AS s (name, value);

-- name: nearest_labelled
-- The labelled rows nearest to a vector, each by its first passage: with every label that is asked for,
-- never the row that asks (its key), and, where a moment is given, only what was decided before it. As
-- in `search`, every match is looked at where the index scan stopped before it had enough.
WITH nearest AS MATERIALIZED (
    SELECT e.passage_id, -(e.embedding::halfvec(384) <#> %(vector)s::halfvec(384)) AS similarity
    FROM store.embedding e
    JOIN store.passage p USING (passage_id)
    JOIN store.document d USING (document_id)
    WHERE e.model_id = %(model_id)s
      AND p.collection_id = ANY (%(collection_ids)s)
      AND p.ordinal = 0 AND p.filters @> %(filters)s
      AND d.labels ?& %(labels)s::text[]
      AND d.uri <> %(key)s
      AND (%(before)s::numeric IS NULL OR d.moment < %(before)s::numeric)
    ORDER BY e.embedding::halfvec(384) <#> %(vector)s::halfvec(384)
    LIMIT %(limit)s
), exact AS MATERIALIZED (
    SELECT passage_id, similarity
    FROM (
        SELECT e.passage_id, -(e.embedding::halfvec(384) <#> %(vector)s::halfvec(384)) AS similarity
        FROM store.document d
        JOIN store.passage p USING (document_id)
        JOIN store.embedding e USING (passage_id)
        WHERE e.model_id = %(model_id)s
          AND d.collection_id = ANY (%(collection_ids)s)
          AND p.ordinal = 0 AND p.filters @> %(filters)s
          AND d.labels ?& %(labels)s::text[]
          AND d.uri <> %(key)s
          AND (%(before)s::numeric IS NULL OR d.moment < %(before)s::numeric)
          AND (SELECT count(*) FROM nearest) < %(limit)s
        OFFSET 0
    ) matching
    ORDER BY similarity DESC
    LIMIT %(limit)s
)
SELECT f.passage_id, d.uri, d.title, p.content, d.labels, f.similarity
FROM (
    SELECT * FROM nearest WHERE NOT EXISTS (SELECT FROM exact)
    UNION ALL
    SELECT * FROM exact
) f
JOIN store.passage p USING (passage_id)
JOIN store.document d USING (document_id)
ORDER BY f.similarity DESC, f.passage_id;

-- name: search
-- Hybrid retrieval: BM25 over full text and nearest vectors, fused by their scores.
--
-- BM25 (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75) is computed here because PostgreSQL's own
-- ranking knows no document frequencies. The number of a word's occurrences comes out of ts_rank,
-- the cheapest function that looks: for one word of weight w it is w * (1 + 1/4 + 1/9 + ...) over
-- its n occurrences, divided by the sum's limit 1.644934, from which the sum falls short by nearly
-- 1 / (n + 0.5). A title (weight 1, others 0.5) counts double (BM25F). Words are taken from rare
-- to frequent as long as their passages, counted together, stay within the budget: only these words
-- find candidates, all words rank them. Where even the rarest word is too frequent, candidates have
-- it and another of the six rarest (any two of them would read every posting of all six); twice the
-- budget is ranked at most.
--
-- A passage's score is the cosine, plus BM25 as a share of what a text that had nothing but the
-- query's words would have, plus a little of BM25 as a share of the best passage's, plus a bonus for
-- an exact code of the query, the more the fewer passages have it. Where even the nearest passage is far (below `sure`), the query is of
-- codes, names or words that the model does not know: then text decides and nearness sorts what is
-- equal. Else the first three hits speak as well: everything found is scored by its nearness to the
-- query and their mean (Rocchio 1971, unattended). All measured in docs/knowledge.md.
WITH counted AS MATERIALIZED (
    SELECT u.lexeme, coalesce(sum(l.passages), 0)::float8 AS frequency
    FROM unnest(to_tsvector(%(language)s::regconfig, %(query)s) || %(codes)s::tsvector) u
    LEFT JOIN store.lexeme l
        ON l.lexeme = u.lexeme AND l.collection_id = ANY (%(collection_ids)s)
    GROUP BY u.lexeme
), weighed AS MATERIALIZED (
    SELECT c.lexeme, c.frequency,
           ln(1 + greatest(s.passages - c.frequency + 0.5, 0.5) / (c.frequency + 0.5)) AS idf,
           ('''' || replace(replace(c.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM counted c
    CROSS JOIN (
        SELECT sum(passages)::float8 AS passages FROM store.collection
        WHERE collection_id = ANY (%(collection_ids)s)
    ) s
), word AS MATERIALIZED (
    SELECT * FROM weighed
    ORDER BY (frequency = 0), idf DESC, lexeme  -- words not seen when last counted come last
    LIMIT %(max_words)s
), asked AS MATERIALIZED (
    SELECT nullif(sum(idf), 0) AS idf FROM weighed
), placed AS MATERIALIZED (
    SELECT query::text AS word, frequency,
           sum(frequency) OVER (ORDER BY frequency, lexeme) AS reached,
           row_number() OVER (ORDER BY (frequency = 0), frequency, lexeme) AS place,
           count(*) FILTER (WHERE frequency > 0) OVER () AS known
    FROM word
), finding AS MATERIALIZED (
    SELECT string_agg(part, ' | ')::tsquery AS condition
    FROM (
        SELECT word AS part FROM placed WHERE reached <= %(word_budget)s OR known = 1
        UNION ALL
        SELECT min(word) FILTER (WHERE place = 1) || ' & ('
               || string_agg(word, ' | ') FILTER (WHERE place > 1) || ')'
        FROM placed
        WHERE place <= 6 AND frequency > 0
        HAVING NOT bool_or(reached <= %(word_budget)s)
    ) parts
), nearest AS MATERIALIZED (
    SELECT e.passage_id, -(e.embedding::halfvec(384) <#> %(vector)s::halfvec(384)) AS similarity
    FROM store.embedding e
    JOIN store.passage p USING (passage_id)
    WHERE e.model_id = %(model_id)s
      AND p.collection_id = ANY (%(collection_ids)s)
      AND p.filters @> %(filters)s
    ORDER BY e.embedding::halfvec(384) <#> %(vector)s::halfvec(384)
    LIMIT %(depth)s
), exact AS MATERIALIZED (
    -- The index scan stopped at max_scan_tuples before it had enough: look at every match.
    SELECT passage_id, similarity
    FROM (
        SELECT e.passage_id, -(e.embedding::halfvec(384) <#> %(vector)s::halfvec(384)) AS similarity
        FROM store.passage p
        JOIN store.embedding e USING (passage_id)
        WHERE e.model_id = %(model_id)s
          AND p.collection_id = ANY (%(collection_ids)s)
          AND p.filters @> %(filters)s
          AND (SELECT count(*) FROM nearest) < %(depth)s
        OFFSET 0
    ) matching
    ORDER BY similarity DESC
    LIMIT %(depth)s
), semantic AS MATERIALIZED (
    SELECT passage_id, similarity, row_number() OVER (ORDER BY similarity DESC, passage_id) AS rank
    FROM (
        SELECT * FROM nearest WHERE NOT EXISTS (SELECT FROM exact)
        UNION ALL
        SELECT * FROM exact
    ) found
), worded AS MATERIALIZED (
    SELECT p.passage_id, m.bm25, m.exact
    FROM (
        SELECT passage_id, collection_id, tokens, search FROM store.passage
        WHERE search @@ (SELECT condition FROM finding)
          AND collection_id = ANY (%(collection_ids)s)
          AND filters @> %(filters)s
        LIMIT 2 * %(word_budget)s
    ) p
    JOIN store.collection c USING (collection_id)
    CROSS JOIN LATERAL (SELECT 1.2 * (0.25 + 0.75 * p.tokens / c.mean_tokens)) AS n (norm)
    CROSS JOIN LATERAL (
        SELECT sum(w.idf * 2.2 * f.tf / (f.tf + n.norm)) AS bm25,
               sum(w.idf) FILTER (WHERE left(w.lexeme, 1) = '=') AS exact
        FROM word w
        CROSS JOIN LATERAL (
            SELECT 1.644934 * ts_rank('{0.5, 0.5, 0.5, 1}', p.search, w.query) OFFSET 0
        ) AS r (rank)
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN r.rank < 0.99 THEN 1 / greatest(1.644934 - 2 * r.rank, 0.01) - 0.5
                ELSE 1 / greatest(2.644934 - 2 * r.rank, 0.05) + 0.5
            END
        ) AS f (tf)
        WHERE r.rank > 0
    ) m
), lexical AS MATERIALIZED (
    SELECT passage_id, row_number() OVER (ORDER BY bm25 DESC, passage_id) AS rank
    FROM worded
    WHERE bm25 > 0
    ORDER BY bm25 DESC, passage_id
    LIMIT %(depth)s
), evidence AS MATERIALIZED (
    -- `unique_idf` is that of a word which one passage has, nearly.
    SELECT (SELECT nullif(max(bm25), 0) FROM worded) AS best_bm25,
           (SELECT ln(2 + sum(passages)) FROM store.collection
            WHERE collection_id = ANY (%(collection_ids)s)) AS unique_idf,
           greatest(0, least(1, 10 * (%(sure)s - coalesce(max(similarity), 0)))) AS doubt
    FROM semantic
), either AS MATERIALIZED (
    SELECT f.*, row_number() OVER (ORDER BY f.fused DESC, f.passage_id) AS place
    FROM (
        SELECT g.*,
               coalesce(g.similarity, 0)
               + %(text_weight)s * coalesce(g.bm25 / (2.2 * (SELECT idf FROM asked)), 0)
               + (%(best_weight)s + 3 * v.doubt) * coalesce(g.bm25 / v.best_bm25, 0)
               + %(exact_weight)s * least(g.exact / v.unique_idf, 1) AS fused
        FROM (
            SELECT h.*, coalesce(w.bm25, 0) AS bm25, coalesce(w.exact, 0) AS exact,
                   e.embedding::halfvec(384) AS vector,
                   -(e.embedding::halfvec(384) <#> %(vector)s::halfvec(384)) AS similarity
            FROM (
                SELECT passage_id, s.rank AS vector_rank, l.rank AS text_rank
                FROM semantic s
                FULL JOIN lexical l USING (passage_id)
            ) h
            LEFT JOIN worded w ON w.passage_id = h.passage_id
            LEFT JOIN store.embedding e
                ON e.model_id = %(model_id)s AND e.passage_id = h.passage_id
        ) g
        CROSS JOIN evidence v
    ) f
), feedback AS MATERIALIZED (
    SELECT l2_normalize(%(vector)s::halfvec(384) + avg(vector)) AS vector,
           CASE WHEN (SELECT doubt FROM evidence) > 0 THEN 0 ELSE %(feedback_weight)s END AS weight
    FROM either WHERE place <= %(feedback)s
), fused AS MATERIALIZED (
    SELECT e.*, e.fused + f.weight * coalesce(-(e.vector <#> f.vector), 0) AS score
    FROM either e
    CROSS JOIN feedback f
    ORDER BY score DESC, passage_id
    LIMIT %(limit)s
)
SELECT f.passage_id, d.uri, d.title, p.heading, p.content, p.tokens, f.score,
       f.vector_rank, f.text_rank, f.similarity, f.bm25,
       k.words, k.coverage
FROM fused f
JOIN store.passage p USING (passage_id)
JOIN store.document d USING (document_id)
CROSS JOIN LATERAL (
    SELECT array_agg(w.lexeme ORDER BY w.idf DESC) FILTER (WHERE p.search @@ w.query) AS words,
           coalesce(sum(w.idf) FILTER (WHERE p.search @@ w.query) / (SELECT idf FROM asked), 0)
               AS coverage
    FROM word w
) k
ORDER BY f.score DESC, f.passage_id;
