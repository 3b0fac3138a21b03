"""A budget may be a door client's: what it sends counts when it is accepted.

Revision: 0033
Previous: 0032
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
serves = "0025"

STANDING = """
CREATE OR REPLACE VIEW store.budget_standing AS
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
WHERE EXISTS (SELECT FROM store.budgeted v WHERE v.budget_id = b.budget_id)"""


def upgrade() -> None:
    op.execute("ALTER TABLE store.budget ADD client text")
    op.execute(
        "COMMENT ON COLUMN store.budget.client IS"
        " 'Whose requests are taken of it when they are accepted, by the name of the client; NULL: work is under it'"
    )
    op.execute(
        "CREATE INDEX budget_client ON store.budget (client, budget_id) WHERE client IS NOT NULL"
    )
    op.execute(f"{STANDING} OR b.client IS NOT NULL")


def downgrade() -> None:
    op.execute(STANDING)
    op.execute("DROP INDEX store.budget_client")
    op.execute("ALTER TABLE store.budget DROP client")
