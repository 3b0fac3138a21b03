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

-- name: shown
-- The insights that a slice of a pipeline's rows shows, by row, made within a time: what a column may say something of.
WITH slice AS (
    SELECT %(after)s::bigint AS after, %(after)s::bigint + %(rows)s::bigint AS upto
)
SELECT c.row_id, l.row_key, i.insight_id, i.output
FROM slice s
JOIN store.pipeline p ON p.name = %(pipeline)s
JOIN store.current_insight c ON c.row_id > s.after AND c.row_id <= s.upto AND c.pipeline_id = p.pipeline_id
JOIN store.insight i ON i.insight_id = c.insight_id
JOIN store.ledger l ON l.row_id = c.row_id
WHERE i.status = 'ok' AND l.gone_at IS NULL AND i.generated_at > now() - make_interval(secs => %(age_s)s)
ORDER BY c.row_id;

-- name: last_row
-- The greatest row id of a store.
SELECT coalesce(max(row_id), 0) AS row_id FROM store.ledger;

-- name: column_says
-- Say what columns say of insights; return how many verdicts are new, another, or taken back.
SELECT store.column_verdicts(%(columns)s, %(said)s) AS changed;
