"""Where rows stand is counted once a row, and a daemon keeps what it has counted.

Revision: 0032
Previous: 0031
"""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_OUTCOMES = ("ok", "abstained", "withheld", "pending", "dead", "missing", "gone", "skipped")
_COUNTS = ("rows_known", *_OUTCOMES)

# The state of each row's newest work that is not over, for the version that shows the row.
_OPEN_WORK = """
    SELECT DISTINCT ON (w.row_id, v.pipeline_id) w.row_id, v.pipeline_id, w.state, w.input_hash
    FROM store.work w
    JOIN store.deployment v USING (pipeline_version_id)
    JOIN store.ledger k ON k.row_id = w.row_id
    WHERE w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
      AND (v.stage = 'retired' OR store.covers(v.shown_from, v.shown_upto, k.row_key))
    ORDER BY w.row_id, v.pipeline_id, w.work_id DESC"""

_STANDING = """
       s.complete_through, s.lag_s, s.missed_rows, s.paused, s.stopped_reason, s.last_poll_at,
       greatest(s.overlap_s, s.widened_s) AS overlap_s,
       (SELECT max(w.started_at) FROM store.sweep w WHERE w.stream_id = s.stream_id AND w.finished_at IS NOT NULL)
           AS swept_through,
       (SELECT max(w.finished_at) FROM store.sweep w WHERE w.stream_id = s.stream_id) AS last_sweep_at,
       s.epoch - 1 AS epoch_changes,
       jsonb_array_length(s.gaps) AS open_gaps,
       (SELECT p50_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p50_s,
       (SELECT p99_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p99_s,
       p.name AS pipeline, s.last_error"""

_FOLLOWED = """
FROM store.stream s
LEFT JOIN store.deployment d ON d.stream_id = s.stream_id AND d.stage = 'full'
LEFT JOIN store.pipeline p ON p.pipeline_id = d.pipeline_id"""

# One pass: a row's outcome is found once, and counted in two steps; a column each is counted of a handful of groups.
COMPLETENESS = f"""
CREATE OR REPLACE VIEW insights.completeness AS
SELECT s.name AS stream,
       {", ".join(f"coalesce(o.{name}, 0)::bigint AS {name}" for name in _COUNTS)},{_STANDING}{_FOLLOWED}
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
                   WHEN w.state IN ('dead', 'missing') THEN w.state
                   ELSE 'skipped'
               END AS outcome
        FROM store.ledger l
        LEFT JOIN store.deployment d ON d.stream_id = l.stream_id AND d.stage = 'full'
        LEFT JOIN store.current_insight c ON c.row_id = l.row_id AND c.pipeline_id = d.pipeline_id
        LEFT JOIN store.insight i ON i.insight_id = c.insight_id
        LEFT JOIN store.deployment b ON b.pipeline_version_id = i.pipeline_version_id
        LEFT JOIN ({_OPEN_WORK}
        ) w ON w.row_id = l.row_id AND w.pipeline_id = d.pipeline_id
        GROUP BY l.stream_id, d.pipeline_id, outcome
    ) counted
    GROUP BY stream_id, pipeline_id
) o ON o.stream_id = s.stream_id AND o.pipeline_id IS NOT DISTINCT FROM d.pipeline_id;
"""  # noqa: S608 - of this file's own texts

FORMER = f"""
CREATE OR REPLACE VIEW insights.completeness AS
SELECT s.name AS stream,
       count(l.row_id) AS rows_known,
       {", ".join(f"count(*) FILTER (WHERE o.outcome = '{name}') AS {name}" for name in _OUTCOMES)},{_STANDING}{_FOLLOWED}
LEFT JOIN store.ledger l ON l.stream_id = s.stream_id
LEFT JOIN store.current_insight c ON c.row_id = l.row_id AND c.pipeline_id = d.pipeline_id
LEFT JOIN store.insight i ON i.insight_id = c.insight_id
LEFT JOIN ({_OPEN_WORK}
) w ON w.row_id = l.row_id AND w.pipeline_id = d.pipeline_id
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN l.row_id IS NULL THEN NULL
        WHEN l.gone_at IS NOT NULL THEN 'gone'
        WHEN i.insight_id IS NOT NULL AND (w.row_id IS NULL OR (w.input_hash = i.input_hash AND NOT
            (SELECT b.withdrawn FROM store.deployment b WHERE b.pipeline_version_id = i.pipeline_version_id)))
            THEN i.status
        WHEN w.state IN ('pending', 'claimed') THEN 'pending'
        WHEN w.state IN ('dead', 'missing') THEN w.state
        ELSE 'skipped'
    END AS outcome
) o
GROUP BY s.stream_id, p.pipeline_id;
"""  # noqa: S608

COUNTED = f"""
CREATE TABLE store.counted (
    stream_id integer NOT NULL REFERENCES store.stream ON DELETE CASCADE,
    pipeline_id integer REFERENCES store.pipeline ON DELETE CASCADE,
    {", ".join(f"{name} bigint NOT NULL" for name in _COUNTS)},
    counted_at timestamptz NOT NULL DEFAULT now(),
    took_s double precision NOT NULL,
    UNIQUE NULLS NOT DISTINCT (stream_id, pipeline_id)
);
COMMENT ON TABLE store.counted IS 'Where the rows of each stream stood when a daemon last counted them';

CREATE TABLE store.counted_sink (
    sink_id integer PRIMARY KEY REFERENCES store.sink ON DELETE CASCADE,
    rows bigint NOT NULL,
    tombstoned bigint NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE store.counted_sink IS 'What each sink had been told when a daemon last counted it';

CREATE INDEX outbox_refused ON store.outbox (sink_id) WHERE error IS NOT NULL;

CREATE VIEW insights.completeness_counted AS
SELECT s.name AS stream,
       {", ".join(f"coalesce(o.{name}, 0) AS {name}" for name in _COUNTS)},{_STANDING}, o.counted_at{_FOLLOWED}
LEFT JOIN store.counted o ON o.stream_id = s.stream_id AND o.pipeline_id IS NOT DISTINCT FROM d.pipeline_id;
COMMENT ON VIEW insights.completeness_counted IS
    'As completeness, with the counts that a daemon found last, at counted_at: at once, however many rows there are';
"""  # noqa: S608


def upgrade() -> None:
    op.execute(COMPLETENESS)
    op.execute(COUNTED)


def downgrade() -> None:
    op.execute("DROP VIEW insights.completeness_counted")
    op.execute("DROP TABLE store.counted, store.counted_sink")
    op.execute("DROP INDEX store.outbox_refused")
    op.execute(FORMER)
