-- name: pipeline
-- Record a pipeline if it is new, and keep everybody else from changing its versions until this transaction ends.
INSERT INTO store.pipeline (name) VALUES (%(name)s)
ON CONFLICT (name) DO UPDATE SET name = excluded.name
RETURNING pipeline_id;

-- name: stream
-- Record a stream if it is new, and what the settings say of it: its overlap, whether its keys are personal.
INSERT INTO store.stream (name, overlap_s, key_personal, key_version, hash_version)
VALUES (%(name)s, %(overlap_s)s, %(key_personal)s, %(key_version)s, 1)
ON CONFLICT (name) DO UPDATE SET overlap_s = excluded.overlap_s, key_personal = excluded.key_personal
RETURNING stream_id;

-- name: version
-- Record a pipeline's version if it is new, and return how it is deployed.
WITH recorded AS (
    INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
    VALUES (%(pipeline_id)s, %(sha256)s, %(definition)s::jsonb)
    ON CONFLICT (pipeline_id, sha256) DO UPDATE SET sha256 = excluded.sha256
    RETURNING pipeline_version_id
)
SELECT r.pipeline_version_id, d.stage FROM recorded r LEFT JOIN store.deployment d USING (pipeline_version_id);

-- name: describe
-- What the settings say of a version that is deployed: they may name another sink, or be the first to name its columns.
UPDATE store.deployment SET sink_id = %(sink_id)s, columns = %(columns)s
WHERE pipeline_version_id = %(version_id)s
  AND (sink_id IS DISTINCT FROM %(sink_id)s OR columns IS DISTINCT FROM %(columns)s::text[]);

-- name: deploy
-- A version never seen before is full, or a shadow, from now on. The function refuses one that was seen.
SELECT store.deploy_version(%(version_id)s, %(stream_id)s, %(sink_id)s, %(columns)s::text[], %(stage)s, %(actor)s);

-- name: raise_shares
-- Raise the shares that are due by their own schedules; what became full has all keys.
SELECT pipeline, version, new_stage AS stage, new_share AS share FROM store.raise_shares(%(actor)s);

-- name: repoint
-- Work that waits under a retired version is done under the live one of its pipeline. Where that one reads other columns,
-- the hash is found out when the row is read. Work that the live version has already for the row stands instead.
WITH waiting AS (
    -- Version by version, along `work_ready`: what waits for live ones is not looked at, however much that is.
    SELECT w.work_id, w.row_id, f.pipeline_version_id AS live_id,
           EXISTS (SELECT FROM store.work o WHERE o.row_id = w.row_id AND o.pipeline_version_id = f.pipeline_version_id
                   AND (o.input_hash = w.input_hash OR o.state IN ('pending', 'claimed', 'missing'))) AS twice
    FROM store.deployment r
    JOIN store.deployment f ON f.pipeline_id = r.pipeline_id AND f.stage = 'full'
    CROSS JOIN LATERAL (
        SELECT w.work_id, w.row_id, w.input_hash
        FROM store.work w
        WHERE w.pipeline_version_id BETWEEN r.pipeline_version_id AND r.pipeline_version_id AND w.state = 'pending'
        ORDER BY w.pipeline_version_id, w.work_id
        FOR UPDATE SKIP LOCKED
    ) w
    WHERE r.stage = 'retired'
), ranked AS (
    -- Of two retired versions that wait for one row, the later work stands.
    SELECT work_id, live_id,
           twice OR row_number() OVER (PARTITION BY row_id, live_id ORDER BY work_id DESC) > 1 AS twice
    FROM waiting
)
UPDATE store.work w
SET pipeline_version_id = CASE WHEN t.twice THEN w.pipeline_version_id ELSE t.live_id END,
    state = CASE WHEN t.twice THEN 'superseded' ELSE w.state END,
    reason = CASE WHEN t.twice THEN 'another version of the pipeline does it' ELSE w.reason END,
    finished_at = CASE WHEN t.twice THEN now() END
FROM ranked t WHERE w.work_id = t.work_id;

-- name: found
-- The versions of a pipeline, the last changed first, whose SHA-256 begins like this.
SELECT v.pipeline_version_id, v.sha256, v.definition, d.stage, d.share, d.full_at
FROM store.pipeline p
JOIN store.pipeline_version v USING (pipeline_id)
JOIN store.deployment d USING (pipeline_version_id)
WHERE p.name = %(pipeline)s AND starts_with(v.sha256, %(prefix)s)
ORDER BY d.changed_at DESC, v.pipeline_version_id DESC;

-- name: definitions
-- What the versions of a pipeline whose SHA-256 begins like this were made of, the last changed first.
SELECT v.sha256, v.definition, d.stage, v.created_at, d.changed_at
FROM store.pipeline p
JOIN store.pipeline_version v USING (pipeline_id)
JOIN store.deployment d USING (pipeline_version_id)
WHERE p.name = %(pipeline)s AND starts_with(v.sha256, %(prefix)s)
ORDER BY d.changed_at DESC, v.pipeline_version_id DESC;

-- name: history
-- Which version of a pipeline was at which stage from when to when, by whom and why, its insights of the time, and how often
-- those were said to be right and wrong. A version that becomes full ends all others but shadows.
WITH deployed AS (
    SELECT row_number() OVER (ORDER BY e.at, e.chain_id, e.number) AS place, e.at, c.actor,
           coalesce(e.details ->> 'user', c.actor) AS by, e.details ->> 'version' AS sha256, e.details ->> 'stage' AS stage,
           (e.details ->> 'share')::float8 AS share, e.details ->> 'why' AS why
    FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)
    WHERE e.action = 'deployed' AND e.details ->> 'pipeline' = %(pipeline)s
), lasted AS (
    SELECT d.*, (SELECT min(n.at) FROM deployed n
                 WHERE n.place > d.place AND (n.sha256 = d.sha256 OR (n.stage = 'full' AND d.stage <> 'shadow'))) AS until
    FROM deployed d
)
SELECT h.sha256 AS pipeline_version, h.stage, coalesce(h.share, 1) AS share, h.at AS since, h.until, h.by, h.why,
       (SELECT count(*) FROM store.insight i JOIN store.pipeline_version v USING (pipeline_version_id)
        JOIN store.pipeline p USING (pipeline_id)
        WHERE p.name = %(pipeline)s AND v.sha256 = h.sha256
          AND i.generated_at >= h.at AND (h.until IS NULL OR i.generated_at < h.until)) AS insights,
       f.said_right, f.said_wrong
FROM lasted h
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE f.verdict = 'right') AS said_right, count(*) FILTER (WHERE f.verdict = 'wrong') AS said_wrong
    FROM store.feedback f JOIN store.insight i USING (insight_id)
    JOIN store.pipeline_version v ON v.pipeline_version_id = f.pipeline_version_id
    JOIN store.pipeline p USING (pipeline_id)
    WHERE p.name = %(pipeline)s AND v.sha256 = h.sha256
      AND i.generated_at >= h.at AND (h.until IS NULL OR i.generated_at < h.until)) f
WHERE h.stage <> 'retired' ORDER BY h.place;

-- name: live
-- What each stream is followed by: to know what is polled, whether anybody serves it, and what is said of its insights.
SELECT s.name AS stream, p.name AS pipeline, v.pipeline_version_id AS version_id, v.sha256, d.stage, d.share,
       d.shares AS shares_to_come, d.next_at, d.held_reason, d.stopped_reason,
       (SELECT w.nearest FROM store.watch w
        WHERE w.pipeline_version_id = d.pipeline_version_id AND w.since = d.watched_from AND d.stage IN ('canary', 'gradual')) AS nearest,
       (SELECT count(*) FROM store.work w WHERE w.pipeline_version_id = v.pipeline_version_id AND w.state = 'pending')
           + (SELECT coalesce(sum(q.rows), 0) FROM store.work_page q WHERE q.pipeline_version_id = v.pipeline_version_id)::bigint
           AS pending,
       (SELECT count(*) FROM store.feedback f
        WHERE f.pipeline_version_id = v.pipeline_version_id AND f.verdict = 'right') AS said_right,
       (SELECT count(*) FROM store.feedback f
        WHERE f.pipeline_version_id = v.pipeline_version_id AND f.verdict = 'wrong') AS said_wrong,
       (SELECT array_agg(split_part(l.name, ' ', 3) ORDER BY 1) FROM store.lease l
        WHERE l.name LIKE 'serves ' || v.pipeline_version_id || ' %%' AND l.expires_at > now()) AS served_by
FROM store.deployment d
JOIN store.pipeline_version v USING (pipeline_version_id)
JOIN store.pipeline p ON p.pipeline_id = d.pipeline_id
JOIN store.stream s ON s.stream_id = d.stream_id
WHERE d.stage <> 'retired'
ORDER BY s.name, p.name, (d.stage = 'full') DESC, d.changed_at;

-- name: list
-- Every version of every pipeline: how it is deployed, and how many insights it has made.
SELECT d.pipeline, d.pipeline_version, d.stage, d.share, d.stream, d.sink, d.columns, d.stopped_reason, d.created_at, d.changed_at,
       d.changed_by,
       (SELECT count(*) FROM store.insight i JOIN store.pipeline_version v USING (pipeline_version_id)
        JOIN store.pipeline p USING (pipeline_id)
        WHERE p.name = d.pipeline AND v.sha256 = d.pipeline_version) AS insights
FROM insights.deployment d
WHERE %(pipeline)s::text IS NULL OR d.pipeline = %(pipeline)s
ORDER BY d.pipeline, (d.stage = 'retired'), (d.stage = 'full') DESC, d.changed_at DESC;

-- name: to_backfill
-- How many rows the live version of a pipeline has made nothing of, and the tokens a row has cost of late.
SELECT count(*) AS rows,
       (SELECT avg(u.prompt_tokens + u.sampled_tokens + u.forced_tokens)::float8
        FROM (SELECT i.prompt_tokens, i.sampled_tokens, i.forced_tokens
              FROM store.insight i JOIN store.pipeline_version v USING (pipeline_version_id)
              WHERE v.pipeline_id = max(d.pipeline_id) ORDER BY i.insight_id DESC LIMIT 1000) u) AS tokens_a_row,
       (SELECT avg(u.prompt_ms + u.decode_ms)::float8
        FROM (SELECT i.prompt_ms, i.decode_ms
              FROM store.insight i JOIN store.pipeline_version v USING (pipeline_version_id)
              WHERE v.pipeline_id = max(d.pipeline_id) ORDER BY i.insight_id DESC LIMIT 1000) u) AS ms_a_row
FROM store.deployment d
JOIN store.pipeline p USING (pipeline_id)
JOIN store.ledger l ON l.stream_id = d.stream_id AND l.gone_at IS NULL
WHERE p.name = %(pipeline)s AND d.stage = 'full'
  AND NOT EXISTS (SELECT FROM store.current_insight c JOIN store.insight i USING (insight_id)
                  WHERE c.row_id = l.row_id AND c.pipeline_id = d.pipeline_id
                    AND i.pipeline_version_id = d.pipeline_version_id)
  AND NOT EXISTS (SELECT FROM store.insight i  -- made, where another version of a rollout is shown
                  WHERE i.row_id = l.row_id AND i.input_hash = l.input_hash
                    AND i.pipeline_version_id = d.pipeline_version_id)
  AND NOT EXISTS (SELECT FROM store.work w WHERE w.row_id = l.row_id AND w.pipeline_version_id = d.pipeline_version_id
                  AND w.state IN ('pending', 'claimed', 'missing', 'dead') AND NOT w.overtaken)
  AND NOT EXISTS (SELECT FROM store.work_page q WHERE q.pipeline_version_id = d.pipeline_version_id
                  AND l.row_id BETWEEN q.first_row_id AND q.last_row_id AND q.share >= 1);

-- name: backfill
-- Rows that the live version of a pipeline has made nothing of become its work. Where it reads all columns that the rows'
-- hashes are over, these are its own; else the hash is found out when the row is read. Whoever asks may not read keys: rows of a
-- page of which the version makes a part become work here, and the page leaves them out.
INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id)
SELECT l.row_id, l.stream_id,
       CASE WHEN s.columns = d.columns AND l.hash_version = s.hash_version THEN l.input_hash
            ELSE gen_random_uuid() END,
       d.pipeline_version_id
FROM store.deployment d
JOIN store.stream s USING (stream_id)
JOIN store.ledger l ON l.stream_id = d.stream_id AND l.gone_at IS NULL
WHERE d.pipeline_version_id = %(version_id)s
  AND NOT EXISTS (SELECT FROM store.current_insight c JOIN store.insight i USING (insight_id)
                  WHERE c.row_id = l.row_id AND c.pipeline_id = d.pipeline_id
                    AND i.pipeline_version_id = d.pipeline_version_id)
  AND NOT EXISTS (SELECT FROM store.insight i
                  WHERE i.row_id = l.row_id AND i.input_hash = l.input_hash
                    AND i.pipeline_version_id = d.pipeline_version_id)
  AND NOT EXISTS (SELECT FROM store.work o WHERE o.row_id = l.row_id AND o.pipeline_version_id = d.pipeline_version_id
                  AND o.state IN ('pending', 'claimed', 'missing', 'dead') AND NOT o.overtaken)
  AND NOT EXISTS (SELECT FROM store.work_page q WHERE q.pipeline_version_id = d.pipeline_version_id
                  AND l.row_id BETWEEN q.first_row_id AND q.last_row_id AND q.share >= 1)
ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
SET state = 'pending', attempts = 0, not_before = now(), reason = NULL, finished_at = NULL, overtaken = false
WHERE w.state IN ('superseded', 'missing', 'cancelled');

-- name: first_of_its_pipeline
-- Whether rows that are known already are to be done by a pipeline that is new: not where a stream starts late.
SELECT NOT EXISTS (SELECT FROM store.deployment d
                   WHERE d.pipeline_id = %(pipeline_id)s AND d.pipeline_version_id <> %(version_id)s
                     AND d.full_at IS NOT NULL) AS first;

-- name: stopped
-- Why a version cannot be served by the daemon that has its files; NULL: it can.
UPDATE store.deployment SET stopped_reason = %(reason)s
WHERE pipeline_version_id = %(version_id)s AND stopped_reason IS DISTINCT FROM %(reason)s;
