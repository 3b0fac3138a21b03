"""A row whose model's budget is used up may be its pipeline's other model's.

Revision: 0035
Previous: 0034
"""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None
serves = "0025"

STANDING = """
CREATE OR REPLACE VIEW store.budget_standing AS
WITH hand AS MATERIALIZED (
    SELECT pipeline_version_id, {barred} count(*) AS rows FROM store.work WHERE state = 'claimed'
    GROUP BY {barred} pipeline_version_id
)
SELECT b.budget_id, b.name, b.concerns, b.unit, b.per, b.time_zone, b.soft, b.hard,
       CASE WHEN b.window_start >= w.begins THEN b.used ELSE 0 END AS used,
       coalesce(h.reserved, 0) AS reserved, coalesce(h.rows, 0) AS in_hand,
       coalesce(h.most, 0) AS reserve,
       ((w.begins AT TIME ZONE b.time_zone) + ('1 ' || b.per)::interval) AT TIME ZONE b.time_zone AS resets_at{more}
FROM store.budget b
CROSS JOIN LATERAL (SELECT date_trunc(b.per, now(), b.time_zone) AS begins) w
CROSS JOIN LATERAL (
    SELECT sum(v.reserve * c.rows) AS reserved, sum(c.rows)::bigint AS rows, max(v.reserve) AS most{yields}
    FROM store.budgeted v LEFT JOIN hand c ON c.pipeline_version_id = v.pipeline_version_id{of_model}
    WHERE v.budget_id = b.budget_id
) h
WHERE EXISTS (SELECT FROM store.budgeted v WHERE v.budget_id = b.budget_id) OR b.client IS NOT NULL
"""
FORMER = STANDING.format(barred="", more="", yields="", of_model="")
WITH_ROUTES = STANDING.format(
    barred="barred,",
    more=", b.model, coalesce(h.yields, false) AS yields",
    yields=", bool_and(v.yields) AS yields",
    of_model=" AND c.barred IS DISTINCT FROM coalesce(b.model, '')",
)


def upgrade() -> None:
    op.execute("ALTER TABLE store.work ADD barred text")
    op.execute(
        "COMMENT ON COLUMN store.work.barred IS"
        " 'Of a claim: the model whose budget was used up, so that the row is the pipeline''s other model''s'"
    )
    op.execute("ALTER TABLE store.budgeted ADD yields boolean NOT NULL DEFAULT false")
    op.execute(
        "COMMENT ON COLUMN store.budgeted.yields IS"
        " 'Once this budget of a model is used up, rows of the version are claimed for its other model'"
    )
    op.execute(WITH_ROUTES)


def downgrade() -> None:
    # A view loses no column by being replaced; who runs the grants after each migration gets them back.
    op.execute("DROP VIEW store.budget_standing")
    op.execute(FORMER)
    op.execute("ALTER TABLE store.budgeted DROP yields")
    op.execute("ALTER TABLE store.work DROP barred")
