-- name: state
-- What is known of a stream between polls.
SELECT stream_id, paused, stopped_reason, epoch, identity, position, watermark, pass AS begun, passes, window_read, gaps,
       greatest(overlap_s, widened_s) AS overlap_s, shape, sweep_due, baselined, extract(epoch FROM clock_timestamp())::float8 AS now
FROM store.stream WHERE name = %(stream)s;

-- name: fence
-- Writing under a lease that another has taken would overwrite its work. One that only ran out is still ours: whoever
-- takes it changes the token. Each write prolongs it: a walk of many pages needs no other renewal.
-- A daemon with a key that another has replaced would take every row back to it: each key's check value has a name.
UPDATE store.lease SET expires_at = now() + make_interval(secs => %(ttl_s)s)
WHERE name = %(name)s AND token = %(token)s
RETURNING NOT EXISTS (SELECT FROM store.setting WHERE name = 'hash_key_check_' || (%(hash_version)s + 1)) AS newest;

-- name: page_table
-- Where COPY puts a page; emptied at each commit, made once a session.
CREATE TEMPORARY TABLE IF NOT EXISTS page (row_key text NOT NULL, input_hash uuid NOT NULL, cursor text, former_hash uuid)
ON COMMIT DELETE ROWS;

-- name: copy_page
-- The page as the reader made it; the supervisor never decodes it.
COPY page (row_key, input_hash, cursor) FROM STDIN;

-- name: copy_page_both
-- The same with the hash under the former key, while the key is being rotated.
COPY page (row_key, input_hash, cursor, former_hash) FROM STDIN;

-- name: restamp_page
-- Rows of a page that are equal under the former key take the new hash, with their work and the insights of that hash.
WITH equal AS MATERIALIZED (
    SELECT DISTINCT ON (l.row_id) l.row_id, p.former_hash, p.input_hash
    FROM page p
    CROSS JOIN LATERAL (
        SELECT * FROM store.ledger l WHERE l.stream_id = %(stream_id)s AND l.row_key = p.row_key LIMIT 1
    ) l
    WHERE l.hash_version < %(hash_version)s AND l.input_hash = p.former_hash
), stamped AS (
    UPDATE store.ledger l SET input_hash = q.input_hash, hash_version = %(hash_version)s
    FROM equal q WHERE l.row_id = q.row_id AND l.input_hash = q.former_hash
    RETURNING l.row_id, q.former_hash, q.input_hash
), worked AS (
    UPDATE store.work w SET input_hash = s.input_hash
    FROM stamped s WHERE w.row_id = s.row_id AND w.input_hash = s.former_hash
)
UPDATE store.insight i SET input_hash = s.input_hash
FROM stamped s WHERE i.row_id = s.row_id AND i.input_hash = s.former_hash;

-- name: plan_anew
-- A plan that was made while the tables were empty would read all of them once they are full.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: contradictions
-- Keys that occur twice with different inputs: a view that multiplies rows, or a key that is none.
SELECT row_key FROM page GROUP BY row_key HAVING count(DISTINCT input_hash) > 1 LIMIT 1;

-- name: record_new
-- A page of a first load: rows that nobody knows enter the ledger and become work without being looked up before. Rows
-- that are there already, or twice in the page, are passed over: fewer are new then, and `record` looks at all of them.
WITH added AS (
    INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)
    SELECT %(stream_id)s, row_key, input_hash, %(hash_version)s, cursor FROM page
    ON CONFLICT (stream_id, row_key) DO NOTHING
    RETURNING row_id, row_key, input_hash, cursor
), queued AS (
    INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id)
    SELECT row_id, %(stream_id)s, input_hash, %(pipeline_version_id)s FROM added WHERE %(enqueue)s
)
SELECT count(*) AS new, 0 AS changed, 0 AS revived, 0 AS outdated,
       extract(epoch FROM clock_timestamp())::float8 AS at,
       ARRAY(SELECT row_key FROM added WHERE %(sample)s > 0 AND cursor IS NOT NULL LIMIT %(sample)s) AS stamped,
       CASE WHEN %(want_ids)s THEN ARRAY(SELECT row_id FROM added) END AS row_ids
FROM added;

-- name: record
-- One page of a poll or a sweep. Unchanged rows are only looked up. New and changed rows enter the ledger and become
-- work; a newer hash supersedes work that has not begun; a hash that has an insight gets it back. A row whose claim moved
-- to newer inputs after the page was read is left alone: the page may be older. LATERAL with LIMIT is a look-up by index
-- for each row of the page: a join would be planned as a hash of the whole ledger, for every page.
WITH incoming AS MATERIALIZED (
    SELECT DISTINCT ON (p.row_key) p.row_key, p.input_hash, p.cursor, l.row_id, l.input_hash AS old_hash, l.insight_id,
           l.gone_at, p.cursor IS DISTINCT FROM l.cursor AS stamped
    FROM page p
    LEFT JOIN LATERAL (
        SELECT * FROM store.ledger l WHERE l.stream_id = %(stream_id)s AND l.row_key = p.row_key LIMIT 1
    ) l ON true
    ORDER BY p.row_key
), added AS (
    INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)
    SELECT %(stream_id)s, row_key, input_hash, %(hash_version)s, cursor FROM incoming WHERE row_id IS NULL
    ON CONFLICT (stream_id, row_key) DO NOTHING
    RETURNING row_id, input_hash
), differing AS MATERIALIZED (
    SELECT i.row_id, i.input_hash, i.cursor, i.old_hash, i.insight_id AS shown_id, e.insight_id AS earlier_id
    FROM incoming i
    LEFT JOIN LATERAL (
        SELECT e.insight_id FROM store.insight e
        WHERE e.row_id = i.row_id AND e.input_hash = i.input_hash AND e.pipeline_version_id = %(pipeline_version_id)s
        ORDER BY e.request DESC LIMIT 1
    ) e ON true
    WHERE i.row_id IS NOT NULL AND (i.input_hash <> i.old_hash OR i.gone_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM store.work w WHERE w.row_id = i.row_id AND w.input_hash = i.old_hash
                      AND w.moved_at >= to_timestamp(%(read_at)s))
), changed AS (
    UPDATE store.ledger l
    SET input_hash = d.input_hash, cursor = d.cursor, gone_at = NULL, hash_version = %(hash_version)s,
        insight_id = coalesce(d.earlier_id, l.insight_id)
    FROM differing d
    WHERE l.row_id = d.row_id AND l.input_hash = d.old_hash
    RETURNING l.row_id, l.input_hash, d.shown_id, d.earlier_id
), superseded AS (
    UPDATE store.work w
    SET state = 'superseded', reason = 'the row changed', finished_at = now()
    FROM changed c
    WHERE w.row_id = c.row_id AND w.state IN ('pending', 'missing') AND w.input_hash <> c.input_hash
), queued AS (
    INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id)
    SELECT row_id, %(stream_id)s, input_hash, %(pipeline_version_id)s
    FROM (SELECT row_id, input_hash FROM added
          UNION ALL SELECT row_id, input_hash FROM changed WHERE earlier_id IS NULL) wanted
    WHERE %(enqueue)s
    ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
    SET state = 'pending', attempts = 0, not_before = now(), reason = NULL, finished_at = NULL
    WHERE w.state IN ('superseded', 'missing', 'cancelled')
), returned AS (
    UPDATE store.work w
    SET state = 'pending', not_before = now(), reason = NULL
    FROM incoming i
    WHERE w.stream_id = %(stream_id)s AND w.state = 'missing' AND w.row_id = i.row_id AND w.input_hash = i.input_hash
      AND i.input_hash = i.old_hash
), told AS (
    INSERT INTO store.outbox AS o (sink_id, row_id, revision, insight_id, shows)
    SELECT %(sink_id)s, row_id, nextval('store.revision'), coalesce(earlier_id, shown_id),
           CASE WHEN earlier_id IS NULL THEN 'stale' ELSE 'current' END
    FROM changed
    WHERE %(sink_id)s::integer IS NOT NULL AND (earlier_id IS NOT NULL OR shown_id IS NOT NULL)
    ON CONFLICT (sink_id, row_id) DO UPDATE
    SET revision = nextval('store.revision'), insight_id = excluded.insight_id, shows = excluded.shows,
        delivered_at = NULL, not_before = now(), attempts = 0, error = NULL
)
SELECT (SELECT count(*) FROM added) AS new,
       (SELECT count(*) FROM changed) AS changed,
       (SELECT count(*) FROM changed WHERE earlier_id IS NOT NULL) AS revived,
       (SELECT count(*) FROM incoming WHERE row_id IS NOT NULL AND (input_hash <> old_hash OR gone_at IS NOT NULL))
           - (SELECT count(*) FROM differing) AS outdated,
       extract(epoch FROM clock_timestamp())::float8 AS at,
       ARRAY(SELECT i.row_key FROM incoming i LEFT JOIN differing d USING (row_id)
             WHERE %(sample)s > 0 AND i.cursor IS NOT NULL AND (i.row_id IS NULL OR d.row_id IS NOT NULL AND i.stamped)
             LIMIT %(sample)s) AS stamped,
       CASE WHEN %(want_ids)s THEN
           ARRAY(SELECT row_id FROM incoming WHERE row_id IS NOT NULL UNION ALL SELECT row_id FROM added)
       END AS row_ids;

-- name: begin_pass
-- A pass begins: how far it can see was asked before it, and the mark was taken before it.
UPDATE store.stream
SET pass = jsonb_build_object('horizon', %(horizon)s::jsonb, 'mark', %(mark)s::jsonb), window_read = %(window)s::jsonb
WHERE stream_id = %(stream_id)s;

-- name: bookmark
-- Where the pass goes on after a crash.
UPDATE store.stream SET pass = pass || jsonb_build_object('bookmark', %(bookmark)s::jsonb)
WHERE stream_id = %(stream_id)s;

-- name: end_pass
-- The pass is complete: its mark waits for promotion, and marks that are ripe are promoted. Identities that are missing
-- below the watermark stay in sight.
UPDATE store.stream
SET pass = NULL, passes = %(passes)s::jsonb, gaps = %(gaps)s::jsonb, watermark = coalesce(%(watermark)s, watermark)
WHERE stream_id = %(stream_id)s;

-- name: seen
-- A poll ended: the replica it spoke to, its lag, and how complete we are.
UPDATE store.stream
SET identity = coalesce(%(identity)s, identity), position = coalesce(%(position)s, position), lag_s = %(lag_s)s,
    last_poll_at = now(), last_error = NULL, window_read = coalesce(%(window)s::jsonb, window_read),
    complete_through = coalesce(to_timestamp(%(complete_s)s::float8), complete_through)
WHERE stream_id = %(stream_id)s;

-- name: new_epoch
-- Another replica, or another history: rewind, sweep, and believe no deletion until two sweeps agree again. No position:
-- nothing of it was read yet, and a crash before it is must not look like a complete pass.
UPDATE store.stream
SET epoch = epoch + 1, identity = %(identity)s, position = NULL, watermark = NULL, pass = NULL, passes = '[]',
    gaps = '[]', window_read = NULL, sweep_due = true
WHERE stream_id = %(stream_id)s;

-- name: late
-- How old the cursors of recorded rows were, in seconds; a month of it is kept.
WITH old AS (
    DELETE FROM store.lateness WHERE stream_id = %(stream_id)s AND day < current_date - 30
)
INSERT INTO store.lateness AS l (stream_id, bucket, rows)
SELECT %(stream_id)s, ceil(4 * log(2, greatest(age, 0.001)::numeric)), count(*)
FROM unnest(%(ages_s)s::float8[]) AS age GROUP BY 2
ON CONFLICT (stream_id, day, bucket) DO UPDATE SET rows = l.rows + excluded.rows;

-- name: gaps
-- Missing identities that are still looked for.
UPDATE store.stream SET gaps = %(gaps)s::jsonb WHERE stream_id = %(stream_id)s;

-- name: widen
-- A sweep found rows that came later than the overlap: it is raised, and the audit says so.
WITH widened AS (
    UPDATE store.stream SET widened_s = %(overlap_s)s
    WHERE stream_id = %(stream_id)s AND greatest(overlap_s, widened_s) < %(overlap_s)s
    RETURNING stream_id
)
INSERT INTO store.audit_event (actor, action, stream_id, details)
SELECT %(holder)s, 'overlap widened', stream_id,
       jsonb_build_object('overlap_s', %(overlap_s)s::float8, 'rows', %(rows)s::bigint)
FROM widened
RETURNING event_id;

-- name: stop
-- The stream cannot go on until somebody acts; status shows why.
UPDATE store.stream SET stopped_reason = %(reason)s, last_error = %(reason)s WHERE stream_id = %(stream_id)s;

-- name: shape
-- The columns and types that are read from now on.
UPDATE store.stream SET shape = %(shape)s::jsonb, stopped_reason = NULL WHERE stream_id = %(stream_id)s;

-- name: open_sweep
-- The stream's unfinished sweep of this epoch, if there is one.
SELECT sweep_id, epoch, bookmark FROM store.sweep
WHERE stream_id = %(stream_id)s AND finished_at IS NULL AND epoch = %(epoch)s
ORDER BY sweep_id DESC LIMIT 1;

-- name: begin_sweep
-- A fresh sweep; rows that enter the ledger after it began cannot be absent from it.
INSERT INTO store.sweep (stream_id, epoch, last_row_id)
SELECT %(stream_id)s, %(epoch)s, coalesce(max(row_id), 0) FROM store.ledger WHERE stream_id = %(stream_id)s
RETURNING sweep_id, epoch, NULL::jsonb AS bookmark;

-- name: blocks
-- What an unfinished sweep has marked so far.
SELECT block, present FROM store.sweep_block WHERE sweep_id = %(sweep_id)s;

-- name: checkpoint
-- Marks and bookmark together, so that a crash resumes with both or with neither.
WITH marked AS (
    INSERT INTO store.sweep_block (sweep_id, block, present)
    SELECT %(sweep_id)s, block, present FROM unnest(%(blocks)s::bigint[], %(present)s::bytea[]) AS b (block, present)
    ON CONFLICT (sweep_id, block) DO UPDATE SET present = excluded.present
)
UPDATE store.sweep
SET bookmark = %(bookmark)s::jsonb, rows = rows + %(rows)s, rescued = rescued + %(rescued)s
WHERE sweep_id = %(sweep_id)s;

-- name: absent
-- Rows that neither this sweep nor the finished one before it saw, in the same epoch and at an advanced position, and
-- that both could have seen.
WITH this AS (
    SELECT * FROM store.sweep WHERE sweep_id = %(sweep_id)s
), before AS (
    SELECT s.* FROM store.sweep s, this
    WHERE s.stream_id = this.stream_id AND s.epoch = this.epoch AND s.finished_at IS NOT NULL
      AND s.sweep_id < this.sweep_id
    ORDER BY s.sweep_id DESC LIMIT 1
), unseen AS (
    SELECT l.row_id
    FROM store.ledger l CROSS JOIN this
    LEFT JOIN store.sweep_block b ON b.sweep_id = this.sweep_id AND b.block = l.row_id >> 16
    WHERE l.stream_id = this.stream_id AND l.gone_at IS NULL AND l.row_id <= this.last_row_id
      AND (b.present IS NULL OR get_bit(b.present, (l.row_id & 65535)::integer) = 0)
)
SELECT coalesce(array_agg(u.row_id) FILTER (
           WHERE before.sweep_id IS NOT NULL AND u.row_id <= before.last_row_id
             AND (before.position IS NULL OR before.position IS DISTINCT FROM %(position)s)
             AND (b.present IS NULL OR get_bit(b.present, (u.row_id & 65535)::integer) = 0)), '{}') AS twice,
       count(*) AS once,
       (SELECT count(*) FROM store.ledger l, this WHERE l.stream_id = this.stream_id AND l.gone_at IS NULL) AS known
FROM unseen u
LEFT JOIN before ON true
LEFT JOIN store.sweep_block b ON b.sweep_id = before.sweep_id AND b.block = u.row_id >> 16;

-- name: bury_rows
-- Rows that are gone: their insights stay, their sinks show a tombstone, their open work is cancelled.
WITH gone AS (
    UPDATE store.ledger SET gone_at = now()
    WHERE row_id = ANY(%(row_ids)s) AND gone_at IS NULL
    RETURNING row_id, insight_id
), cancelled AS (
    UPDATE store.work w SET state = 'cancelled', reason = 'the row was deleted', finished_at = now()
    FROM gone WHERE w.row_id = gone.row_id AND w.state IN ('pending', 'missing')
), told AS (
    INSERT INTO store.outbox AS o (sink_id, row_id, revision, insight_id, shows)
    SELECT %(sink_id)s, row_id, nextval('store.revision'), insight_id, 'tombstoned'
    FROM gone WHERE %(sink_id)s::integer IS NOT NULL AND insight_id IS NOT NULL
    ON CONFLICT (sink_id, row_id) DO UPDATE
    SET revision = nextval('store.revision'), shows = 'tombstoned', delivered_at = NULL, not_before = now(),
        attempts = 0, error = NULL
), audited AS (
    INSERT INTO store.audit_event (actor, action, stream_id, row_id)
    SELECT %(holder)s, 'row deleted', %(stream_id)s, row_id FROM gone
)
SELECT count(*) AS deleted FROM gone;

-- name: end_sweep
-- The sweep is complete. Blocks older than the one before it are of no use any more.
WITH ended AS (
    UPDATE store.sweep
    SET finished_at = now(), position = %(position)s, absent = %(absent)s, deleted = %(deleted)s,
        refused_reason = %(refused)s
    WHERE sweep_id = %(sweep_id)s
    RETURNING stream_id, rescued
), counted AS (
    UPDATE store.stream s
    SET sweep_due = false, baselined = true, missed_rows = s.missed_rows + CASE WHEN %(first)s THEN 0 ELSE ended.rescued END
    FROM ended WHERE s.stream_id = ended.stream_id
)
DELETE FROM store.sweep_block b
USING store.sweep s
WHERE b.sweep_id = s.sweep_id AND s.stream_id = (SELECT stream_id FROM ended)
  AND b.sweep_id < (SELECT max(p.sweep_id) FROM store.sweep p, ended
                    WHERE p.stream_id = ended.stream_id AND p.sweep_id < %(sweep_id)s);

-- name: last_sweep
-- How long ago the stream's last sweep ended and began, and whether it left rows unconfirmed.
SELECT extract(epoch FROM now() - finished_at)::float8 AS age_s, extract(epoch FROM now() - started_at)::float8 AS began_s,
       absent > deleted AS unconfirmed, refused_reason
FROM store.sweep WHERE stream_id = %(stream_id)s AND finished_at IS NOT NULL
ORDER BY sweep_id DESC LIMIT 1;
