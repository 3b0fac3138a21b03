-- name: watched
-- The versions with a share of the keys that guards watch, what was counted of each since it was promoted, and up to when what
-- it has made is counted for good: statements that began before then have ended.
SELECT d.pipeline_version_id AS version_id, p.name AS pipeline, v.sha256, d.stage, d.share, d.watched_from AS since, c.counted_to,
       greatest(c.counted_to, now() - make_interval(secs => %(settles_s)s)) AS horizon, coalesce(w.counts, '{}') AS counts
FROM store.deployment d
JOIN store.pipeline p USING (pipeline_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = d.pipeline_version_id
LEFT JOIN store.watch w ON w.pipeline_version_id = d.pipeline_version_id AND w.since = d.watched_from
CROSS JOIN LATERAL (SELECT coalesce(w.counted_to, d.watched_from) AS counted_to) c
WHERE d.pipeline_version_id = ANY (%(versions)s) AND d.stage IN ('canary', 'gradual') AND d.held_reason IS NULL
ORDER BY d.pipeline_version_id;

-- name: made
-- What a version and the live one have made since then: how often a guard applies to the version's, and of rows that both have
-- done, to its alone and to the live one's alone. A pair counts when the later of the two was made.
WITH pair AS (
    SELECT d.pipeline_version_id AS version_id, f.pipeline_version_id AS live_id, d.columns IS NOT DISTINCT FROM f.columns AS alike
    FROM store.deployment d
    JOIN store.deployment f ON f.pipeline_id = d.pipeline_id AND f.stage = 'full'
    WHERE d.pipeline_version_id = %(version_id)s
), made AS (
    SELECT i.insight_id, i.row_id, i.input_hash, i.generated_at, i.status, i.route, i.output, p.alike,
           i.pipeline_version_id = p.version_id AS its,
           CASE i.pipeline_version_id WHEN p.version_id THEN p.live_id ELSE p.version_id END AS other_id,
           coalesce(i.prompt_ms + i.decode_ms, 0) AS ms,
           coalesce(i.prompt_tokens + i.sampled_tokens + i.forced_tokens, 0) AS tokens
    FROM pair p
    JOIN store.insight i ON i.pipeline_version_id IN (p.version_id, p.live_id)
    WHERE i.generated_at > %(counted_to)s
)
SELECT m.generated_at <= %(horizon)s AS settled, g.guard,
       count(*) FILTER (WHERE (m.its OR g.either) AND g.own) AS bad,
       count(*) FILTER (WHERE CASE WHEN m.its THEN g.own AND NOT g.other ELSE g.other AND NOT g.own END) AS alone,
       count(*) FILTER (WHERE CASE WHEN m.its THEN g.other AND NOT g.own ELSE g.own AND NOT g.other END) AS live
FROM made m
LEFT JOIN LATERAL (
    SELECT e.status, e.route, e.output, coalesce(e.prompt_ms + e.decode_ms, 0) AS ms,
           coalesce(e.prompt_tokens + e.sampled_tokens + e.forced_tokens, 0) AS tokens
    FROM store.insight e
    WHERE e.row_id = m.row_id AND e.pipeline_version_id = m.other_id AND (e.input_hash = m.input_hash OR NOT m.alike)
      AND (e.generated_at, e.insight_id) < (m.generated_at, m.insight_id)
    ORDER BY e.insight_id DESC LIMIT 1
) o ON true
CROSS JOIN LATERAL (SELECT m.status = 'ok' AND o.status = 'ok' AS answered) both_are
CROSS JOIN LATERAL (VALUES
    ('made', true, NULL, false),
    ('failed', coalesce(m.route, '') = 'baseline', CASE WHEN o.status IS NOT NULL THEN coalesce(o.route, '') = 'baseline' END, false),
    ('withheld', m.status = 'withheld', o.status = 'withheld', false),
    ('abstained', m.status = 'abstained', o.status = 'abstained', false),
    ('slow', m.ms > %(slow_ms)s::float8, o.ms > %(slow_ms)s::float8, false),
    ('costly', m.tokens > %(tokens)s::bigint, o.tokens > %(tokens)s::bigint, false),
    ('compared', both_are.answered, NULL, true),
    ('differs', both_are.answered AND EXISTS (SELECT FROM unnest(%(fields)s::text[]) AS f
                                              WHERE m.output -> f IS DISTINCT FROM o.output -> f), NULL, true)
) AS g (guard, own, other, either)
GROUP BY 1, 2;

-- name: failed
-- The dead letters of a version since it was promoted, and of rows that only one of it and the live one has failed at.
SELECT count(*) FILTER (WHERE k.its) AS bad, count(*) FILTER (WHERE k.its AND k.done) AS alone,
       count(*) FILTER (WHERE NOT k.its AND k.done) AS live
FROM store.deployment d
JOIN store.deployment f ON f.pipeline_id = d.pipeline_id AND f.stage = 'full'
JOIN store.work w ON w.stream_id = d.stream_id AND w.state = 'dead'
                 AND w.pipeline_version_id IN (d.pipeline_version_id, f.pipeline_version_id)
CROSS JOIN LATERAL (
    SELECT w.pipeline_version_id = d.pipeline_version_id AS its,
           EXISTS (SELECT FROM store.insight i
                   WHERE i.row_id = w.row_id AND i.pipeline_version_id IN (d.pipeline_version_id, f.pipeline_version_id)
                     AND i.pipeline_version_id <> w.pipeline_version_id
                     AND (i.input_hash = w.input_hash OR d.columns IS DISTINCT FROM f.columns)) AS done
) k
WHERE d.pipeline_version_id = %(version_id)s AND w.finished_at >= d.watched_from;

-- name: wrong
-- How many insights that a version made since it was promoted somebody said to be wrong.
SELECT count(DISTINCT f.insight_id) AS bad
FROM store.deployment d
JOIN store.feedback f ON f.pipeline_version_id = d.pipeline_version_id AND f.given_at >= d.watched_from AND f.verdict = 'wrong'
JOIN store.insight i ON i.insight_id = f.insight_id AND i.generated_at > d.watched_from
WHERE d.pipeline_version_id = %(version_id)s;

-- name: count
-- What was counted up to then. Of daemons that look at once each says the whole, and the later one stands.
INSERT INTO store.watch AS w (pipeline_version_id, since, counted_to, counts, nearest)
VALUES (%(version_id)s, %(since)s, %(horizon)s, %(counts)s, %(nearest)s)
ON CONFLICT (pipeline_version_id) DO UPDATE
SET since = excluded.since, counted_to = excluded.counted_to, counts = excluded.counts, nearest = excluded.nearest
WHERE (w.since, w.counted_to) <= (excluded.since, excluded.counted_to);

-- name: withdraw
-- Take its share from a version, or keep the share from growing; false: it has none any more, or is held.
SELECT store.withdraw_version(%(version_id)s, %(actor)s, %(why)s, %(hold)s) AS withdrawn;
