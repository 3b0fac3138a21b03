-- name: claim
-- Take the oldest ready rows of each version, as many as its share says, under a lease of their own each. Nothing of a
-- retired version: that is re-pointed. Rows that others are taking are skipped, not waited for; the attempt is counted here, so that a crash counts too. Share by share in the
-- order of `work_ready`, or of `work_suspect` where suspects are asked for, which BETWEEN and ORDER BY leave as the only
-- index: along that of work_id, which looks cheaper with a LIMIT, every claim would walk over all that was ever done.
WITH share AS (
    SELECT * FROM unnest(%(versions)s::integer[], %(rows)s::integer[], %(isolated)s::boolean[])
        AS q (pipeline_version_id, rows, isolated)
), ready AS (
    SELECT r.work_id
    FROM share q
    JOIN store.deployment d USING (pipeline_version_id)
    JOIN store.stream s USING (stream_id)
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT w.work_id
            FROM store.work w
            WHERE w.pipeline_version_id BETWEEN d.pipeline_version_id AND d.pipeline_version_id AND w.state = 'pending'
              AND w.not_before <= now() AND NOT w.isolated AND NOT q.isolated
              AND (w.not_after IS NULL OR w.not_after > now())
            ORDER BY w.pipeline_version_id, w.work_id
            LIMIT q.rows
            FOR UPDATE SKIP LOCKED
        ) innocent
        UNION ALL
        SELECT * FROM (
            SELECT w.work_id
            FROM store.work w
            WHERE w.pipeline_version_id BETWEEN d.pipeline_version_id AND d.pipeline_version_id AND w.state = 'pending'
              AND w.not_before <= now() AND w.isolated AND q.isolated
              AND (w.not_after IS NULL OR w.not_after > now())
            ORDER BY w.pipeline_version_id, w.work_id
            LIMIT q.rows
            FOR UPDATE SKIP LOCKED
        ) suspect
    ) r
    WHERE d.stage <> 'retired' AND NOT s.paused AND s.stopped_reason IS NULL
      AND NOT EXISTS (SELECT FROM store.setting WHERE name = 'hash_key_check_' || (%(key_version)s + 1))
)
UPDATE store.work w
SET state = 'claimed', lease_token = gen_random_uuid(), holder = %(holder)s, attempts = w.attempts + 1,
    lease_until = now() + make_interval(secs => %(ttl_s)s), reason = NULL, barred = NULL
FROM ready
JOIN store.work current USING (work_id)
JOIN store.stream s ON s.stream_id = current.stream_id
JOIN store.ledger l ON l.row_id = current.row_id
WHERE w.work_id = ready.work_id
RETURNING w.work_id, w.row_id, w.lease_token, s.name AS stream, l.row_key, w.input_hash, l.hash_version,
          w.pipeline_version_id, w.attempts, w.isolated, w.barred;

-- name: lock_budgets
-- The budgets that work of these versions is under, kept from other claims until this transaction ends: what is in hand is
-- counted by the statement that comes next, with nobody claiming beside it. In their order, so that nobody waits in a circle.
SELECT b.budget_id
FROM store.budget b
WHERE b.budget_id IN (SELECT v.budget_id FROM store.budgeted v WHERE v.pipeline_version_id = ANY(%(versions)s))
ORDER BY b.budget_id
FOR NO KEY UPDATE;

-- name: claim_within
-- `claim` where budgets bound it. A share has as many rows as each of its version's budgets has room for: what is not used
-- and not reserved by rows in hand, over all daemons; past a soft bound one row at a time. Shares that have a budget in
-- common divide it row by row, in turns: a share that finds no row takes no room from another. What is claimed is reserved.
-- Where a model's budget is used up and yields, rows are claimed for the version's other model: `barred` names the one, and
-- nothing is reserved of its budgets. A client's budget bounds its own rows alone: others are taken from behind them.
WITH share AS (
    SELECT * FROM unnest(%(versions)s::integer[], %(rows)s::integer[], %(isolated)s::boolean[]) WITH ORDINALITY
        AS q (pipeline_version_id, rows, isolated, turn)
), under AS MATERIALIZED (
    SELECT q.turn, q.rows AS wanted, v.budget_id, v.reserve, v.yields, b.model, b.client, b.soft, b.hard, b.used, b.reserved, b.in_hand,
           b.hard - b.used < v.reserve OR b.used >= b.hard AS used_up
    FROM share q JOIN store.budgeted v USING (pipeline_version_id) JOIN store.budget_standing b USING (budget_id)
), barred AS (
    -- Of two models whose budgets both are used up none is the other's way out.
    SELECT turn, min(model) AS model FROM under WHERE yields AND used_up GROUP BY turn HAVING count(DISTINCT model) = 1
), room AS MATERIALIZED (
    SELECT u.turn, u.budget_id, u.client, greatest(0, least(
               CASE WHEN u.hard IS NOT NULL AND u.reserve > 0 THEN floor((u.hard - u.used - u.reserved) / u.reserve)
                    WHEN u.used >= u.hard THEN 0 END,
               CASE WHEN u.soft IS NOT NULL AND u.reserve > 0
                    THEN greatest(floor((u.soft - u.used - u.reserved) / u.reserve), 1 - u.in_hand)
                    WHEN u.used >= u.soft THEN 1 - u.in_hand END,
               u.wanted)) AS rows
    FROM under u
    WHERE NOT EXISTS (SELECT FROM barred x WHERE x.turn = u.turn AND x.model = u.model)
), bounded AS (
    SELECT q.pipeline_version_id, q.isolated, q.turn, least(q.rows, min(m.rows))::bigint AS rows
    FROM share q LEFT JOIN room m ON m.turn = q.turn AND m.client IS NULL
    GROUP BY q.pipeline_version_id, q.rows, q.isolated, q.turn
), candidate AS (
    SELECT q.turn, r.work_id, r.client, row_number() OVER (PARTITION BY q.turn ORDER BY r.work_id) AS place
    FROM bounded q
    JOIN store.deployment d USING (pipeline_version_id)
    JOIN store.stream s USING (stream_id)
    CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT w.work_id, w.client
            FROM store.work w
            WHERE w.pipeline_version_id BETWEEN d.pipeline_version_id AND d.pipeline_version_id AND w.state = 'pending'
              AND w.not_before <= now() AND NOT w.isolated AND NOT q.isolated
              AND (w.not_after IS NULL OR w.not_after > now())
              AND NOT EXISTS (SELECT FROM room m WHERE m.turn = q.turn AND m.client = w.client AND m.rows = 0)
            ORDER BY w.pipeline_version_id, w.work_id
            LIMIT q.rows
            FOR UPDATE SKIP LOCKED
        ) innocent
        UNION ALL
        SELECT * FROM (
            SELECT w.work_id, w.client
            FROM store.work w
            WHERE w.pipeline_version_id BETWEEN d.pipeline_version_id AND d.pipeline_version_id AND w.state = 'pending'
              AND w.not_before <= now() AND w.isolated AND q.isolated
              AND (w.not_after IS NULL OR w.not_after > now())
              AND NOT EXISTS (SELECT FROM room m WHERE m.turn = q.turn AND m.client = w.client AND m.rows = 0)
            ORDER BY w.pipeline_version_id, w.work_id
            LIMIT q.rows
            FOR UPDATE SKIP LOCKED
        ) suspect
    ) r
    WHERE q.rows > 0 AND d.stage <> 'retired' AND NOT s.paused AND s.stopped_reason IS NULL
      AND NOT EXISTS (SELECT FROM store.setting WHERE name = 'hash_key_check_' || (%(key_version)s + 1))
), part AS (
    -- Of each budget's room, which part is taken once this row is: each row takes one of as many as its share has room for.
    SELECT c.work_id, sum(1 / m.rows) OVER (PARTITION BY m.budget_id ORDER BY c.place, c.turn) AS taken
    FROM candidate c JOIN room m ON m.turn = c.turn AND (m.client IS NULL OR m.client = c.client)
), ready AS (
    SELECT c.work_id, x.model AS barred FROM candidate c LEFT JOIN barred x USING (turn)
    WHERE NOT EXISTS (SELECT FROM part p WHERE p.work_id = c.work_id AND p.taken > 1.000000001)
)
UPDATE store.work w
SET state = 'claimed', lease_token = gen_random_uuid(), holder = %(holder)s, attempts = w.attempts + 1,
    lease_until = now() + make_interval(secs => %(ttl_s)s), reason = NULL, barred = ready.barred
FROM ready
JOIN store.work current USING (work_id)
JOIN store.stream s ON s.stream_id = current.stream_id
JOIN store.ledger l ON l.row_id = current.row_id
WHERE w.work_id = ready.work_id
RETURNING w.work_id, w.row_id, w.lease_token, s.name AS stream, l.row_key, w.input_hash, l.hash_version,
          w.pipeline_version_id, w.attempts, w.isolated, w.barred;

-- name: suspects
-- The versions with rows that must run alone and are due: for each, whether there is one.
SELECT d.pipeline_version_id
FROM store.deployment d JOIN store.stream s USING (stream_id)
WHERE d.pipeline_version_id = ANY(%(versions)s) AND NOT s.paused AND s.stopped_reason IS NULL
  AND EXISTS (SELECT FROM store.work w
              WHERE w.pipeline_version_id = d.pipeline_version_id AND w.state = 'pending' AND w.isolated
                AND w.not_before <= now());

-- name: extend
-- Prolong the leases of work in flight; what is not returned is no longer ours.
UPDATE store.work w
SET lease_until = now() + make_interval(secs => %(ttl_s)s)
FROM unnest(%(work_ids)s::bigint[], %(tokens)s::uuid[]) AS held (work_id, token)
WHERE w.work_id = held.work_id AND w.lease_token = held.token AND w.state = 'claimed'
RETURNING w.work_id;

-- name: release
-- Give rows back. Without blame the attempt is taken back; with it the last one allowed makes a dead letter.
UPDATE store.work w
SET state = CASE WHEN %(blame)s AND w.attempts >= %(max_attempts)s THEN 'dead' ELSE 'pending' END,
    attempts = CASE WHEN %(blame)s THEN w.attempts ELSE greatest(w.attempts - 1, 0) END,
    isolated = w.isolated OR %(isolate)s,
    not_before = now() + make_interval(secs => %(delay_s)s * CASE WHEN %(blame)s THEN w.attempts ELSE 1 END),
    finished_at = CASE WHEN %(blame)s AND w.attempts >= %(max_attempts)s THEN now() END,
    lease_token = NULL, lease_until = NULL, holder = NULL, reason = %(reason)s
FROM unnest(%(work_ids)s::bigint[], %(tokens)s::uuid[]) AS held (work_id, token)
WHERE w.work_id = held.work_id AND w.lease_token = held.token AND w.state = 'claimed'
RETURNING w.work_id, w.row_id, w.stream_id, w.state, w.reason;

-- name: bury
-- Dead-letter one row with its reason.
UPDATE store.work w
SET state = 'dead', lease_token = NULL, lease_until = NULL, holder = NULL, reason = %(reason)s, finished_at = now()
WHERE w.work_id = %(work_id)s AND w.lease_token = %(token)s AND w.state = 'claimed'
RETURNING w.row_id, w.stream_id, w.state, w.reason;

-- name: missing
-- A claimed row is absent from the replica. That is no deletion (only sweeps declare one) and no attempt.
UPDATE store.work w
SET state = 'missing', attempts = greatest(w.attempts - 1, 0), lease_token = NULL, lease_until = NULL, holder = NULL,
    reason = 'absent from the replica when it was read'
FROM unnest(%(work_ids)s::bigint[], %(tokens)s::uuid[]) AS held (work_id, token)
WHERE w.work_id = held.work_id AND w.lease_token = held.token AND w.state = 'claimed';

-- name: restamp
-- Claimed rows that are equal under the former key: all work and insights of those inputs take the new hash. The ledger's
-- row gets its own when it is polled. A page may have done so already.
WITH moved AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS m (work_id bigint, token uuid, former_hash uuid, input_hash uuid)
), held AS (
    SELECT w.row_id, m.former_hash, m.input_hash
    FROM store.work w JOIN moved m USING (work_id)
    WHERE w.lease_token = m.token AND w.state = 'claimed'
), worked AS (
    UPDATE store.work w SET input_hash = h.input_hash
    FROM held h WHERE w.row_id = h.row_id AND w.input_hash = h.former_hash
)
UPDATE store.insight i SET input_hash = h.input_hash
FROM held h WHERE i.row_id = h.row_id AND i.input_hash = h.former_hash;

-- name: move
-- A claimed row was read with newer inputs. Unless a poll has seen newer ones, the old work is superseded and the claim moves
-- to work for the new hash; an insight that the new hash has already becomes current again, if this version is what the
-- row shows. The ledger takes the new hash; where other versions follow the row too, one that no row has, so that the next poll looks what it means to them.
-- Returns the claims that moved.
WITH moved AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s) AS m (work_id bigint, token uuid, input_hash uuid, cursor text)
), held AS (
    SELECT w.work_id, w.row_id, w.stream_id, w.lease_until, w.pipeline_version_id, w.attempts, w.isolated, w.barred, w.client, w.overtaken,
           m.token, m.input_hash, m.cursor, d.pipeline_id, d.sink_id, d.shown_from, d.shown_upto,
           s.key_version = %(key_version)s AND s.columns = d.columns
               AND NOT EXISTS (SELECT FROM store.deployment o WHERE o.stream_id = s.stream_id AND o.stage <> 'retired'
                               AND o.pipeline_version_id <> d.pipeline_version_id) AS whole
    FROM store.work w
    JOIN moved m USING (work_id)
    JOIN store.deployment d USING (pipeline_version_id)
    JOIN store.stream s ON s.stream_id = w.stream_id
    WHERE w.lease_token = m.token AND w.state = 'claimed'
      AND NOT EXISTS (SELECT FROM store.setting WHERE name = 'hash_key_check_' || (%(key_version)s + 1))
    FOR UPDATE OF w
), known AS (
    UPDATE store.ledger l
    SET input_hash = CASE WHEN h.whole THEN h.input_hash ELSE gen_random_uuid() END, cursor = coalesce(h.cursor, l.cursor)
    FROM held h
    WHERE l.row_id = h.row_id AND NOT h.overtaken
    RETURNING l.row_id, l.row_key, l.hash_version
), earlier AS (
    SELECT h.row_id, h.pipeline_id, h.sink_id, e.insight_id
    FROM held h JOIN known USING (row_id)
    CROSS JOIN LATERAL (
        SELECT e.insight_id FROM store.insight e
        WHERE e.row_id = h.row_id AND e.input_hash = h.input_hash AND e.pipeline_version_id = h.pipeline_version_id
        ORDER BY e.request DESC LIMIT 1
    ) e
    WHERE store.covers(h.shown_from, h.shown_upto, known.row_key)
), shown AS (
    INSERT INTO store.current_insight AS c (row_id, pipeline_id, insight_id)
    SELECT row_id, pipeline_id, insight_id FROM earlier
    ON CONFLICT (row_id, pipeline_id) DO UPDATE SET insight_id = excluded.insight_id
), told AS (
    INSERT INTO store.outbox AS o (sink_id, row_id, revision, insight_id, shows)
    SELECT sink_id, row_id, nextval('store.revision'), insight_id, 'current'
    FROM earlier WHERE sink_id IS NOT NULL
    ON CONFLICT (sink_id, row_id) DO UPDATE
    SET revision = nextval('store.revision'), insight_id = excluded.insight_id, shows = 'current', delivered_at = NULL,
        not_before = now(), attempts = 0, error = NULL
), dropped AS (
    UPDATE store.work w
    SET state = 'superseded', lease_token = NULL, lease_until = NULL, holder = NULL, finished_at = now(),
        reason = 'the row changed before it was read'
    FROM held h WHERE w.work_id = h.work_id
), taken AS (
    INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id, state, attempts, isolated,
                                 barred, client, lease_token, lease_until, holder, moved_at)
    SELECT h.row_id, h.stream_id, h.input_hash, h.pipeline_version_id, 'claimed', h.attempts, h.isolated,
           h.barred, h.client, h.token, h.lease_until, %(holder)s, now()
    FROM held h JOIN known k USING (row_id)
    ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
    SET state = 'claimed', attempts = excluded.attempts, lease_token = excluded.lease_token, overtaken = false,
        lease_until = excluded.lease_until, holder = excluded.holder, moved_at = excluded.moved_at, reason = NULL,
        barred = excluded.barred
    WHERE w.state IN ('pending', 'superseded', 'missing', 'cancelled')
    RETURNING w.work_id, w.row_id, w.lease_token, w.input_hash, w.pipeline_version_id, w.attempts, w.isolated, w.barred
)
SELECT t.work_id, t.row_id, t.lease_token, s.name AS stream, k.row_key, t.input_hash, k.hash_version,
       t.pipeline_version_id, t.attempts, t.isolated, t.barred
FROM taken t
JOIN held h USING (row_id, pipeline_version_id)
JOIN store.stream s ON s.stream_id = h.stream_id
JOIN known k USING (row_id);

-- name: recorded
-- Which replica a stream's last poll saw, and how far it had applied; that of a pass under way, if there is one.
SELECT identity, coalesce(pass #>> '{horizon,position}', position) AS position FROM store.stream WHERE name = %(stream)s;

-- name: expire
-- Take back leases whose holder died. The first times are nobody's fault; a row that was there three times runs alone,
-- and alone it is counted, so that one that kills daemons ends as a dead letter.
UPDATE store.work w
SET state = CASE WHEN w.isolated AND w.attempts >= %(max_attempts)s THEN 'dead' ELSE 'pending' END,
    attempts = CASE WHEN w.isolated THEN w.attempts ELSE greatest(w.attempts - 1, 0) END,
    expiries = w.expiries + 1,
    isolated = w.isolated OR w.expiries >= 2,
    finished_at = CASE WHEN w.isolated AND w.attempts >= %(max_attempts)s THEN now() END,
    lease_token = NULL, lease_until = NULL, holder = NULL, not_before = now(),
    reason = 'the daemon that held it (' || coalesce(w.holder, 'unknown') || ') did not finish it'
WHERE w.state = 'claimed' AND w.lease_until < now()
RETURNING w.work_id, w.row_id, w.stream_id, w.state, w.reason,
          (SELECT s.name FROM store.stream s WHERE s.stream_id = w.stream_id) AS stream;

-- name: overdue
-- Requests that were not begun by their deadline have ended: `claim` takes them no more, and this says so.
WITH late AS (
    SELECT w.work_id FROM store.work w
    WHERE w.state IN ('pending', 'missing') AND w.not_after <= now()
    ORDER BY w.not_after LIMIT %(most)s
    FOR UPDATE SKIP LOCKED
)
UPDATE store.work w
SET state = 'cancelled', finished_at = now(), reason = %(reason)s
FROM late WHERE w.work_id = late.work_id
RETURNING w.row_id, w.stream_id;

-- name: adopt
-- A daemon that starts again under the same name takes back what its former self held: no need to wait for the lease.
UPDATE store.work w
SET lease_until = now() - interval '1 second'
WHERE w.state = 'claimed' AND w.holder = %(holder)s;

-- name: outstanding
-- What is still to be done for these versions, now or later, and when the next of it may be: of each version the first so
-- many rows along `work_ready`, so that the answer takes as long with ten million rows as with ten. Rows of some clients are
-- left out where that is asked for.
SELECT count(*) AS all_open, coalesce(extract(epoch FROM min(o.not_before) - now()), 0)::float8 AS next_s
FROM store.deployment d
JOIN store.stream s USING (stream_id)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT w.not_before
        FROM store.work w
        WHERE w.pipeline_version_id BETWEEN d.pipeline_version_id AND d.pipeline_version_id AND w.state = 'pending'
          AND (w.client IS NULL OR w.client <> ALL (%(without)s::text[]))
        ORDER BY w.pipeline_version_id, w.work_id
        LIMIT %(most)s
    ) waiting
    UNION ALL
    SELECT w.not_before
    FROM store.work w
    WHERE w.pipeline_version_id = d.pipeline_version_id AND w.state = 'claimed'
    UNION ALL
    SELECT * FROM (
        SELECT now()
        FROM store.work_page p CROSS JOIN generate_series(1, least(p.rows, %(most)s))
        WHERE p.pipeline_version_id = d.pipeline_version_id LIMIT %(most)s
    ) paged
) o
WHERE d.pipeline_version_id = ANY(%(versions)s) AND NOT s.paused AND s.stopped_reason IS NULL;

-- name: waiting
-- How many rows wait for these versions, each counted, along `work_ready`, and those of pages: of a long queue asked seldom.
SELECT coalesce(sum(q.rows + n.rows), 0)::bigint AS rows
FROM store.deployment d
JOIN store.stream s USING (stream_id)
CROSS JOIN LATERAL (SELECT count(*) AS rows FROM store.work w
                    WHERE w.pipeline_version_id = d.pipeline_version_id AND w.state = 'pending'
                      AND (w.client IS NULL OR w.client <> ALL (%(without)s::text[]))) q
CROSS JOIN LATERAL (SELECT coalesce(sum(p.rows), 0) AS rows FROM store.work_page p
                    WHERE p.pipeline_version_id = d.pipeline_version_id) n
WHERE d.pipeline_version_id = ANY(%(versions)s) AND NOT s.paused AND s.stopped_reason IS NULL;

-- name: dead_list
-- Dead letters, newest first.
SELECT w.work_id, k.stream, k.shown_key AS row_key, w.attempts, coalesce(w.reason, 'unknown') AS reason, w.enqueued_at
FROM store.work w
JOIN store.shown_key k USING (row_id)
WHERE w.state = 'dead' AND (%(stream)s::text IS NULL OR k.stream = %(stream)s)
ORDER BY w.work_id DESC
LIMIT %(limit)s;

-- name: dead_reasons
-- How many dead letters have each reason, the most frequent first.
SELECT coalesce(w.reason, 'unknown') AS reason, count(*) AS rows
FROM store.work w
JOIN store.stream s USING (stream_id)
WHERE w.state = 'dead' AND (%(stream)s::text IS NULL OR s.name = %(stream)s)
GROUP BY 1
ORDER BY 2 DESC, 1;

-- name: dead_show
-- One dead letter with what the audit knows of its row.
SELECT w.work_id, k.stream, k.shown_key AS row_key, w.attempts, w.expiries, w.reason, w.enqueued_at, w.input_hash,
       v.sha256 AS pipeline_version,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('at', a.at, 'action', a.action, 'actor', c.actor,
                                                     'details', a.details - 'asked') ORDER BY a.at, a.chain_id, a.number), '[]')
        FROM store.audit_event a JOIN store.audit_chain c USING (chain_id) WHERE a.row_id = w.row_id) AS events
FROM store.work w
JOIN store.shown_key k USING (row_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = w.pipeline_version_id
WHERE w.work_id = %(work_id)s AND w.state = 'dead';

-- name: dead_retry
-- Give dead letters a fresh start: all, those of a stream, or one. What was rejected is to be acknowledged then.
WITH revived AS (
    UPDATE store.work w
    SET state = 'pending', attempts = 0, expiries = 0, isolated = false, not_before = now(), not_after = NULL, reason = NULL,
        finished_at = NULL
    FROM store.stream s
    WHERE s.stream_id = w.stream_id AND w.state = 'dead'
      AND (%(stream)s::text IS NULL OR s.name = %(stream)s)
      AND (%(work_id)s::bigint IS NULL OR w.work_id = %(work_id)s)
    RETURNING w.work_id, w.row_id, w.stream_id
), asked AS (
    UPDATE store.request r
    SET state = 'open', passed = false, requests = r.requests + 1, opened_at = now(), not_before = now()
    FROM revived v WHERE r.row_id = v.row_id AND r.state = 'rejected'
)
SELECT row_id, stream_id FROM revived;
