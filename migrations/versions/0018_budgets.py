"""Budgets: what may be spent in a minute, an hour or a day, and what has been.

Revision: 0018
Previous: 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE store.budget (
    budget_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    concerns text NOT NULL,
    model text,
    unit text NOT NULL CHECK (unit IN ('rows', 'tokens', 'seconds', 'money')),
    per text NOT NULL CHECK (per IN ('minute', 'hour', 'day')),
    time_zone text NOT NULL,
    soft double precision,
    hard double precision,
    used double precision NOT NULL DEFAULT 0,
    window_start timestamptz NOT NULL DEFAULT '-infinity',
    CHECK (soft IS NOT NULL OR hard IS NOT NULL)
);
COMMENT ON TABLE store.budget IS 'What may be spent, as the settings say; what was, in the window that begins at window_start';
COMMENT ON COLUMN store.budget.concerns IS 'Whose budget it is, for people: a pipeline, a stream, a model, or everything';
COMMENT ON COLUMN store.budget.model IS 'Of a model''s budget: only what this one made is settled';
CREATE TABLE store.budgeted (
    budget_id integer NOT NULL REFERENCES store.budget,
    pipeline_version_id integer NOT NULL REFERENCES store.pipeline_version,
    reserve double precision NOT NULL CHECK (reserve >= 0),
    PRIMARY KEY (pipeline_version_id, budget_id)
);
COMMENT ON TABLE store.budgeted IS 'Which budgets the work of a version is under';
COMMENT ON COLUMN store.budgeted.reserve IS
    'What one claimed row reserves: the claims in hand are the reservation, so that it ends when they do';
CREATE VIEW store.budget_standing AS
WITH hand AS MATERIALIZED (
    SELECT pipeline_version_id, count(*) AS rows FROM store.work WHERE state = 'claimed' GROUP BY pipeline_version_id
)
SELECT b.budget_id, b.name, b.concerns, b.unit, b.per, b.time_zone, b.soft, b.hard,
       CASE WHEN b.window_start >= w.begins THEN b.used ELSE 0 END AS used,
       coalesce(h.reserved, 0) AS reserved, coalesce(h.rows, 0) AS in_hand,
       coalesce(h.most, 0) AS reserve,
       ((w.begins AT TIME ZONE b.time_zone) + ('1 ' || b.per)::interval) AT TIME ZONE b.time_zone AS resets_at
FROM store.budget b
CROSS JOIN LATERAL (SELECT date_trunc(b.per, now(), b.time_zone) AS begins) w
CROSS JOIN LATERAL (
    SELECT sum(v.reserve * c.rows) AS reserved, sum(c.rows)::bigint AS rows, max(v.reserve) AS most
    FROM store.budgeted v LEFT JOIN hand c USING (pipeline_version_id)
    WHERE v.budget_id = b.budget_id
) h
WHERE EXISTS (SELECT FROM store.budgeted v WHERE v.budget_id = b.budget_id);
COMMENT ON VIEW store.budget_standing IS
    'Each budget now: used in this window, reserved by the claims in hand, when the next window begins';
ALTER TABLE store.insight ADD compute_ms real, ADD money double precision;
COMMENT ON COLUMN store.insight.compute_ms IS
    'The row''s share of its model''s time: rows that run together share each step; of a server, how long it took';
COMMENT ON COLUMN store.insight.money IS 'What it cost by the model''s tariff at the time; NULL: the model has none';
"""

DOWNGRADE = """
ALTER TABLE store.insight DROP compute_ms, DROP money;
DROP VIEW store.budget_standing;
DROP TABLE store.budgeted;
DROP TABLE store.budget;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
