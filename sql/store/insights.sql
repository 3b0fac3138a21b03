-- name: write
-- Everything that finished together, in one statement: compare-and-set on each lease, insight, citations, ledger,
-- outbox. Returns what was held, and of what was made how it is told in the audit: row by row, as a join of what has no
-- statistics would look each of them up for each. A row whose lease is gone drops out alone; an insight that exists is never made twice.
WITH finished AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS f (
        work_id bigint, version integer, token uuid, status text, reason text, output jsonb, model text, route text,
        quotes_by text, shared boolean, confidence real, confidences jsonb, source_cursor text, redactions jsonb, notes jsonb,
        neighbour jsonb, citations jsonb, sealed jsonb, prompt_tokens integer, reused_tokens integer, sampled_tokens integer,
        forced_tokens integer, asked text, reused_from bigint, queue_ms real, prompt_ms real, decode_ms real, compute_ms real, money double precision,
        spent jsonb)
), live AS MATERIALIZED (
    -- A change of stages waits until this is written, and what is written comes after a change that was there first.
    SELECT d.* FROM store.deployment d
    WHERE d.pipeline_version_id IN (SELECT f.version FROM finished f)
    ORDER BY d.pipeline_version_id FOR SHARE
), held AS (
    UPDATE store.work w
    SET state = 'done', lease_token = NULL, lease_until = NULL, holder = NULL, reason = NULL, isolated = false,
        finished_at = now()
    FROM finished f CROSS JOIN live d
    WHERE w.work_id = f.work_id AND w.lease_token = f.token AND w.state = 'claimed'
      AND d.pipeline_version_id = w.pipeline_version_id
    RETURNING w.row_id, w.stream_id, w.input_hash, w.pipeline_version_id, w.request, w.overtaken, w.client, d.pipeline_id,
              d.sink_id, d.stage, d.withdrawn, d.columns, d.shown_from, d.shown_upto, f.*
), made AS (
    INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, reason, output, model, route, quotes_by,
                               shared, confidence, confidences, neighbour, source_cursor, redactions, notes, request, prompt_tokens,
                               reused_tokens, sampled_tokens, forced_tokens, queue_ms, prompt_ms, decode_ms, compute_ms,
                               money, asked, reused_from)
    SELECT h.row_id, h.pipeline_version_id, h.input_hash, h.status, h.reason, h.output, h.model, h.route, h.quotes_by,
           h.shared, h.confidence, h.confidences, h.neighbour, h.source_cursor, h.redactions,
           nullif(ARRAY(SELECT jsonb_array_elements_text(h.notes)), '{}'), h.request, h.prompt_tokens, h.reused_tokens,
           h.sampled_tokens, h.forced_tokens, h.queue_ms, h.prompt_ms, h.decode_ms, h.compute_ms, h.money,
           decode(h.asked, 'hex'), h.reused_from
    FROM held h
    ON CONFLICT (row_id, input_hash, pipeline_version_id, request) DO NOTHING
    RETURNING insight_id, row_id, input_hash, pipeline_version_id, status
), spent AS (
    -- What these rows take of budgets, whether or not an insight existed: their claims, which reserved it, end here.
    SELECT v.budget_id, date_trunc(b.per, now(), b.time_zone) AS begins,
           sum(CASE b.unit WHEN 'rows' THEN CASE WHEN b.model IS NULL THEN s.rows ELSE 1 END
                           WHEN 'tokens' THEN s.tokens WHEN 'seconds' THEN s.seconds ELSE s.money END) AS amount
    FROM held h
    JOIN store.budgeted v USING (pipeline_version_id)
    JOIN store.budget b USING (budget_id)
    CROSS JOIN LATERAL jsonb_to_recordset(h.spent) AS s (model text, tokens integer, seconds double precision,
                                                         money double precision, rows integer)
    WHERE (b.model IS NULL OR b.model = s.model) AND (b.client IS NULL OR b.client = h.client)
    GROUP BY v.budget_id, b.per, b.time_zone
), ordered AS (
    SELECT s.* FROM store.budget b JOIN spent s USING (budget_id) ORDER BY b.budget_id FOR NO KEY UPDATE OF b
), settled AS (
    UPDATE store.budget b
    SET used = CASE WHEN b.window_start >= s.begins THEN b.used ELSE 0 END + coalesce(s.amount, 0),
        window_start = greatest(b.window_start, s.begins)
    FROM ordered s WHERE b.budget_id = s.budget_id
), paired AS MATERIALIZED (
    -- FULL, which is never done by laying each beside each: what has no statistics is taken for one row. Those that had an
    -- insight stand here without one.
    SELECT m.insight_id, h.* FROM made m FULL JOIN held h USING (row_id, input_hash, pipeline_version_id)
), joined AS (
    SELECT p.insight_id, p.row_id, p.status, p.input_hash, p.pipeline_version_id, p.stream_id, p.overtaken, p.client, p.pipeline_id,
           p.sink_id, p.stage, p.withdrawn, p.columns, l.row_key, store.covers(p.shown_from, p.shown_upto, l.row_key) AS shows,
           p.work_id, p.output, p.reason, p.citations, p.sealed
    FROM paired p JOIN store.ledger l ON l.row_id = p.row_id
    WHERE p.insight_id IS NOT NULL
), known AS (
    -- What of a row is shown: of inputs that it still has, by the version that its key shows; never of a shadow, nor of what
    -- was rolled back. Of another version only where that one has made nothing, or, by the full one, is still at it. It may
    -- have written this moment: what this statement cannot see yet stands.
    INSERT INTO store.current_insight AS c (row_id, pipeline_id, insight_id)
    SELECT DISTINCT ON (j.row_id, j.pipeline_id) j.row_id, j.pipeline_id, j.insight_id
    FROM joined j
    WHERE NOT j.overtaken AND j.stage <> 'shadow' AND NOT j.withdrawn
      AND (j.shows OR NOT EXISTS (
          SELECT FROM store.current_insight s
          JOIN store.insight i USING (insight_id)
          JOIN store.deployment d ON d.pipeline_version_id = i.pipeline_version_id
          WHERE s.row_id = j.row_id AND s.pipeline_id = j.pipeline_id
            AND store.covers(d.shown_from, d.shown_upto, j.row_key)
            AND NOT (j.stage = 'full' AND EXISTS (
                SELECT FROM store.work w
                WHERE w.row_id = j.row_id AND w.pipeline_version_id = d.pipeline_version_id
                  AND w.state IN ('pending', 'claimed', 'missing', 'dead') AND NOT w.overtaken))))
    ORDER BY j.row_id, j.pipeline_id, j.shows DESC, (j.stage = 'full') DESC, j.insight_id DESC
    ON CONFLICT (row_id, pipeline_id) DO UPDATE SET insight_id = excluded.insight_id
    WHERE EXISTS (SELECT FROM joined j WHERE j.insight_id = excluded.insight_id AND j.shows)
       OR EXISTS (SELECT FROM store.insight i WHERE i.insight_id = c.insight_id)
    RETURNING c.insight_id
), handed AS (
    -- What was rolled back after it had begun a row: the version that is full does it, unless it has.
    INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id, client)
    SELECT DISTINCT ON (j.row_id, d.pipeline_version_id) j.row_id, j.stream_id,
           CASE WHEN d.columns = j.columns THEN j.input_hash ELSE gen_random_uuid() END, d.pipeline_version_id, j.client
    FROM joined j JOIN store.deployment d ON d.pipeline_id = j.pipeline_id AND d.stage = 'full'
    WHERE j.withdrawn AND NOT j.overtaken
      AND NOT EXISTS (SELECT FROM store.insight i
                      WHERE i.row_id = j.row_id AND i.pipeline_version_id = d.pipeline_version_id
                        AND i.input_hash = j.input_hash)
      AND NOT EXISTS (SELECT FROM store.work o
                      WHERE o.row_id = j.row_id AND o.pipeline_version_id = d.pipeline_version_id
                        AND o.state IN ('pending', 'claimed', 'missing', 'dead') AND NOT o.overtaken)
    ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
    SET state = 'pending', attempts = 0, not_before = now(), reason = NULL, finished_at = NULL, overtaken = false
    WHERE w.state IN ('superseded', 'missing', 'cancelled')
), cited AS (
    INSERT INTO store.citation (insight_id, ordinal, field, source, passage_id, uri, title, quote, quote_start,
                                quote_end, support, claim_start, claim_end)
    SELECT j.insight_id, c.ordinal, c.field, c.source, p.passage_id, c.uri, c.title, c.quote, c.start, c.stop, c.support,
           c.claim_start, c.claim_end
    FROM joined j
    CROSS JOIN LATERAL jsonb_to_recordset(j.citations) AS c (
        ordinal smallint, field text, source text, passage_id bigint, uri text, title text, quote text, start integer,
        stop integer, support real, claim_start integer, claim_end integer)
    LEFT JOIN store.passage p ON p.passage_id = c.passage_id
), told AS (
    INSERT INTO store.outbox AS o (sink_id, row_id, revision, insight_id, shows, sealed)
    SELECT j.sink_id, j.row_id, nextval('store.revision'), j.insight_id, 'current',
           CASE WHEN j.sealed IS NOT NULL
                THEN jsonb_build_object('insight_id', j.insight_id, 'values', j.sealed) END
    FROM joined j JOIN known k USING (insight_id)
    WHERE j.sink_id IS NOT NULL
    ON CONFLICT (sink_id, row_id) DO UPDATE
    SET revision = nextval('store.revision'), insight_id = excluded.insight_id, shows = 'current', delivered_at = NULL,
        not_before = now(), attempts = 0, error = NULL, sealed = excluded.sealed
)
SELECT j.work_id, j.insight_id, j.row_id, j.stream_id, j.status, j.stage, j.input_hash, k.shown_key, v.sha256 AS version,
       encode(sha256(convert_to(j.output::text, 'UTF8')), 'hex') AS output_sha256,
       encode(sha256(convert_to(j.reason, 'UTF8')), 'hex') AS reason_sha256
FROM joined j
LEFT JOIN LATERAL (SELECT k.shown_key FROM store.shown_key k WHERE k.row_id = j.row_id LIMIT 1) k ON true
LEFT JOIN store.pipeline_version v ON v.pipeline_version_id = j.pipeline_version_id
UNION ALL
SELECT h.work_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM paired h WHERE h.insight_id IS NULL;

-- name: reusable
-- Of requests those that a version has answered within a time, by what they are known by: the newest such insight, with where
-- its quotes stand. None for work that was asked for again on unchanged inputs.
SELECT a.work_id, i.insight_id, i.output, i.model, i.route, i.quotes_by, i.confidences, i.notes, q.quotes
FROM unnest(%(work_ids)s::bigint[], %(asked)s::bytea[]) AS a (work_id, asked)
JOIN store.work w ON w.work_id = a.work_id AND w.request = 0
CROSS JOIN LATERAL (
    SELECT * FROM store.insight s
    WHERE s.pipeline_version_id = %(version_id)s AND s.asked = a.asked
      AND s.generated_at > now() - make_interval(secs => %(age_s)s)
    ORDER BY s.generated_at DESC LIMIT 1) i
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('field', c.field, 'source', c.source, 'start', c.quote_start,
                                                 'end', c.quote_end) ORDER BY c.ordinal), '[]') AS quotes
    FROM store.citation c WHERE c.insight_id = i.insight_id AND c.quote_start IS NOT NULL) q;

-- name: sink
-- Record a sink if it is new, and return its id.
INSERT INTO store.sink (name) VALUES (%(name)s)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING sink_id;

-- name: setting
-- Read one fact.
SELECT value FROM store.fact WHERE name = %(name)s;

-- name: set_setting
-- Record one fact, once.
INSERT INTO store.setting (name, value) VALUES (%(name)s, %(value)s) ON CONFLICT (name) DO NOTHING;

-- name: rotate
-- A new hash key begins: one sweep of each stream gives all rows their new hash.
WITH begun AS (
    INSERT INTO store.setting (name, value) VALUES (%(name)s, %(value)s) ON CONFLICT (name) DO NOTHING
    RETURNING name
)
UPDATE store.stream SET sweep_due = true WHERE EXISTS (SELECT FROM begun);

-- name: former_rows
-- Rows that still have a hash by an older key; those that are deleted, or came through a door, are not waited for.
SELECT count(*) FROM store.ledger l JOIN store.stream s USING (stream_id)
WHERE l.gone_at IS NULL AND NOT EXISTS (SELECT FROM store.inbox b WHERE b.row_id = l.row_id)
  AND (s.key_version < %(key_version)s OR (s.former_key_version < %(key_version)s AND l.hash_version < s.hash_version));

-- name: unswept
-- Streams whose rows are still known by a hash over other columns: one sweep ends that.
SELECT name FROM store.stream WHERE former_columns IS NOT NULL AND former_key_version = key_version ORDER BY name;

-- name: completeness
-- Where every known row of every stream stands.
SELECT *, 'now' AS counted, NULL::timestamptz AS counted_at FROM insights.completeness ORDER BY stream, pipeline;

-- name: sinks
-- What each sink has been told and what it still has to be told.
SELECT k.name AS sink, count(o.row_id) AS rows,
       count(*) FILTER (WHERE o.delivered_at IS NULL AND o.error IS NULL AND o.row_id IS NOT NULL) AS undelivered,
       count(*) FILTER (WHERE o.error IS NOT NULL) AS refused,
       count(*) FILTER (WHERE o.shows = 'tombstoned') AS tombstoned,
       k.stopped_reason, k.last_published_at
FROM store.sink k LEFT JOIN store.outbox o USING (sink_id)
GROUP BY k.sink_id ORDER BY k.name;

-- name: usage_today
-- Generations of the last day and their tokens, of rows that went on to a larger model those of both; one that several rows
-- shared is counted once.
SELECT count(*) AS insights, coalesce(sum(u.prompt_tokens), 0) AS prompt_tokens,
       coalesce(sum(u.reused_tokens), 0) AS reused_tokens,
       coalesce(sum(u.sampled_tokens + u.forced_tokens), 0) AS output_tokens,
       count(*) FILTER (WHERE u.route LIKE '%%(escalated)') AS escalated
FROM store.insight u
WHERE u.prompt_tokens IS NOT NULL AND u.shared IS NOT TRUE AND u.generated_at > now() - interval '1 day';

-- name: mark
-- Where a run begins: what comes later has greater numbers.
SELECT now() AS at, (SELECT coalesce(max(row_id), 0) FROM store.ledger) AS row_id,
       (SELECT coalesce(max(insight_id), 0) FROM store.insight) AS insight_id,
       (SELECT count(*) FROM store.work WHERE state = 'dead') AS dead;

-- name: since
-- What a run has made: counted from where it began, not over all there is.
SELECT (SELECT count(*) FROM store.ledger WHERE row_id > %(row_id)s) AS rows,
       i.insights, i.generations, i.abstained, i.withheld,
       (SELECT count(*) FROM store.work WHERE state = 'dead') - %(dead)s AS dead,
       (SELECT count(*) FROM store.ledger WHERE gone_at >= %(at)s) AS deleted
FROM (
    SELECT count(*) AS insights, count(*) FILTER (WHERE prompt_tokens IS NOT NULL) AS generations,
           count(*) FILTER (WHERE status = 'abstained') AS abstained, count(*) FILTER (WHERE status = 'withheld') AS withheld
    FROM store.insight WHERE insight_id > %(insight_id)s
) i;
