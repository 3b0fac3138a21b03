-- name: any
-- Whether anything was ever counted.
SELECT EXISTS (SELECT FROM store.counted) AS counted;

-- name: completeness_counted
-- Where every row of every stream stood when it was last counted; a stream that is newer has no counts yet.
SELECT *, CASE WHEN counted_at IS NULL THEN 'not yet' ELSE 'earlier' END AS counted
FROM insights.completeness_counted ORDER BY stream, pipeline;

-- name: sinks_counted
-- What each sink had been told when it was last counted, and what it still has to be told.
SELECT k.name AS sink, coalesce(c.rows, 0) AS rows, coalesce(c.tombstoned, 0) AS tombstoned,
       (SELECT count(*) FROM store.outbox o
        WHERE o.sink_id = k.sink_id AND o.delivered_at IS NULL AND o.error IS NULL) AS undelivered,
       (SELECT count(*) FROM store.outbox o WHERE o.sink_id = k.sink_id AND o.error IS NOT NULL) AS refused,
       k.stopped_reason, k.last_published_at
FROM store.sink k LEFT JOIN store.counted_sink c USING (sink_id) ORDER BY k.name;

-- name: due
-- Whether it is time to count again: once a minute, and a hundredth of the time at most.
SELECT NOT EXISTS (SELECT FROM store.counted WHERE counted_at > now() - make_interval(secs => greatest(60, 100 * took_s))) AS due,
       (SELECT coalesce(max(row_id), 0) FROM store.ledger) AS upto;

-- name: outcomes
-- Where the rows of a slice stand: as insights.completeness has it, along the primary keys. A stream that has none is there.
SELECT s.stream_id, d.pipeline_id, o.outcome, coalesce(o.rows, 0) AS rows
FROM store.stream s
LEFT JOIN store.deployment d ON d.stream_id = s.stream_id AND d.stage = 'full'
LEFT JOIN (
    SELECT l.stream_id, f.pipeline_id, count(*) AS rows,
           CASE
               WHEN l.gone_at IS NOT NULL THEN 'gone'
               WHEN i.insight_id IS NOT NULL AND (w.row_id IS NULL OR (w.input_hash = i.input_hash AND NOT b.withdrawn))
                   THEN i.status
               WHEN w.state IN ('pending', 'claimed') THEN 'pending'
               WHEN w.state IN ('dead', 'missing') THEN w.state
               WHEN (SELECT q.first_row_id FROM store.work_page q
                     WHERE q.pipeline_id = f.pipeline_id AND q.last_row_id >= l.row_id
                     ORDER BY q.last_row_id LIMIT 1) <= l.row_id THEN 'pending'
               ELSE 'skipped'
           END AS outcome
    FROM store.ledger l
    LEFT JOIN store.deployment f ON f.stream_id = l.stream_id AND f.stage = 'full'
    LEFT JOIN store.current_insight c
        ON c.row_id = l.row_id AND c.pipeline_id = f.pipeline_id AND c.row_id > %(after)s AND c.row_id <= %(upto)s
    LEFT JOIN LATERAL (
        SELECT i.insight_id, i.status, i.input_hash, i.pipeline_version_id
        FROM store.insight i WHERE i.insight_id = c.insight_id LIMIT 1
    ) i ON true
    LEFT JOIN store.deployment b ON b.pipeline_version_id = i.pipeline_version_id
    LEFT JOIN (
        SELECT DISTINCT ON (w.row_id, v.pipeline_id) w.row_id, v.pipeline_id, w.state, w.input_hash
        FROM store.work w
        JOIN store.deployment v USING (pipeline_version_id)
        JOIN store.ledger k ON k.row_id = w.row_id AND k.row_id > %(after)s AND k.row_id <= %(upto)s
        WHERE w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
          AND w.row_id > %(after)s AND w.row_id <= %(upto)s
          AND (v.stage = 'retired' OR store.covers(v.shown_from, v.shown_upto, k.row_key))
        ORDER BY w.row_id, v.pipeline_id, w.work_id DESC
    ) w ON w.row_id = l.row_id AND w.pipeline_id = f.pipeline_id
    WHERE l.row_id > %(after)s AND l.row_id <= %(upto)s
    GROUP BY l.stream_id, f.pipeline_id, outcome
) o ON o.stream_id = s.stream_id AND o.pipeline_id IS NOT DISTINCT FROM d.pipeline_id;

-- name: keep
-- Keep what was counted, in the place of what was counted before.
WITH found AS (
    SELECT f.* FROM unnest(%(streams)s::integer[], %(pipelines)s::integer[], %(outcomes)s::text[], %(counts)s::bigint[])
        AS f (stream_id, pipeline_id, outcome, rows)
    JOIN store.stream USING (stream_id)
), gone AS (
    DELETE FROM store.counted c
    WHERE NOT EXISTS (SELECT FROM found f WHERE f.stream_id = c.stream_id AND f.pipeline_id IS NOT DISTINCT FROM c.pipeline_id)
)
INSERT INTO store.counted AS c
    (stream_id, pipeline_id, took_s, rows_known, ok, abstained, withheld, pending, dead, missing, gone, skipped)
SELECT stream_id, pipeline_id, %(took_s)s, coalesce(sum(rows), 0),
       coalesce(sum(rows) FILTER (WHERE outcome = 'ok'), 0), coalesce(sum(rows) FILTER (WHERE outcome = 'abstained'), 0),
       coalesce(sum(rows) FILTER (WHERE outcome = 'withheld'), 0), coalesce(sum(rows) FILTER (WHERE outcome = 'pending'), 0),
       coalesce(sum(rows) FILTER (WHERE outcome = 'dead'), 0), coalesce(sum(rows) FILTER (WHERE outcome = 'missing'), 0),
       coalesce(sum(rows) FILTER (WHERE outcome = 'gone'), 0), coalesce(sum(rows) FILTER (WHERE outcome = 'skipped'), 0)
FROM found GROUP BY stream_id, pipeline_id
ON CONFLICT (stream_id, pipeline_id) DO UPDATE
SET counted_at = now(), took_s = excluded.took_s, rows_known = excluded.rows_known, ok = excluded.ok,
    abstained = excluded.abstained, withheld = excluded.withheld, pending = excluded.pending, dead = excluded.dead,
    missing = excluded.missing, gone = excluded.gone, skipped = excluded.skipped;

-- name: keep_sinks
-- Count what each sink was told, and keep that.
INSERT INTO store.counted_sink AS c (sink_id, rows, tombstoned)
SELECT sink_id, count(*), count(*) FILTER (WHERE shows = 'tombstoned') FROM store.outbox GROUP BY sink_id
ON CONFLICT (sink_id) DO UPDATE SET counted_at = now(), rows = excluded.rows, tombstoned = excluded.tombstoned;
