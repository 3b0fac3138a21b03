"""What a door client's rows may take of models; where the audit tells of settings.

Revision: 0036
Previous: 0035
"""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None
serves = "0025"

STANDING = """
CREATE OR REPLACE VIEW store.budget_standing AS
WITH hand AS MATERIALIZED (
    SELECT pipeline_version_id, barred, {client} count(*) AS rows FROM store.work WHERE state = 'claimed'
    GROUP BY barred, {client} pipeline_version_id
)
SELECT b.budget_id, b.name, b.concerns, b.unit, b.per, b.time_zone, b.soft, b.hard,
       CASE WHEN b.window_start >= w.begins THEN b.used ELSE 0 END AS used,
       coalesce(h.reserved, 0) AS reserved, coalesce(h.rows, 0) AS in_hand,
       coalesce(h.most, 0) AS reserve,
       ((w.begins AT TIME ZONE b.time_zone) + ('1 ' || b.per)::interval) AT TIME ZONE b.time_zone AS resets_at,
       b.model, coalesce(h.yields, false) AS yields{more}
FROM store.budget b
CROSS JOIN LATERAL (SELECT date_trunc(b.per, now(), b.time_zone) AS begins) w
CROSS JOIN LATERAL (
    SELECT sum(v.reserve * c.rows) AS reserved, sum(c.rows)::bigint AS rows, max(v.reserve) AS most,
           bool_and(v.yields) AS yields
    FROM store.budgeted v LEFT JOIN hand c ON c.pipeline_version_id = v.pipeline_version_id
        AND c.barred IS DISTINCT FROM coalesce(b.model, ''){of_client}
    WHERE v.budget_id = b.budget_id
) h
WHERE EXISTS (SELECT FROM store.budgeted v WHERE v.budget_id = b.budget_id) OR b.client IS NOT NULL
"""


def upgrade() -> None:
    op.execute("ALTER TABLE store.work ADD client text")
    op.execute(
        "COMMENT ON COLUMN store.work.client IS"
        " 'Whose budgets of tokens, seconds or money it is under: the client that sent the row; NULL: no client''s'"
    )
    op.execute(
        STANDING.format(
            client="client,",
            more=", b.client",
            of_client="\n        AND (b.client IS NULL OR c.client = b.client)",
        )
    )
    op.execute(
        "CREATE INDEX audit_event_settings ON store.audit_event (at) WHERE action = 'settings'"
    )


def downgrade() -> None:
    # A view loses no column by being replaced; who runs the grants after each migration gets them back.
    op.execute("DROP VIEW store.budget_standing")
    op.execute(STANDING.format(client="", more="", of_client=""))
    op.execute("ALTER TABLE store.work DROP client")
    op.execute("DROP INDEX store.audit_event_settings")
