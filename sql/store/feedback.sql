-- name: counts
-- Of each version of a pipeline, how many insights were said to be right or wrong since then: what guards look at.
SELECT v.pipeline_version_id, v.sha256, count(*) FILTER (WHERE f.verdict = 'right') AS right,
       count(*) FILTER (WHERE f.verdict = 'wrong') AS wrong
FROM store.pipeline p
JOIN store.pipeline_version v USING (pipeline_id)
JOIN store.feedback f USING (pipeline_version_id)
WHERE p.name = %(pipeline)s AND f.given_at >= %(since)s
GROUP BY v.pipeline_version_id ORDER BY v.pipeline_version_id;

-- name: given
-- All that was said of a pipeline's insights, row by row, with what they say, what they were made from, and the SHA-256 of what
-- the model was asked, as the audit has it.
SELECT f.insight_id, l.row_key, f.verdict, f.corrected, i.output, i.input_hash, v.sha256 AS version, d.columns,
       (SELECT e.details ->> 'prompt' FROM store.audit_event e
        WHERE e.row_id = i.row_id AND e.insight_id = f.insight_id AND e.action = 'insight' LIMIT 1) AS prompt
FROM store.pipeline p
JOIN store.pipeline_version v USING (pipeline_id)
JOIN store.deployment d USING (pipeline_version_id)
JOIN store.feedback f USING (pipeline_version_id)
JOIN store.insight i USING (insight_id)
JOIN store.ledger l USING (row_id)
WHERE p.name = %(pipeline)s AND l.gone_at IS NULL
ORDER BY i.row_id, f.insight_id, f.given_by;
