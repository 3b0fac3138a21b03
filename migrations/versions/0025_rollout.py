"""Stages of a rollout: which share of the keys a version makes and shows, changed by functions alone.

Revision: 0025
Previous: 0024
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
serves = "0025"

TABLES = """
DROP VIEW insights.deployment;
ALTER TABLE store.deployment
    ALTER share TYPE double precision,
    ADD shown_from double precision NOT NULL DEFAULT 0,
    ADD shown_upto double precision NOT NULL DEFAULT 1,
    ADD withdrawn boolean NOT NULL DEFAULT false,
    ADD full_at timestamptz,
    ADD shares double precision[] NOT NULL DEFAULT '{}',
    ADD every interval,
    ADD next_at timestamptz,
    ADD backfills boolean NOT NULL DEFAULT false,
    ADD held_reason text;
UPDATE store.deployment
SET full_at = changed_at, share = CASE stage WHEN 'full' THEN 1 ELSE 0 END,
    shown_upto = CASE stage WHEN 'full' THEN 1 ELSE 0 END;
CREATE UNIQUE INDEX deployment_candidate ON store.deployment (pipeline_id) WHERE stage IN ('canary', 'gradual');
COMMENT ON TABLE store.deployment IS
    'Which versions of each pipeline make new work, and what of it is shown. Stages are changed by store.set_stage, '
    'store.deploy_version and store.raise_shares alone';
COMMENT ON COLUMN store.deployment.share IS 'The version makes the rows whose keys'' points (store.key_point) are below it';
COMMENT ON COLUMN store.deployment.shown_from IS
    'The version is what is shown for keys with points from here up to, not including, shown_upto';
COMMENT ON COLUMN store.deployment.withdrawn IS 'It was rolled back: what it still makes is kept, and never shown';
COMMENT ON COLUMN store.deployment.full_at IS 'When it was last made full; what a rollback goes back to';
COMMENT ON COLUMN store.deployment.shares IS 'Of a gradual one: the shares still to come; 1 makes it full';
COMMENT ON COLUMN store.deployment.every IS 'Of a gradual one: how long each share lasts';
COMMENT ON COLUMN store.deployment.next_at IS 'Of a gradual one: when the next share is due';
COMMENT ON COLUMN store.deployment.backfills IS 'Rows of its share that are known already become its work as well';
COMMENT ON COLUMN store.deployment.held_reason IS 'Why its share is not raised at present';

CREATE FUNCTION store.key_point(row_key text) RETURNS double precision
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN ('x' || encode(substring(sha256(convert_to(row_key, 'UTF8')) FROM 1 FOR 4), 'hex'))::bit(32)::bigint / 4294967296.0::float8;
COMMENT ON FUNCTION store.key_point IS
    'Where a key lies between 0 and 1: the first 32 bits of its SHA-256, the same on every host. See insights/model/deployments.py';

CREATE FUNCTION store.covers(lower double precision, upper double precision, row_key text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN upper > lower AND ((lower <= 0 AND upper >= 1)
                          OR (store.key_point(row_key) >= lower AND store.key_point(row_key) < upper));
COMMENT ON FUNCTION store.covers IS 'Whether a key''s point is in an interval; the whole is asked without hashing';

CREATE VIEW insights.deployment AS
SELECT p.name AS pipeline, v.sha256 AS pipeline_version, d.stage, d.share, s.name AS stream, k.name AS sink, d.columns,
       d.stopped_reason, v.created_at, d.changed_at, d.changed_by, d.shares AS shares_to_come, d.next_at, d.held_reason
FROM store.deployment d
JOIN store.pipeline p USING (pipeline_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = d.pipeline_version_id
JOIN store.stream s ON s.stream_id = d.stream_id
LEFT JOIN store.sink k ON k.sink_id = d.sink_id;
COMMENT ON VIEW insights.deployment IS 'Every version of every pipeline, and how it is deployed';
"""

# Lock order: pipeline, stream (a page that was read for others is not recorded), deployments (a statement that writes
# insights holds them: it sees the stage of before and is seen by what comes next, or waits and sees the new one).
FUNCTIONS = """
CREATE FUNCTION store.change_stage(version_id integer, new_stage text, new_share double precision, actor text, why text,
                                   redo boolean, fresh boolean, told jsonb, OUT rows bigint, OUT of_share bigint,
                                   OUT shown bigint, OUT queued bigint, OUT reread bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one store.deployment;
    whole_one store.deployment;
    taken_back integer[] := '{}';
BEGIN
    SELECT d.* INTO one FROM store.deployment d WHERE d.pipeline_version_id = version_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING MESSAGE = 'there is no such version';
    END IF;
    PERFORM FROM store.pipeline p WHERE p.pipeline_id = one.pipeline_id FOR NO KEY UPDATE;
    UPDATE store.stream s SET generation = s.generation + 1 WHERE s.stream_id = one.stream_id;
    PERFORM FROM store.deployment d WHERE d.pipeline_id = one.pipeline_id ORDER BY d.pipeline_version_id FOR NO KEY UPDATE;
    SELECT d.* INTO one FROM store.deployment d WHERE d.pipeline_version_id = version_id;
    SELECT d.* INTO whole_one FROM store.deployment d WHERE d.pipeline_id = one.pipeline_id AND d.stage = 'full';
    IF new_stage = 'full' THEN
        new_share := 1;
        taken_back := ARRAY(SELECT d.pipeline_version_id FROM store.deployment d
                            WHERE d.pipeline_id = one.pipeline_id AND d.pipeline_version_id <> version_id
                              AND d.stage IN ('full', 'canary', 'gradual'));
    ELSIF one.stage = 'full' THEN
        RAISE EXCEPTION USING MESSAGE = 'the version that is full goes when another is made full';
    ELSIF new_stage IN ('canary', 'gradual') THEN
        IF EXISTS (SELECT FROM store.deployment d WHERE d.pipeline_id = one.pipeline_id
                   AND d.pipeline_version_id <> version_id AND d.stage IN ('canary', 'gradual')) THEN
            RAISE EXCEPTION USING MESSAGE = 'another version has a share already: roll it back first';
        ELSIF whole_one.pipeline_version_id IS NULL THEN
            RAISE EXCEPTION USING MESSAGE = 'no version is full, which the other keys need';
        ELSIF whole_one.sink_id IS DISTINCT FROM one.sink_id OR whole_one.stream_id <> one.stream_id THEN
            RAISE EXCEPTION USING MESSAGE = 'both versions must follow one stream and tell one sink';
        END IF;
        taken_back := ARRAY[version_id];  -- where its share became smaller
    ELSIF new_stage = 'retired' THEN
        new_share := 0;
        taken_back := ARRAY[version_id];
    ELSIF new_stage <> 'shadow' THEN
        RAISE EXCEPTION USING MESSAGE = 'there is no stage ' || new_stage;
    ELSE
        taken_back := ARRAY[version_id];
    END IF;
    IF new_share IS NULL OR new_share < 0 OR new_share > 1 OR (new_share = 0 AND new_stage <> 'retired') THEN
        RAISE EXCEPTION USING MESSAGE = 'a share is more than 0 and at most 1';
    END IF;

    UPDATE store.deployment d
    SET stage = 'retired', share = 0, shown_from = 0, shown_upto = 0, withdrawn = redo, shares = '{}', every = NULL,
        next_at = NULL, backfills = false, held_reason = NULL, changed_at = now(), changed_by = actor
    WHERE new_stage = 'full' AND d.pipeline_version_id = ANY (taken_back);
    UPDATE store.deployment d
    SET stage = new_stage, share = new_share, shown_from = 0, withdrawn = redo AND new_stage = 'retired',
        shown_upto = CASE WHEN new_stage IN ('shadow', 'retired') THEN 0 ELSE new_share END,
        full_at = CASE new_stage WHEN 'full' THEN now() ELSE d.full_at END,
        shares = coalesce(ARRAY(SELECT s::float8 FROM jsonb_array_elements_text(told -> 'shares') AS s), '{}'),
        every = make_interval(secs => (told ->> 'every_s')::float8),
        next_at = CASE WHEN jsonb_array_length(told -> 'shares') > 0
                       THEN now() + make_interval(secs => (told ->> 'every_s')::float8) END,
        backfills = coalesce((told ->> 'backfill')::boolean, false), held_reason = told ->> 'held', changed_at = now(), changed_by = actor
    WHERE d.pipeline_version_id = version_id;
    UPDATE store.deployment f
    SET shown_from = coalesce((SELECT c.shown_upto FROM store.deployment c
                               WHERE c.pipeline_id = f.pipeline_id AND c.stage IN ('canary', 'gradual')), 0)
    WHERE f.pipeline_id = one.pipeline_id AND f.stage = 'full';

    PERFORM store.append_events(actor, jsonb_build_array(jsonb_build_object(
        'action', 'deployed', 'stream_id', one.stream_id,
        'details', jsonb_strip_nulls(jsonb_build_object(
            'pipeline', p.name, 'version', v.sha256, 'stage', new_stage, 'share', new_share, 'was', one.stage,
            'was_share', one.share, 'why', nullif(why, '')) || (told - 'shares' - 'every_s')
            || CASE WHEN jsonb_array_length(told -> 'shares') > 0 THEN told ELSE '{}' END))))
    FROM store.pipeline p JOIN store.pipeline_version v USING (pipeline_id)
    WHERE v.pipeline_version_id = version_id;
    IF fresh THEN  -- it has made nothing, and takes nothing back
        rows := 0; of_share := 0; shown := 0; queued := 0; reread := 0;
        RETURN;
    END IF;
    SELECT count(*), count(*) FILTER (WHERE store.covers(0, new_share, l.row_key)) INTO rows, of_share
    FROM store.ledger l WHERE l.stream_id = one.stream_id AND l.gone_at IS NULL;

    -- Whoever shows a row from now on shows what it has made of the row's inputs. The hash in the ledger is over the columns
    -- of all versions: of one that reads others, the rows are read again, and shown without a model if nothing differs.
    WITH live AS MATERIALIZED (
        SELECT v.*, v.columns IS NOT DISTINCT FROM s.columns AS all_columns, s.hash_version
        FROM store.deployment v JOIN store.stream s USING (stream_id)
        WHERE v.pipeline_id = one.pipeline_id AND v.shown_upto > v.shown_from
    ), standing AS MATERIALIZED (
        SELECT l.row_id, l.stream_id, l.input_hash, v.pipeline_version_id, v.pipeline_id, v.sink_id,
               v.all_columns AND l.hash_version = v.hash_version AS known, c.insight_id AS shown_id,
               i.pipeline_version_id AS by_id, e.insight_id AS kept_id
        FROM live v
        JOIN store.ledger l ON l.stream_id = v.stream_id AND l.gone_at IS NULL
        LEFT JOIN store.current_insight c ON c.row_id = l.row_id AND c.pipeline_id = v.pipeline_id
        LEFT JOIN store.insight i ON i.insight_id = c.insight_id
        LEFT JOIN LATERAL (
            SELECT e.insight_id FROM store.insight e
            WHERE e.row_id = l.row_id AND e.input_hash = l.input_hash AND e.pipeline_version_id = v.pipeline_version_id
            ORDER BY e.request DESC LIMIT 1
        ) e ON v.all_columns AND l.hash_version = v.hash_version
        WHERE store.covers(v.shown_from, v.shown_upto, l.row_key)
          AND i.pipeline_version_id IS DISTINCT FROM v.pipeline_version_id
    ), rest AS MATERIALIZED (
        SELECT s.*, redo AND s.by_id = ANY (taken_back) AS stale,
               EXISTS (SELECT FROM store.insight e
                       WHERE e.row_id = s.row_id AND e.pipeline_version_id = s.pipeline_version_id) AS had
        FROM standing s
        WHERE s.kept_id IS NULL AND (NOT s.known OR (redo AND s.by_id = ANY (taken_back)))
    ), work AS (
        INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id)
        SELECT r.row_id, r.stream_id, CASE WHEN r.known THEN r.input_hash ELSE gen_random_uuid() END, r.pipeline_version_id
        FROM rest r
        WHERE (r.stale OR r.had)
          AND NOT EXISTS (SELECT FROM store.work o
                          WHERE o.row_id = r.row_id AND o.pipeline_version_id = r.pipeline_version_id
                            AND o.state IN ('pending', 'claimed', 'missing') AND NOT o.overtaken)
        ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
        SET state = 'pending', attempts = 0, not_before = now(), reason = NULL, finished_at = NULL, overtaken = false
        WHERE w.state IN ('superseded', 'missing', 'cancelled', 'dead')
        RETURNING w.row_id
    ), current AS (
        INSERT INTO store.current_insight AS c (row_id, pipeline_id, insight_id)
        SELECT s.row_id, s.pipeline_id, s.kept_id FROM standing s WHERE s.kept_id IS NOT NULL
        ON CONFLICT (row_id, pipeline_id) DO UPDATE SET insight_id = excluded.insight_id
    ), outbox AS (
        INSERT INTO store.outbox AS o (sink_id, row_id, revision, insight_id, shows)
        SELECT t.sink_id, t.row_id, nextval('store.revision'), t.insight_id, t.shows
        FROM (SELECT s.sink_id, s.row_id, s.kept_id AS insight_id, 'current' AS shows FROM standing s WHERE s.kept_id IS NOT NULL
              UNION ALL SELECT r.sink_id, r.row_id, r.shown_id, 'stale' FROM rest r WHERE r.stale) t
        WHERE t.sink_id IS NOT NULL
        ON CONFLICT (sink_id, row_id) DO UPDATE
        SET revision = nextval('store.revision'), insight_id = excluded.insight_id, shows = excluded.shows,
            delivered_at = NULL, not_before = now(), attempts = 0, error = NULL
    )
    SELECT (SELECT count(*) FROM standing WHERE kept_id IS NOT NULL),
           (SELECT count(*) FROM work JOIN rest USING (row_id) WHERE NOT rest.had),
           (SELECT count(*) FROM work JOIN rest USING (row_id) WHERE rest.had)
    INTO shown, queued, reread;
    IF (told ->> 'backfill')::boolean AND new_stage <> 'retired' THEN
        WITH work AS (
            INSERT INTO store.work AS w (row_id, stream_id, input_hash, pipeline_version_id)
            SELECT l.row_id, l.stream_id, CASE WHEN k.known THEN l.input_hash ELSE gen_random_uuid() END, version_id
            FROM store.deployment d
            JOIN store.stream s USING (stream_id)
            JOIN store.ledger l ON l.stream_id = d.stream_id AND l.gone_at IS NULL
            CROSS JOIN LATERAL (SELECT d.columns IS NOT DISTINCT FROM s.columns AND l.hash_version = s.hash_version AS known) k
            WHERE d.pipeline_version_id = version_id AND store.covers(0, d.share, l.row_key)
              AND NOT EXISTS (SELECT FROM store.insight e
                              WHERE e.row_id = l.row_id AND e.pipeline_version_id = version_id
                                AND (e.input_hash = l.input_hash OR NOT k.known))
              AND NOT EXISTS (SELECT FROM store.work o WHERE o.row_id = l.row_id AND o.pipeline_version_id = version_id
                              AND o.state IN ('pending', 'claimed', 'missing', 'dead') AND NOT o.overtaken)
            ON CONFLICT (row_id, input_hash, pipeline_version_id) DO UPDATE
            SET state = 'pending', attempts = 0, not_before = now(), reason = NULL, finished_at = NULL, overtaken = false
            WHERE w.state IN ('superseded', 'missing', 'cancelled')
            RETURNING 1
        )
        SELECT queued + count(*) INTO queued FROM work;
    END IF;
END $$;
COMMENT ON FUNCTION store.change_stage IS
    'The one place where a stage changes: shows what the version now shown has made, queues what a withdrawn one showed';
REVOKE ALL ON FUNCTION store.change_stage FROM PUBLIC;

CREATE FUNCTION store.set_stage(version_id integer, new_stage text, new_share double precision, actor text, why text,
                                redo boolean, told jsonb, OUT rows bigint, OUT of_share bigint, OUT shown bigint, OUT queued bigint,
                                OUT reread bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT c.rows, c.of_share, c.shown, c.queued, c.reread
    FROM store.change_stage(version_id, new_stage, new_share, actor, why, redo, false, told) c;
END;
COMMENT ON FUNCTION store.set_stage IS 'Promote and roll back: for operators, and not for the daemon';
REVOKE ALL ON FUNCTION store.set_stage FROM PUBLIC;

CREATE FUNCTION store.deploy_version(version_id integer, its_stream integer, its_sink integer, its_columns text[],
                                     first_stage text, actor text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF first_stage NOT IN ('full', 'shadow') THEN
        RAISE EXCEPTION USING MESSAGE = 'a new version is full or a shadow';
    END IF;
    -- A version that is deployed already is refused by the key: only people change its stage.
    INSERT INTO store.deployment (pipeline_version_id, pipeline_id, stream_id, sink_id, columns, stage, share, shown_upto, changed_by)
    SELECT v.pipeline_version_id, v.pipeline_id, its_stream, its_sink, its_columns, 'retired', 0, 0, actor
    FROM store.pipeline_version v WHERE v.pipeline_version_id = version_id;
    PERFORM store.change_stage(version_id, first_stage, 1, actor, 'seen for the first time', false, true, '{}');
END $$;
COMMENT ON FUNCTION store.deploy_version IS 'How a daemon registers a version that was never seen before';
REVOKE ALL ON FUNCTION store.deploy_version FROM PUBLIC;

CREATE FUNCTION store.raise_shares(actor text)
RETURNS TABLE (pipeline text, version text, new_stage text, new_share double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one store.deployment;
BEGIN
    FOR one IN SELECT d.* FROM store.deployment d
               WHERE d.stage = 'gradual' AND d.next_at <= now() AND d.held_reason IS NULL LOOP
        PERFORM FROM store.pipeline p WHERE p.pipeline_id = one.pipeline_id FOR NO KEY UPDATE;
        SELECT d.* INTO one FROM store.deployment d  -- another daemon may have raised it meanwhile
        WHERE d.pipeline_version_id = one.pipeline_version_id AND d.stage = 'gradual' AND d.next_at <= now()
          AND d.held_reason IS NULL;
        CONTINUE WHEN NOT FOUND;
        new_share := one.shares[1];
        new_stage := CASE WHEN new_share >= 1 THEN 'full' ELSE 'gradual' END;
        PERFORM store.change_stage(one.pipeline_version_id, new_stage, new_share, actor, 'its schedule', false, false,
                                   jsonb_build_object('shares', to_jsonb(one.shares[2:]), 'backfill', one.backfills,
                                                      'every_s', extract(epoch FROM one.every)));
        SELECT p.name, v.sha256 INTO pipeline, version
        FROM store.pipeline p JOIN store.pipeline_version v USING (pipeline_id)
        WHERE v.pipeline_version_id = one.pipeline_version_id;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION store.raise_shares IS 'A daemon raises the share of what is gradual, as its schedule says and no other';
REVOKE ALL ON FUNCTION store.raise_shares FROM PUBLIC;
"""

_CURRENT = """
SELECT s.name AS stream, {key} AS row_key, i.insight_id, i.status, i.reason, i.output, i.model, p.name AS pipeline,
       v.sha256 AS pipeline_version, i.source_cursor, i.generated_at, i.confidence,
       EXISTS (SELECT FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
               WHERE w.row_id = c.row_id AND d.pipeline_id = c.pipeline_id AND {shows}
                 AND w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
                 AND {differs}) AS stale,
       l.gone_at
FROM store.current_insight c
JOIN store.ledger l ON l.row_id = c.row_id
JOIN store.stream s USING (stream_id)
JOIN store.insight i ON i.insight_id = c.insight_id
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p ON p.pipeline_id = c.pipeline_id"""
_HASH = "left(encode(sha256(convert_to(k.value || l.row_key, 'UTF8')), 'hex'), 32)"


def _views(shows: str, differs: str, done: str, open_work: str) -> str:
    """Return the views that ask which version shows a row; the rest of them is as it was."""
    current = _CURRENT.replace("{shows}", shows).replace("{differs}", differs)
    return f"""
CREATE OR REPLACE VIEW store.plain_current WITH (security_barrier) AS{current.format(key="l.row_key")}
WHERE NOT s.key_personal;
CREATE OR REPLACE VIEW insights.current AS
SELECT * FROM store.plain_current
UNION ALL{current.format(key=_HASH)}
JOIN store.setting k ON k.name = 'key_salt'
WHERE s.key_personal AND EXISTS (SELECT FROM store.stream WHERE key_personal);
CREATE OR REPLACE VIEW insights.completeness AS
SELECT s.name AS stream,
       count(l.row_id) AS rows_known,
       count(*) FILTER (WHERE o.outcome = 'ok') AS ok,
       count(*) FILTER (WHERE o.outcome = 'abstained') AS abstained,
       count(*) FILTER (WHERE o.outcome = 'withheld') AS withheld,
       count(*) FILTER (WHERE o.outcome = 'pending') AS pending,
       count(*) FILTER (WHERE o.outcome = 'dead') AS dead,
       count(*) FILTER (WHERE o.outcome = 'missing') AS missing,
       count(*) FILTER (WHERE o.outcome = 'gone') AS gone,
       count(*) FILTER (WHERE o.outcome = 'skipped') AS skipped,
       s.complete_through, s.lag_s, s.missed_rows, s.paused, s.stopped_reason, s.last_poll_at,
       greatest(s.overlap_s, s.widened_s) AS overlap_s,
       (SELECT max(w.started_at) FROM store.sweep w WHERE w.stream_id = s.stream_id AND w.finished_at IS NOT NULL)
           AS swept_through,
       (SELECT max(w.finished_at) FROM store.sweep w WHERE w.stream_id = s.stream_id) AS last_sweep_at,
       s.epoch - 1 AS epoch_changes,
       jsonb_array_length(s.gaps) AS open_gaps,
       (SELECT p50_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p50_s,
       (SELECT p99_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p99_s,
       p.name AS pipeline, s.last_error
FROM store.stream s
LEFT JOIN store.deployment d ON d.stream_id = s.stream_id AND d.stage = 'full'
LEFT JOIN store.pipeline p ON p.pipeline_id = d.pipeline_id
LEFT JOIN store.ledger l ON l.stream_id = s.stream_id
LEFT JOIN store.current_insight c ON c.row_id = l.row_id AND c.pipeline_id = d.pipeline_id
LEFT JOIN store.insight i ON i.insight_id = c.insight_id
LEFT JOIN ({open_work}
) w ON w.row_id = l.row_id AND w.pipeline_id = d.pipeline_id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN l.row_id IS NULL THEN NULL
        WHEN l.gone_at IS NOT NULL THEN 'gone'
        WHEN i.insight_id IS NOT NULL AND (w.row_id IS NULL OR {done}) THEN i.status
        WHEN w.state IN ('pending', 'claimed') THEN 'pending'
        WHEN w.state IN ('dead', 'missing') THEN w.state
        ELSE 'skipped'
    END AS outcome
) o
GROUP BY s.stream_id, p.pipeline_id;
"""  # noqa: S608 - of this file's own texts


VIEWS = _views(
    "store.covers(d.shown_from, d.shown_upto, l.row_key)",
    "(w.input_hash <> i.input_hash OR (SELECT b.withdrawn FROM store.deployment b"
    " WHERE b.pipeline_version_id = i.pipeline_version_id))",
    "(w.input_hash = i.input_hash AND NOT (SELECT b.withdrawn FROM store.deployment b"
    " WHERE b.pipeline_version_id = i.pipeline_version_id))",
    """
    SELECT DISTINCT ON (w.row_id, v.pipeline_id) w.row_id, v.pipeline_id, w.state, w.input_hash
    FROM store.work w
    JOIN store.deployment v USING (pipeline_version_id)
    JOIN store.ledger k ON k.row_id = w.row_id
    WHERE w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
      AND (v.stage = 'retired' OR store.covers(v.shown_from, v.shown_upto, k.row_key))
    ORDER BY w.row_id, v.pipeline_id, w.work_id DESC""",
)

FORMER_VIEWS = _views(
    "d.stage = 'full'",
    "w.input_hash <> i.input_hash",
    "w.input_hash = i.input_hash",
    """
    SELECT DISTINCT ON (w.row_id, v.pipeline_id) w.row_id, v.pipeline_id, w.state, w.input_hash
    FROM store.work w JOIN store.pipeline_version v USING (pipeline_version_id)
    WHERE w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
    ORDER BY w.row_id, v.pipeline_id, w.work_id DESC""",
)

DOWNGRADE = """
DROP FUNCTION store.raise_shares, store.deploy_version, store.set_stage, store.change_stage, store.covers, store.key_point;
DROP VIEW insights.deployment;
DROP INDEX store.deployment_candidate;
-- What of a rollout was under way ends: the versions before are as full as they were.
UPDATE store.deployment SET stage = 'retired' WHERE stage IN ('shadow', 'canary', 'gradual');
UPDATE store.deployment SET share = 1;
ALTER TABLE store.deployment
    ALTER share TYPE real, DROP shown_from, DROP shown_upto, DROP withdrawn, DROP full_at, DROP shares, DROP every,
    DROP next_at, DROP backfills, DROP held_reason;
COMMENT ON TABLE store.deployment IS
    'Which version of each pipeline makes new work. Changed by a version never seen before, and by promote and rollback';
COMMENT ON COLUMN store.deployment.share IS 'Share of the row keys, for canary and gradual';
CREATE VIEW insights.deployment AS
SELECT p.name AS pipeline, v.sha256 AS pipeline_version, d.stage, d.share, s.name AS stream, k.name AS sink, d.columns,
       d.stopped_reason, v.created_at, d.changed_at, d.changed_by
FROM store.deployment d
JOIN store.pipeline p USING (pipeline_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = d.pipeline_version_id
JOIN store.stream s ON s.stream_id = d.stream_id
LEFT JOIN store.sink k ON k.sink_id = d.sink_id;
COMMENT ON VIEW insights.deployment IS 'Every version of every pipeline, and how it is deployed';
"""


def upgrade() -> None:
    for part in (TABLES, FUNCTIONS, VIEWS):
        op.execute(part)


def downgrade() -> None:
    op.execute(FORMER_VIEWS)
    op.execute(DOWNGRADE)
