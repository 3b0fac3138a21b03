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
