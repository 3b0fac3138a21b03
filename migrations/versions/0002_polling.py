"""What polls learn by themselves: a wider overlap, missing identities, and how late rows come.

Revision: 0002
Previous: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COUNTS = """
       count(l.row_id) AS rows_known,
       count(*) FILTER (WHERE o.outcome = 'ok') AS ok,
       count(*) FILTER (WHERE o.outcome = 'abstained') AS abstained,
       count(*) FILTER (WHERE o.outcome = 'withheld') AS withheld,
       count(*) FILTER (WHERE o.outcome = 'pending') AS pending,
       count(*) FILTER (WHERE o.outcome = 'dead') AS dead,
       count(*) FILTER (WHERE o.outcome = 'missing') AS missing,
       count(*) FILTER (WHERE o.outcome = 'gone') AS gone,
       count(*) FILTER (WHERE o.outcome = 'skipped') AS skipped,
       s.complete_through, s.lag_s, s.missed_rows, s.paused, s.stopped_reason, s.last_poll_at"""
ROWS = """
LEFT JOIN store.ledger l USING (stream_id)
LEFT JOIN store.insight i ON i.insight_id = l.insight_id AND i.input_hash = l.input_hash
LEFT JOIN LATERAL (
    SELECT w.state FROM store.work w
    WHERE w.row_id = l.row_id AND w.input_hash = l.input_hash AND w.state <> 'done'
    ORDER BY w.work_id DESC LIMIT 1
) w ON i.insight_id IS NULL
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN l.row_id IS NULL THEN NULL
        WHEN l.gone_at IS NOT NULL THEN 'gone'
        WHEN i.insight_id IS NOT NULL THEN i.status
        WHEN w.state IN ('pending', 'claimed') THEN 'pending'
        WHEN w.state IN ('dead', 'missing') THEN w.state
        ELSE 'skipped'
    END AS outcome
) o
GROUP BY s.stream_id"""

UPGRADE = """
ALTER TABLE store.stream
    ADD widened_s double precision,
    ADD gaps jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN store.stream.overlap_s IS 'The overlap that the settings name';
COMMENT ON COLUMN store.stream.widened_s IS
    'The overlap in force where sweeps have raised it above overlap_s; NULL goes back to the settings';
COMMENT ON COLUMN store.stream.gaps IS
    'Identities missing between two rows, probed again until they are older than the longest transaction';
COMMENT ON COLUMN store.stream.passes IS
    'Marks of complete passes that the watermark has not reached: time, largest safe cursor, open transactions then';
-- Their form is a new one; the watermark waits one overlap longer.
UPDATE store.stream SET pass = NULL, passes = '[]';

ALTER TABLE store.work ADD moved_at timestamptz;
COMMENT ON COLUMN store.work.moved_at IS
    'When a claim moved here to newer inputs; a page that was read before leaves the row alone';

CREATE TABLE store.lateness (
    stream_id integer NOT NULL REFERENCES store.stream,
    day date NOT NULL DEFAULT current_date,
    bucket smallint NOT NULL,
    rows bigint NOT NULL,
    PRIMARY KEY (stream_id, day, bucket)
);
COMMENT ON TABLE store.lateness IS
    'How old cursors were when their rows were recorded, a day; bucket b: up to 2^(b/4) seconds';

CREATE VIEW insights.lateness AS
SELECT s.name AS stream, sum(b.rows) AS rows,
       min(b.upto_s) FILTER (WHERE b.share >= 0.5) AS p50_s, min(b.upto_s) FILTER (WHERE b.share >= 0.99) AS p99_s
FROM store.stream s
JOIN (
    SELECT stream_id, power(2, bucket / 4.0)::double precision AS upto_s, sum(rows) AS rows,
           sum(sum(rows)) OVER (PARTITION BY stream_id ORDER BY bucket) / sum(sum(rows)) OVER (PARTITION BY stream_id)
               AS share
    FROM store.lateness WHERE day > current_date - 7 GROUP BY stream_id, bucket
) b USING (stream_id)
GROUP BY s.stream_id;
COMMENT ON VIEW insights.lateness IS
    'Seconds from a row''s cursor to its record, of the last 7 days: at most; streams whose cursor is a time';

CREATE OR REPLACE VIEW insights.completeness AS
SELECT s.name AS stream,<counts>,
       greatest(s.overlap_s, s.widened_s) AS overlap_s,
       (SELECT max(w.started_at) FROM store.sweep w WHERE w.stream_id = s.stream_id AND w.finished_at IS NOT NULL)
           AS swept_through,
       (SELECT max(w.finished_at) FROM store.sweep w WHERE w.stream_id = s.stream_id) AS last_sweep_at,
       s.epoch - 1 AS epoch_changes,
       jsonb_array_length(s.gaps) AS open_gaps,
       (SELECT p50_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p50_s,
       (SELECT p99_s FROM insights.lateness t WHERE t.stream = s.name) AS lateness_p99_s
FROM store.stream s<rows>;
COMMENT ON COLUMN insights.completeness.complete_through IS
    'What was applied on the replica by then has been polled; what polls can miss, up to swept_through only';
COMMENT ON COLUMN insights.completeness.swept_through IS
    'Every row that was on the replica from then to last_sweep_at is known';
"""

DOWNGRADE = """
DROP VIEW insights.completeness;
DROP VIEW insights.lateness;
DROP TABLE store.lateness;
ALTER TABLE store.stream DROP widened_s, DROP gaps;
ALTER TABLE store.work DROP moved_at;
UPDATE store.stream SET pass = NULL, passes = '[]';
CREATE VIEW insights.completeness AS
SELECT s.name AS stream,<counts>
FROM store.stream s<rows>;
COMMENT ON VIEW insights.completeness IS 'Where every known row stands; the outcome columns sum to rows_known';
"""


def _whole(script: str) -> str:
    """Return a script with the parts that the view keeps in both directions."""
    return script.replace("<counts>", COUNTS).replace("<rows>", ROWS)


def upgrade() -> None:
    op.execute(_whole(UPGRADE))


def downgrade() -> None:
    op.execute(_whole(DOWNGRADE))
