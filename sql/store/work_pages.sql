-- name: waits
-- Whether a page of a first load waits for one of these versions.
SELECT EXISTS (SELECT FROM store.work_page WHERE pipeline_version_id = ANY(%(versions)s)) AS waits;

-- name: due
-- Of each version the oldest page, where fewer rows are ready than may be claimed, or where what is ready was found after
-- it: what comes in meanwhile keeps no page waiting. Other daemons pass it over until this transaction ends.
SELECT p.work_page_id
FROM unnest(%(versions)s::integer[], %(rows)s::integer[]) AS q (pipeline_version_id, rows)
JOIN store.deployment d USING (pipeline_version_id)
JOIN store.stream s USING (stream_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, min(r.enqueued_at) AS found_at
    FROM (SELECT w.enqueued_at
          FROM store.work w
          WHERE w.pipeline_version_id BETWEEN d.pipeline_version_id AND d.pipeline_version_id AND w.state = 'pending'
            AND w.not_before <= now() AND NOT w.isolated
          ORDER BY w.pipeline_version_id, w.work_id LIMIT q.rows) r
) ready
CROSS JOIN LATERAL (
    SELECT p.work_page_id
    FROM store.work_page p
    WHERE p.pipeline_version_id = d.pipeline_version_id AND (ready.rows < q.rows OR ready.found_at > p.found_at)
    ORDER BY p.work_page_id LIMIT 1
    FOR UPDATE SKIP LOCKED
) p
WHERE d.stage <> 'retired' AND NOT s.paused AND s.stopped_reason IS NULL;

-- name: enqueue
-- These pages become rows of work: the function is the one place where they do.
SELECT store.queue_pages(%(pages)s) AS queued;

-- name: repoint
-- Pages that wait under a retired version are done under the live one of their pipeline, as rows are.
WITH waiting AS (
    SELECT p.work_page_id, f.pipeline_version_id AS live_id
    FROM store.deployment r
    JOIN store.deployment f ON f.pipeline_id = r.pipeline_id AND f.stage = 'full'
    JOIN store.work_page p ON p.pipeline_version_id = r.pipeline_version_id
    WHERE r.stage = 'retired'
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE store.work_page p SET pipeline_version_id = w.live_id FROM waiting w WHERE p.work_page_id = w.work_page_id;
