-- name: append
-- What was done, in the transaction that did it. Nothing else writes events.
INSERT INTO store.audit_event (actor, action, stream_id, row_id, insight_id, details)
SELECT %(actor)s, e.action, e.stream_id, e.row_id, e.insight_id, coalesce(e.details, '{}')
FROM jsonb_to_recordset(%(events)s) AS e (action text, stream_id integer, row_id bigint, insight_id bigint, details jsonb);
