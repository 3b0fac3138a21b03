"""The work of a first load waits as pages, and becomes rows shortly before it is claimed.

Revision: 0043
Previous: 0039
"""

from alembic import op

revision = "0043"
down_revision = "0039"
branch_labels = None
depends_on = None
serves = "0025"

# Rows of work cost a first load more than its rows do: a row and three entries of indexes each, for work that is claimed
# hours later. What waits is told by one row a page and version instead.
UPGRADE = """
CREATE TABLE store.work_page (
    work_page_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream_id integer NOT NULL REFERENCES store.stream,
    pipeline_id integer NOT NULL REFERENCES store.pipeline,
    pipeline_version_id integer NOT NULL REFERENCES store.pipeline_version,
    first_row_id bigint NOT NULL,
    last_row_id bigint NOT NULL,
    rows integer NOT NULL,
    share double precision NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE store.work_page IS
    'Work of a version on the rows of one page of a first load, which is not in store.work yet: claims put it there, a page at a time';
COMMENT ON COLUMN store.work_page.first_row_id IS 'The stream''s rows from this number to last_row_id are the page';
COMMENT ON COLUMN store.work_page.rows IS 'How many of them are this version''s work, by the share that it had then';
CREATE INDEX work_page_next ON store.work_page (pipeline_version_id, work_page_id);
CREATE INDEX work_page_rows ON store.work_page (pipeline_id, last_row_id);

CREATE FUNCTION store.queue_pages(pages bigint[]) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    queued bigint;
BEGIN
    -- No page of these streams is recorded until this ends: what a row is known by stands still.
    PERFORM FROM store.stream s
    WHERE s.stream_id IN (SELECT p.stream_id FROM store.work_page p WHERE p.work_page_id = ANY (pages))
    ORDER BY s.stream_id FOR NO KEY UPDATE;
    -- A row that has any work of the version had it made since the page was found, by whatever found more: that stands.
    -- LATERAL with LIMIT and OFFSET 0 keep each look-up along an index. Where the version reads other columns than the
    -- row's hash is over by now, its own is found out when the row is read.
    WITH page AS MATERIALIZED (
        DELETE FROM store.work_page p WHERE p.work_page_id = ANY (pages) RETURNING p.*
    )
    INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id, enqueued_at)
    SELECT l.row_id, l.stream_id,
           CASE WHEN s.columns IS NOT DISTINCT FROM d.columns AND l.hash_version = s.hash_version THEN l.input_hash
                ELSE gen_random_uuid() END, d.pipeline_version_id, p.found_at
    FROM page p
    JOIN store.stream s USING (stream_id)
    JOIN store.deployment d USING (pipeline_version_id)
    CROSS JOIN LATERAL (
        SELECT * FROM store.ledger l WHERE l.row_id BETWEEN p.first_row_id AND p.last_row_id ORDER BY l.row_id OFFSET 0
    ) l
    LEFT JOIN LATERAL (
        SELECT true AS known FROM store.work w
        WHERE w.row_id = l.row_id AND w.pipeline_version_id = p.pipeline_version_id LIMIT 1
    ) w ON true
    WHERE l.stream_id = p.stream_id AND l.gone_at IS NULL AND w.known IS NULL AND store.covers(0, p.share, l.row_key)
    ORDER BY p.work_page_id, l.row_id
    ON CONFLICT (row_id, input_hash, pipeline_version_id) DO NOTHING;
    GET DIAGNOSTICS queued = ROW_COUNT;
    RETURN queued;
END $$;
COMMENT ON FUNCTION store.queue_pages IS 'Pages become rows of work, as if they had been recorded so';
REVOKE ALL ON FUNCTION store.queue_pages FROM PUBLIC;
"""

# Daemons of a former release know no pages. All that enrich call this function every 15 seconds, so it gives a version that
# has nothing waiting its next page: they work on, beside others and after a way back. What a claim asks for comes sooner.
_NEXT_PAGES = """
    PERFORM store.queue_pages(ARRAY(
        SELECT (SELECT p.work_page_id FROM store.work_page p
                WHERE p.pipeline_version_id = d.pipeline_version_id ORDER BY p.work_page_id LIMIT 1)
        FROM store.deployment d
        WHERE NOT EXISTS (SELECT FROM store.work w
                          WHERE w.pipeline_version_id = d.pipeline_version_id AND w.state = 'pending')))
    WHERE EXISTS (SELECT FROM store.work_page);"""

# What waits as pages becomes rows, as a claim would do it.
DOWNGRADE = """
SELECT store.queue_pages(ARRAY(SELECT work_page_id FROM store.work_page));
DROP FUNCTION store.queue_pages;
DROP TABLE store.work_page;
"""

_OUTCOMES = ("ok", "abstained", "withheld", "pending", "dead", "missing", "gone", "skipped")
_COUNTS = ("rows_known", *_OUTCOMES)

# A row of a page that waits. All versions of a page have its bounds, so that any of them tells.
_PAGED = """
                   WHEN (SELECT q.first_row_id FROM store.work_page q
                         WHERE q.pipeline_id = d.pipeline_id AND q.last_row_id >= l.row_id
                         ORDER BY q.last_row_id LIMIT 1) <= l.row_id THEN 'pending'"""


def _completeness(paged: str) -> str:
    return f"""
CREATE OR REPLACE VIEW insights.completeness AS
SELECT s.name AS stream,
       {", ".join(f"coalesce(o.{name}, 0)::bigint AS {name}" for name in _COUNTS)},
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
LEFT JOIN (
    SELECT stream_id, pipeline_id, sum(rows) AS rows_known,
           {", ".join(f"sum(rows) FILTER (WHERE outcome = '{name}') AS {name}" for name in _OUTCOMES)}
    FROM (
        SELECT l.stream_id, d.pipeline_id, count(*) AS rows,
               CASE
                   WHEN l.gone_at IS NOT NULL THEN 'gone'
                   WHEN i.insight_id IS NOT NULL AND (w.row_id IS NULL OR (w.input_hash = i.input_hash AND NOT b.withdrawn))
                       THEN i.status
                   WHEN w.state IN ('pending', 'claimed') THEN 'pending'
                   WHEN w.state IN ('dead', 'missing') THEN w.state{paged}
                   ELSE 'skipped'
               END AS outcome
        FROM store.ledger l
        LEFT JOIN store.deployment d ON d.stream_id = l.stream_id AND d.stage = 'full'
        LEFT JOIN store.current_insight c ON c.row_id = l.row_id AND c.pipeline_id = d.pipeline_id
        LEFT JOIN store.insight i ON i.insight_id = c.insight_id
        LEFT JOIN store.deployment b ON b.pipeline_version_id = i.pipeline_version_id
        LEFT JOIN (
            SELECT DISTINCT ON (w.row_id, v.pipeline_id) w.row_id, v.pipeline_id, w.state, w.input_hash
            FROM store.work w
            JOIN store.deployment v USING (pipeline_version_id)
            JOIN store.ledger k ON k.row_id = w.row_id
            WHERE w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
              AND (v.stage = 'retired' OR store.covers(v.shown_from, v.shown_upto, k.row_key))
            ORDER BY w.row_id, v.pipeline_id, w.work_id DESC
        ) w ON w.row_id = l.row_id AND w.pipeline_id = d.pipeline_id
        GROUP BY l.stream_id, d.pipeline_id, outcome
    ) counted
    GROUP BY stream_id, pipeline_id
) o ON o.stream_id = s.stream_id AND o.pipeline_id IS NOT DISTINCT FROM d.pipeline_id;
"""  # noqa: S608 - of this file's own texts


def _raise_shares(first: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION store.raise_shares(actor text)
RETURNS TABLE (pipeline text, version text, new_stage text, new_share double precision)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one store.deployment;
BEGIN{first}
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
"""  # noqa: S608 - of this file's own texts


def upgrade() -> None:
    op.execute(UPGRADE)
    op.execute(_raise_shares(_NEXT_PAGES))
    op.execute(_completeness(_PAGED))


def downgrade() -> None:
    op.execute(_raise_shares(""))
    op.execute(_completeness(""))
    op.execute(DOWNGRADE)
