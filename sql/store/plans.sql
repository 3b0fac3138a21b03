-- name: to_plan
-- What waits for a version of a pipeline, or where it is not live for the one that is full, and whether its stream was
-- polled; none where the pipeline has never run.
SELECT v.pipeline_version_id AS version_id, v.sha256,
       (SELECT count(*) FROM store.work w WHERE w.pipeline_version_id = v.pipeline_version_id AND w.state = 'pending')
           + (SELECT coalesce(sum(q.rows), 0) FROM store.work_page q WHERE q.pipeline_version_id = v.pipeline_version_id)::bigint
           AS pending,
       EXISTS (SELECT FROM store.ledger l WHERE l.stream_id = d.stream_id) AS polled
FROM store.pipeline p
JOIN store.deployment d ON d.pipeline_id = p.pipeline_id AND d.stage <> 'retired'
JOIN store.pipeline_version v USING (pipeline_version_id)
WHERE p.name = %(pipeline)s AND (v.sha256 = %(sha256)s OR d.stage = 'full')
ORDER BY (v.sha256 = %(sha256)s) DESC LIMIT 1;

-- name: row_cost
-- What a row of a version has taken on average, of its last thousand: what shared a generation, or asked no model, took nothing.
SELECT count(*) AS rows, coalesce(avg(CASE WHEN u.shared THEN 0 ELSE u.prompt_tokens END), 0)::float8 AS prompt_tokens,
       coalesce(avg(CASE WHEN u.shared THEN 0 ELSE u.sampled_tokens + u.forced_tokens END), 0)::float8 AS output_tokens,
       coalesce(avg(u.compute_ms), 0)::float8 / 1e3 AS seconds,
       CASE WHEN bool_and(u.money IS NOT NULL OR NOT u.asked) THEN avg(coalesce(u.money, 0)) END::float8 AS money
FROM (SELECT coalesce(i.shared, false) AS shared, coalesce(i.prompt_tokens, 0) AS prompt_tokens,
             coalesce(i.sampled_tokens, 0) AS sampled_tokens, coalesce(i.forced_tokens, 0) AS forced_tokens,
             coalesce(i.compute_ms, 0) AS compute_ms, i.money, i.prompt_tokens IS NOT NULL AS asked
      FROM store.insight i JOIN store.pipeline_version v USING (pipeline_version_id)
      WHERE v.sha256 = %(sha256)s AND (i.compute_ms IS NOT NULL OR i.prompt_tokens IS NULL)
      ORDER BY i.insight_id DESC LIMIT 1000) u;

-- name: keep_plan
-- Keep an estimate, and from which insight on it is held against what happens.
INSERT INTO store.plan (pipeline, model, rows, tokens, seconds, money, basis, after_insight)
SELECT %(pipeline)s, %(model)s, %(rows)s, %(tokens)s, %(seconds)s, %(money)s, %(basis)s,
       coalesce((SELECT max(insight_id) FROM store.insight), 0);

-- name: plans
-- The last plan of each pipeline, and what the rows that it was for have taken: of the first ten thousand of them.
SELECT p.pipeline, p.at, p.model, p.rows, p.tokens, p.seconds, p.money, p.basis, d.done_rows, d.done_tokens, d.done_seconds,
       d.done_money
FROM (SELECT DISTINCT ON (pipeline) * FROM store.plan ORDER BY pipeline, plan_id DESC) p
CROSS JOIN LATERAL (
    SELECT count(*) AS done_rows, coalesce(sum(u.tokens), 0)::float8 AS done_tokens,
           coalesce(sum(u.compute_ms), 0)::float8 / 1e3 AS done_seconds, sum(u.money) AS done_money
    FROM (SELECT CASE WHEN i.shared THEN 0
                      ELSE coalesce(i.prompt_tokens, 0) + coalesce(i.sampled_tokens, 0) + coalesce(i.forced_tokens, 0)
                 END AS tokens, i.compute_ms, i.money
          FROM store.insight i
          JOIN store.pipeline_version v USING (pipeline_version_id)
          JOIN store.pipeline n ON n.pipeline_id = v.pipeline_id AND n.name = p.pipeline
          WHERE i.insight_id > p.after_insight
          ORDER BY i.insight_id
          LIMIT least(p.rows, 10000)) u
) d
ORDER BY p.pipeline;
