-- name: streams
-- How each stream fares, with its last whole sweep and how late its rows were found in the last week. No count of rows.
SELECT s.name AS stream, s.paused, s.stopped_reason, s.last_error, s.lag_s,
       extract(epoch FROM now() - s.last_poll_at)::float8 AS polled_s,
       extract(epoch FROM now() - s.complete_through)::float8 AS behind_s,
       s.missed_rows, greatest(s.overlap_s, s.widened_s) AS overlap_s, s.epoch - 1 AS epoch_changes,
       jsonb_array_length(s.gaps) AS open_gaps,
       extract(epoch FROM now() - w.started_at)::float8 AS swept_s, w.rows AS swept_rows, t.p50_s, t.p99_s
FROM store.stream s
LEFT JOIN LATERAL (
    SELECT w.started_at, w.rows FROM store.sweep w
    WHERE w.stream_id = s.stream_id AND w.finished_at IS NOT NULL
    ORDER BY w.stream_id DESC, w.sweep_id DESC LIMIT 1
) w ON true
LEFT JOIN LATERAL (
    SELECT min(b.upto_s) FILTER (WHERE b.share >= 0.5) AS p50_s, min(b.upto_s) FILTER (WHERE b.share >= 0.99) AS p99_s
    FROM (
        SELECT power(2, l.bucket / 4.0)::float8 AS upto_s,
               sum(sum(l.rows)) OVER (ORDER BY l.bucket) / sum(sum(l.rows)) OVER () AS share
        FROM store.lateness l WHERE l.stream_id = s.stream_id AND l.day > current_date - 7 GROUP BY l.bucket
    ) b
) t ON true
ORDER BY s.name;

-- name: versions
-- The versions of each pipeline that make new work, and the ten that were retired last.
SELECT p.name AS pipeline, s.name AS stream, k.name AS sink, v.sha256, d.stage, d.share, d.stopped_reason, d.changed_at, d.changed_by,
       (SELECT array_agg(split_part(l.name, ' ', 3) ORDER BY 1) FROM store.lease l
        WHERE starts_with(l.name, 'serves ' || v.pipeline_version_id || ' ') AND l.expires_at > now()) AS served_by
FROM (
    SELECT d.*, row_number() OVER (PARTITION BY stage = 'retired' ORDER BY changed_at DESC) AS place FROM store.deployment d
) d
JOIN store.pipeline_version v USING (pipeline_version_id)
JOIN store.pipeline p ON p.pipeline_id = d.pipeline_id
JOIN store.stream s ON s.stream_id = d.stream_id
LEFT JOIN store.sink k ON k.sink_id = d.sink_id
WHERE d.stage <> 'retired' OR d.place <= 10
ORDER BY p.name, (d.stage = 'retired'), d.changed_at DESC;

-- name: recent
-- The newest insights, by pipeline: their outcomes, and how long they took from the finding of the change to the insight and to
-- the moment when the sink had it. Along the primary key, whatever the table's length.
WITH newest AS MATERIALIZED (
    SELECT i.row_id, i.input_hash, i.pipeline_version_id, i.insight_id, i.status, i.generated_at
    FROM store.insight i ORDER BY i.insight_id DESC LIMIT 500
), timed AS (
    SELECT d.stream_id, d.pipeline_id, n.status, extract(epoch FROM n.generated_at - w.enqueued_at)::float8 AS made_s,
           extract(epoch FROM o.delivered_at - w.enqueued_at)::float8 AS shown_s
    FROM newest n
    JOIN store.deployment d USING (pipeline_version_id)
    LEFT JOIN LATERAL (
        SELECT w.enqueued_at FROM store.work w
        WHERE w.row_id = n.row_id AND w.input_hash = n.input_hash AND w.pipeline_version_id = n.pipeline_version_id LIMIT 1
    ) w ON true
    LEFT JOIN LATERAL (
        SELECT o.delivered_at FROM store.outbox o
        WHERE o.sink_id = d.sink_id AND o.row_id = n.row_id AND o.insight_id = n.insight_id LIMIT 1
    ) o ON true
)
SELECT s.name AS stream, p.name AS pipeline, count(*) AS insights,
       count(*) FILTER (WHERE t.status = 'ok') AS ok, count(*) FILTER (WHERE t.status = 'abstained') AS abstained,
       count(*) FILTER (WHERE t.status = 'withheld') AS withheld,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY t.made_s) AS made_p50_s,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY t.made_s) AS made_p99_s,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY t.shown_s) AS shown_p50_s,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY t.shown_s) AS shown_p99_s
FROM timed t
JOIN store.pipeline p USING (pipeline_id)
JOIN store.stream s ON s.stream_id = t.stream_id
GROUP BY s.name, p.name ORDER BY s.name, p.name;

-- name: models
-- Which models made the newest insights, and what one cost.
SELECT n.model, count(*) AS insights, avg(n.prompt_tokens)::float8 AS prompt_tokens,
       avg(n.sampled_tokens + n.forced_tokens)::float8 AS output_tokens, avg(n.prompt_ms + n.decode_ms)::float8 AS ms
FROM (SELECT * FROM store.insight i ORDER BY i.insight_id DESC LIMIT 500) n
WHERE n.model IS NOT NULL
GROUP BY n.model ORDER BY count(*) DESC, n.model;

-- name: newest
-- The number of the newest insight; 0: there is none.
SELECT coalesce(max(insight_id), 0) AS insight_id FROM store.insight;

-- name: made
-- How many insights were made in each minute, of those with these numbers.
SELECT extract(epoch FROM date_trunc('minute', generated_at))::float8 AS minute,
       count(*) FILTER (WHERE status = 'ok') AS ok, count(*) FILTER (WHERE status <> 'ok') AS others
FROM store.insight WHERE insight_id > %(after)s AND insight_id <= %(upto)s
GROUP BY 1 ORDER BY 1;

-- name: latest
-- The newest insights with their outputs, of one outcome or of any; of one that is rare, those among the newest 2,000.
SELECT n.insight_id, n.row_id, k.stream, k.shown_key AS row_key, p.name AS pipeline, v.sha256, n.status, n.reason, n.output,
       n.model, n.generated_at, n.confidence
FROM (
    SELECT r.* FROM (SELECT * FROM store.insight i ORDER BY i.insight_id DESC LIMIT 2000) r
    WHERE %(status)s::text IS NULL OR r.status = %(status)s
    ORDER BY r.insight_id DESC LIMIT %(limit)s
) n
JOIN store.pipeline_version v USING (pipeline_version_id)
JOIN store.pipeline p USING (pipeline_id)
CROSS JOIN LATERAL (SELECT k.stream, k.shown_key FROM store.shown_key k WHERE k.row_id = n.row_id LIMIT 1) k
ORDER BY n.insight_id DESC;

-- name: insight
-- One insight.
SELECT i.insight_id, i.row_id, k.stream, k.shown_key AS row_key, p.name AS pipeline, v.sha256, i.status, i.reason, i.output,
       i.model, i.generated_at, i.confidence
FROM store.insight i
JOIN store.shown_key k USING (row_id)
JOIN store.pipeline_version v USING (pipeline_version_id)
JOIN store.pipeline p USING (pipeline_id)
WHERE i.insight_id = %(insight_id)s;

-- name: citations
-- What an insight stands on: quotes of the redacted row, and passages with their text as it is now.
SELECT c.field, c.source, c.title, c.uri, c.quote, c.quote_start, c.quote_end, c.support, c.claim_start, c.claim_end,
       p.content
FROM store.citation c LEFT JOIN store.passage p USING (passage_id)
WHERE c.insight_id = %(insight_id)s ORDER BY c.ordinal LIMIT 200;

-- name: dead
-- The newest dead letters of each stream, along `work_dead`.
SELECT d.work_id, k.stream, k.shown_key AS row_key, d.attempts, coalesce(d.reason, 'unknown') AS reason,
       coalesce(d.finished_at, d.enqueued_at) AS died_at
FROM store.stream s
CROSS JOIN LATERAL (
    SELECT w.* FROM store.work w
    WHERE w.stream_id BETWEEN s.stream_id AND s.stream_id AND w.state = 'dead'
    ORDER BY w.stream_id DESC, w.work_id DESC LIMIT %(limit)s
) d
CROSS JOIN LATERAL (SELECT k.stream, k.shown_key FROM store.shown_key k WHERE k.row_id = d.row_id LIMIT 1) k
ORDER BY d.work_id DESC;

-- name: dead_reasons
-- How many of the newest thousand dead letters of each stream have each reason, along `work_dead`.
SELECT s.name AS stream, coalesce(d.reason, 'unknown') AS reason, count(*) AS rows
FROM store.stream s
CROSS JOIN LATERAL (
    SELECT w.reason FROM store.work w
    WHERE w.stream_id BETWEEN s.stream_id AND s.stream_id AND w.state = 'dead'
    ORDER BY w.stream_id DESC, w.work_id DESC LIMIT 1000
) d
GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2;
