-- name: state
-- What is known of a stream between polls.
SELECT stream_id, paused, stopped_reason, epoch, identity, position, watermark, pass AS begun, passes, window_read, gaps,
       greatest(overlap_s, widened_s) AS overlap_s, shape, sweep_due, baselined, extract(epoch FROM clock_timestamp())::float8 AS now
FROM store.stream WHERE name = %(stream)s;

-- name: deployed
-- Which versions follow a stream, what they read of a row, and the form of the hashes that its rows are known by.
SELECT s.stream_id, s.generation, s.hash_version, s.key_version, s.columns, s.former_key_version, s.former_columns,
       EXISTS (SELECT FROM store.ledger l WHERE l.stream_id = s.stream_id) AS filled,
       coalesce(jsonb_agg(jsonb_build_object('version_id', d.pipeline_version_id, 'pipeline_id', d.pipeline_id,
                                             'sink_id', d.sink_id, 'columns', d.columns)
                          ORDER BY d.pipeline_version_id)
                FILTER (WHERE d.columns IS NOT NULL), '[]') AS versions
FROM store.stream s
LEFT JOIN store.deployment d ON d.stream_id = s.stream_id AND d.stage <> 'retired'
WHERE s.name = %(stream)s
GROUP BY s.stream_id;

-- name: adopt_form
-- The form of a stream's first hashes.
UPDATE store.stream SET columns = %(columns)s, key_version = %(key_version)s
WHERE stream_id = %(stream_id)s;

-- name: begin_form
-- From now on rows are known by another form: another key, or other columns. One whole sweep gives it to all of them;
-- one that has begun before does not count.
UPDATE store.stream
SET hash_version = %(hash_version)s, key_version = %(key_version)s, columns = %(columns)s,
    former_key_version = %(former_key_version)s, former_columns = %(former_columns)s, form_at = clock_timestamp(),
    sweep_due = true
WHERE stream_id = %(stream_id)s;

-- name: fence
-- Writing under a lease that another has taken would overwrite its work. One that only ran out is still ours: whoever
-- takes it changes the token. Each write prolongs it: a walk of many pages needs no other renewal.
-- A daemon with a key that another has replaced would take every row back to it: each key's check value has a name.
UPDATE store.lease SET expires_at = now() + make_interval(secs => %(ttl_s)s)
WHERE name = %(name)s AND token = %(token)s
RETURNING NOT EXISTS (SELECT FROM store.setting WHERE name = 'hash_key_check_' || (%(key_version)s + 1)) AS newest;

-- name: generation
-- The versions that a page was read for still follow the stream, until this transaction ends; and whether it is to be read on.
SELECT generation, paused FROM store.stream WHERE stream_id = %(stream_id)s FOR SHARE;

-- name: page_table
-- Where COPY puts a page; emptied at each commit, made once a session. own: the hashes over what single versions read,
-- where that is not all columns; former_: the same in the form before.
CREATE TEMPORARY TABLE IF NOT EXISTS page (row_key text NOT NULL, input_hash uuid NOT NULL, cursor text, former_hash uuid,
                                           own uuid[], former_own uuid[])
ON COMMIT DELETE ROWS;

-- name: copy_page
-- The page as the reader made it; the supervisor never decodes it.
COPY page (row_key, input_hash, cursor) FROM STDIN;

-- name: copy_page_wide
-- The same where versions read different columns, or the form of the hash changes.
COPY page (row_key, input_hash, cursor, former_hash, own, former_own) FROM STDIN;

-- name: hold_back
-- Rows that were forgotten are taken out of the page before anything of it is recorded, and counted. Where nothing of the
-- stream was ever forgotten, no key is looked at.
WITH held AS (
    DELETE FROM page p
    WHERE EXISTS (SELECT FROM store.forgotten f WHERE f.stream = %(stream)s) AND store.is_forgotten(%(stream)s, p.row_key)
    RETURNING p.row_key
), counted AS (
    UPDATE store.forgotten f SET held_back = f.held_back + 1
    FROM (SELECT DISTINCT store.key_hash(h.row_key) AS key_hash FROM held h) k
    WHERE f.stream = %(stream)s AND f.key_hash = k.key_hash
)
SELECT count(*) AS rows FROM held;

-- name: restamp_page
-- While the form of the hash changes: rows that are equal in the former one take the new hash, without work. With another
-- key, work and insights take theirs too: those of other columns keep the hashes that they have.
WITH known AS MATERIALIZED (
    SELECT DISTINCT ON (l.row_id) l.row_id, l.input_hash = p.former_hash AS equal, p.former_hash, p.input_hash, p.own,
           p.former_own
    FROM page p
    CROSS JOIN LATERAL (
        SELECT * FROM store.ledger l WHERE l.stream_id = %(stream_id)s AND l.row_key = p.row_key LIMIT 1
    ) l
    WHERE l.hash_version < %(hash_version)s
), stamped AS (
    UPDATE store.ledger l SET input_hash = k.input_hash, hash_version = %(hash_version)s
    FROM known k WHERE k.equal AND l.row_id = k.row_id AND l.input_hash = k.former_hash
), pairs AS (
    SELECT k.row_id, k.former_hash, k.input_hash FROM known k WHERE %(rekeyed)s
    UNION
    SELECT k.row_id, f.former_hash, f.input_hash
    FROM known k CROSS JOIN LATERAL unnest(k.former_own, k.own) AS f (former_hash, input_hash) WHERE %(rekeyed)s
), worked AS (
    UPDATE store.work w SET input_hash = q.input_hash
    FROM pairs q WHERE w.row_id = q.row_id AND w.input_hash = q.former_hash
)
UPDATE store.insight i SET input_hash = q.input_hash
FROM pairs q WHERE i.row_id = q.row_id AND i.input_hash = q.former_hash;

-- name: plan_anew
-- A plan that was made while the tables were empty would read all of them once they are full.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: contradictions
-- Keys that occur twice with different inputs: a view that multiplies rows, or a key that is none.
SELECT row_key FROM page GROUP BY row_key HAVING count(DISTINCT input_hash) > 1 LIMIT 1;

-- name: record_new
-- A page of a first load: rows that nobody knows enter the ledger without being looked up before, and the page waits as
-- one row for each version that makes them, until claims make work of it (work_pages.sql). Where a row is there already,
-- or twice in the page, none enters: `record` looks at all of them. Only where all versions read all columns.
SELECT e.new, 0 AS changed, 0 AS revived, 0 AS outdated, extract(epoch FROM clock_timestamp())::float8 AS at,
       ARRAY(SELECT row_key FROM page WHERE %(sample)s > 0 AND cursor IS NOT NULL LIMIT %(sample)s) AS stamped,
       CASE WHEN %(want_ids)s THEN coalesce(e.row_ids, '{}') END AS row_ids
FROM store.enter_page(%(stream_id)s, %(hash_version)s::smallint, %(versions)s, %(enqueue)s, %(want_ids)s) e;

-- name: record_same
-- A page of a sweep, or one that is read again: rows that are all known and as they were are looked up and no more. Fewer
-- are the same where one differs, or where a row that was missing may be among them: `record` looks at all of them.
SELECT count(*) AS same, 0 AS new, 0 AS changed, 0 AS revived, 0 AS outdated,
       extract(epoch FROM clock_timestamp())::float8 AS at, '{}'::text[] AS stamped,
       CASE WHEN %(want_ids)s THEN coalesce(array_agg(l.row_id), '{}') END AS row_ids
FROM page p
CROSS JOIN LATERAL (
    SELECT l.row_id, l.input_hash, l.gone_at FROM store.ledger l
    WHERE l.stream_id = %(stream_id)s AND l.row_key = p.row_key LIMIT 1
) l
WHERE l.input_hash = p.input_hash AND l.gone_at IS NULL
  AND NOT EXISTS (SELECT FROM store.work w WHERE w.stream_id = %(stream_id)s AND w.state = 'missing');

-- name: record
-- One page of a poll or a sweep. Unchanged rows are only looked up. New and changed rows enter the ledger and become
-- work of each version that makes them and has not seen what it reads of them; where it has, that insight is current
-- (again) if this version is what the row shows, and a version that does not read what changed does nothing. A newer hash
-- supersedes work that has not begun and overtakes what has. A row whose claim moved to newer inputs after the page was read is left alone: the page may be older.
-- LATERAL with LIMIT is a look-up by index for each row of the page: a join would be planned as a hash of the whole
-- ledger, for every page. Each page of the store that a changed row touches is one that no cache holds: the row is
-- updated where its look-up found it, and the insight that it shows is read only where a former version may have made it.
WITH live AS MATERIALIZED (
    SELECT v.*, d.stage, d.share, d.shown_from, d.shown_upto,
           d.stage = 'full' AND EXISTS (SELECT FROM store.deployment o
                                        WHERE o.pipeline_id = d.pipeline_id AND o.stage = 'retired'
                                          AND o.columns = d.columns) AS succeeds
    FROM unnest(%(versions)s::integer[], %(pipelines)s::integer[], %(sinks)s::integer[], %(slots)s::integer[])
        AS v (version_id, pipeline_id, sink_id, slot)
    JOIN store.deployment d ON d.pipeline_version_id = v.version_id
), incoming AS MATERIALIZED (
    SELECT DISTINCT ON (p.row_key) p.row_key, p.input_hash, p.cursor, p.own, l.row_id, l.input_hash AS old_hash,
           l.gone_at, p.cursor IS DISTINCT FROM l.cursor AS stamped, l.place
    FROM page p
    LEFT JOIN LATERAL (
        SELECT l.*, l.ctid AS place FROM store.ledger l WHERE l.stream_id = %(stream_id)s AND l.row_key = p.row_key LIMIT 1
    ) l ON true
    ORDER BY p.row_key
), added AS (
    INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)
    SELECT %(stream_id)s, row_key, input_hash, %(hash_version)s, cursor FROM incoming WHERE row_id IS NULL
    ON CONFLICT (stream_id, row_key) DO NOTHING
    RETURNING row_id, row_key, input_hash
), differing AS MATERIALIZED (
    SELECT i.row_id, i.row_key, i.input_hash, i.cursor, i.old_hash, i.own, i.gone_at, i.place
    FROM incoming i
    WHERE i.row_id IS NOT NULL AND (i.input_hash <> i.old_hash OR i.gone_at IS NOT NULL)
      AND NOT EXISTS (SELECT FROM store.work w WHERE w.row_id = i.row_id AND w.moved_at >= to_timestamp(%(read_at)s))
), changed AS (
    UPDATE store.ledger l
    SET input_hash = d.input_hash, cursor = d.cursor, gone_at = NULL, hash_version = %(hash_version)s
    FROM differing d
    WHERE l.ctid = d.place AND l.row_id = d.row_id AND l.input_hash = d.old_hash
    RETURNING l.row_id
), affected AS MATERIALIZED (
    SELECT d.row_id, v.version_id, v.pipeline_id, v.sink_id, v.stage, h.own_hash, c.insight_id AS shown_id,
           store.covers(v.shown_from, v.shown_upto, d.row_key) AS shows,
           -- What this version made of these inputs; or what is shown of them, by a former one that reads the same columns.
           coalesce(e.insight_id, CASE WHEN s.former THEN c.insight_id END) AS kept_id,
           EXISTS (SELECT FROM store.work w
                   WHERE w.row_id = d.row_id AND w.input_hash = h.own_hash AND w.pipeline_version_id = v.version_id
                     AND w.state IN ('pending', 'claimed', 'dead') AND NOT w.overtaken) AS open
    FROM differing d
    JOIN changed USING (row_id)
    CROSS JOIN live v
    CROSS JOIN LATERAL (SELECT CASE v.slot WHEN 0 THEN d.input_hash ELSE d.own[v.slot] END AS own_hash) h
    LEFT JOIN LATERAL (
        SELECT c.insight_id FROM store.current_insight c
        WHERE c.row_id = d.row_id AND c.pipeline_id = v.pipeline_id LIMIT 1
    ) c ON true
    LEFT JOIN LATERAL (
        SELECT s.input_hash = h.own_hash AND o.columns = m.columns AND o.stage = 'retired' AS former
        FROM (SELECT * FROM store.insight s WHERE v.succeeds AND s.insight_id = c.insight_id LIMIT 1) s
        JOIN store.deployment o ON o.pipeline_version_id = s.pipeline_version_id
        JOIN store.deployment m ON m.pipeline_version_id = v.version_id
        LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT e.insight_id FROM store.insight e
        WHERE e.row_id = d.row_id AND e.input_hash = h.own_hash AND e.pipeline_version_id = v.version_id
        ORDER BY e.request DESC LIMIT 1
    ) e ON true
    WHERE store.covers(0, v.share, d.row_key)
), standing AS (
    -- What the row shows: of the version that shows it; what the full one has made of it stands until that one has.
    SELECT DISTINCT ON (row_id, pipeline_id) *
    FROM affected WHERE shows OR (stage = 'full' AND kept_id IS NOT NULL)
    ORDER BY row_id, pipeline_id, (kept_id IS NOT NULL) DESC, shows DESC
), overtaken AS (
    UPDATE store.work w
    SET state = CASE WHEN w.state IN ('pending', 'missing') THEN 'superseded' ELSE w.state END, overtaken = true,
        reason = CASE WHEN w.state IN ('pending', 'missing') THEN 'the row changed' ELSE w.reason END,
        finished_at = CASE WHEN w.state IN ('pending', 'missing') THEN now() ELSE w.finished_at END
    FROM changed c
    WHERE w.row_id = c.row_id AND w.state IN ('pending', 'missing', 'claimed', 'dead')
      AND NOT EXISTS (SELECT FROM affected a WHERE a.row_id = w.row_id AND a.version_id = w.pipeline_version_id
                      AND a.own_hash = w.input_hash)
), queued AS (
    INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id)
    SELECT row_id, %(stream_id)s, own_hash, version_id
    FROM (SELECT a.row_id, v.version_id, CASE v.slot WHEN 0 THEN a.input_hash ELSE i.own[v.slot] END AS own_hash
          FROM added a JOIN incoming i USING (row_key) JOIN live v ON store.covers(0, v.share, a.row_key)
          UNION ALL SELECT row_id, version_id, own_hash FROM affected WHERE kept_id IS NULL) wanted
    WHERE %(enqueue)s
    ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
    SET state = CASE WHEN w.state IN ('claimed', 'dead') THEN w.state ELSE 'pending' END, overtaken = false,
        attempts = CASE WHEN w.state IN ('claimed', 'dead') THEN w.attempts ELSE 0 END,
        not_before = CASE WHEN w.state IN ('claimed', 'dead') THEN w.not_before ELSE now() END,
        reason = CASE WHEN w.state IN ('claimed', 'dead') THEN w.reason END, finished_at = NULL, not_after = NULL
    WHERE w.state IN ('superseded', 'missing', 'cancelled') OR (w.state IN ('claimed', 'dead') AND w.overtaken)
), returned AS (
    UPDATE store.work w
    SET state = 'pending', not_before = now(), reason = NULL
    FROM incoming i
    WHERE w.stream_id = %(stream_id)s AND w.state = 'missing' AND w.row_id = i.row_id AND i.input_hash = i.old_hash
      AND i.gone_at IS NULL
), kept AS (
    INSERT INTO store.current_insight AS c (row_id, pipeline_id, insight_id)
    SELECT row_id, pipeline_id, kept_id FROM standing WHERE kept_id IS NOT NULL AND kept_id IS DISTINCT FROM shown_id
    ON CONFLICT (row_id, pipeline_id) DO UPDATE SET insight_id = excluded.insight_id
), told AS (
    -- A sink is told what it does not show yet; a stale state keeps the insight that the outbox names.
    INSERT INTO store.outbox AS o (sink_id, row_id, revision, insight_id, shows)
    SELECT a.sink_id, a.row_id, nextval('store.revision'), coalesce(a.kept_id, a.shown_id),
           CASE WHEN a.kept_id IS NULL THEN 'stale' ELSE 'current' END
    FROM standing a
    WHERE a.sink_id IS NOT NULL AND (a.kept_id IS NOT NULL OR a.shown_id IS NOT NULL)
      AND NOT EXISTS (SELECT FROM store.outbox t
                      WHERE t.sink_id = a.sink_id AND t.row_id = a.row_id
                        AND t.shows = CASE WHEN a.kept_id IS NULL THEN 'stale' ELSE 'current' END
                        AND (a.kept_id IS NULL OR t.insight_id = a.kept_id))
    ON CONFLICT (sink_id, row_id) DO UPDATE
    SET revision = nextval('store.revision'), shows = excluded.shows,
        insight_id = CASE excluded.shows WHEN 'stale' THEN coalesce(o.insight_id, excluded.insight_id)
                                         ELSE excluded.insight_id END,
        delivered_at = NULL, not_before = now(), attempts = 0, error = NULL
), counted AS (
    -- A row counts as changed where a version has not seen these inputs of it, or it is shown again.
    SELECT row_id, bool_or(kept_id IS NULL AND NOT open) AS anew, bool_or(shows AND kept_id IS DISTINCT FROM shown_id) AS back,
           bool_or(kept_id IS NOT NULL AND NOT open) AS had
    FROM affected GROUP BY row_id
), effective AS (
    SELECT c.row_id, (c.back AND c.had) OR (c.had AND d.gone_at IS NOT NULL) AS revived
    FROM counted c JOIN differing d USING (row_id)
    WHERE c.anew OR (c.back AND c.had) OR d.gone_at IS NOT NULL
)
SELECT (SELECT count(*) FROM added) AS new,
       (SELECT count(*) FROM effective) AS changed,
       (SELECT count(*) FROM effective WHERE revived) AS revived,
       (SELECT count(*) FROM incoming WHERE row_id IS NOT NULL AND (input_hash <> old_hash OR gone_at IS NOT NULL))
           - (SELECT count(*) FROM differing) AS outdated,
       extract(epoch FROM clock_timestamp())::float8 AS at,
       ARRAY(SELECT i.row_key FROM incoming i LEFT JOIN effective d USING (row_id)
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
-- Where the pass goes on after a crash. A row that was forgotten is no bookmark: the one before it stays.
UPDATE store.stream SET pass = pass || jsonb_build_object('bookmark', %(bookmark)s::jsonb)
WHERE stream_id = %(stream_id)s AND NOT store.is_forgotten(name, %(at)s);

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
UPDATE store.stream SET widened_s = %(overlap_s)s
WHERE stream_id = %(stream_id)s AND greatest(overlap_s, widened_s) < %(overlap_s)s
RETURNING stream_id;

-- name: stop
-- The stream cannot go on until somebody acts; status shows why.
UPDATE store.stream SET stopped_reason = %(reason)s, last_error = %(reason)s WHERE stream_id = %(stream_id)s;

-- name: trouble
-- Why the stream is not polled at present; the next poll that ends clears it.
UPDATE store.stream SET last_error = %(reason)s WHERE name = %(stream)s AND last_error IS DISTINCT FROM %(reason)s;

-- name: shape
-- The columns and types that are read from now on.
UPDATE store.stream SET shape = %(shape)s::jsonb, stopped_reason = NULL WHERE stream_id = %(stream_id)s;

-- name: open_sweep
-- The stream's unfinished sweep of this epoch and this form of the hash, if there is one.
SELECT w.sweep_id, w.epoch, w.bookmark FROM store.sweep w JOIN store.stream s USING (stream_id)
WHERE w.stream_id = %(stream_id)s AND w.finished_at IS NULL AND w.epoch = %(epoch)s
  AND (w.started_at > s.form_at OR s.hash_version = 1)
ORDER BY w.sweep_id DESC LIMIT 1;

-- name: begin_sweep
-- A fresh sweep; rows that enter the ledger after it began cannot be absent from it.
INSERT INTO store.sweep (stream_id, epoch, last_row_id)
SELECT %(stream_id)s, %(epoch)s, coalesce(max(row_id), 0) FROM store.ledger WHERE stream_id = %(stream_id)s
RETURNING sweep_id, epoch, NULL::jsonb AS bookmark;

-- name: blocks
-- What an unfinished sweep has marked so far.
SELECT block, present FROM store.sweep_block WHERE sweep_id = %(sweep_id)s;

-- name: checkpoint
-- Marks and bookmark together, so that a crash resumes with both or with neither. A row that was forgotten is no bookmark:
-- what lies behind the one before it is read again.
WITH marked AS (
    INSERT INTO store.sweep_block (sweep_id, block, present)
    SELECT %(sweep_id)s, block, present FROM unnest(%(blocks)s::bigint[], %(present)s::bytea[]) AS b (block, present)
    ON CONFLICT (sweep_id, block) DO UPDATE SET present = excluded.present
)
UPDATE store.sweep w
SET bookmark = CASE WHEN store.is_forgotten(s.name, %(at)s) THEN w.bookmark ELSE %(bookmark)s::jsonb END,
    rows = w.rows + %(rows)s, rescued = w.rescued + %(rescued)s
FROM store.stream s
WHERE w.sweep_id = %(sweep_id)s AND s.stream_id = w.stream_id;

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
    RETURNING row_id
), cancelled AS (
    UPDATE store.work w SET state = 'cancelled', reason = 'the row was deleted', finished_at = now()
    FROM gone WHERE w.row_id = gone.row_id AND w.state IN ('pending', 'missing')
), told AS (
    UPDATE store.outbox o
    SET revision = nextval('store.revision'), shows = 'tombstoned', delivered_at = NULL, not_before = now(),
        attempts = 0, error = NULL
    FROM gone, store.sink k
    WHERE o.sink_id = k.sink_id AND o.row_id = gone.row_id
)
SELECT row_id FROM gone;

-- name: end_sweep
-- The sweep is complete. Blocks older than the one before it are of no use any more.
WITH ended AS (
    UPDATE store.sweep
    SET finished_at = now(), position = %(position)s, absent = %(absent)s, deleted = %(deleted)s,
        refused_reason = %(refused)s
    WHERE sweep_id = %(sweep_id)s
    RETURNING stream_id, rescued, started_at
), counted AS (
    UPDATE store.stream s
    SET sweep_due = ended.started_at <= s.form_at AND s.hash_version > 1, baselined = true,
        former_columns = CASE WHEN ended.started_at <= s.form_at THEN s.former_columns END,
        former_key_version = CASE WHEN ended.started_at <= s.form_at THEN s.former_key_version END,
        missed_rows = s.missed_rows + CASE WHEN %(first)s THEN 0 ELSE ended.rescued END
    FROM ended WHERE s.stream_id = ended.stream_id
)
DELETE FROM store.sweep_block b
USING store.sweep s
WHERE b.sweep_id = s.sweep_id AND s.stream_id = (SELECT stream_id FROM ended)
  AND b.sweep_id < (SELECT max(p.sweep_id) FROM store.sweep p, ended
                    WHERE p.stream_id = ended.stream_id AND p.sweep_id < %(sweep_id)s);

-- name: last_sweep
-- How long ago the stream's last sweep ended and began, whether it left rows unconfirmed, and at which position.
SELECT extract(epoch FROM now() - finished_at)::float8 AS age_s, extract(epoch FROM now() - started_at)::float8 AS began_s,
       absent > deleted AND refused_reason IS NULL AS unconfirmed, position
FROM store.sweep WHERE stream_id = %(stream_id)s AND finished_at IS NOT NULL
ORDER BY sweep_id DESC LIMIT 1;
