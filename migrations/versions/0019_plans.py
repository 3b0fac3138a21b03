"""What was estimated before anything was spent, so that it can be held against what was.

Revision: 0019
Previous: 0018
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE store.plan (
    plan_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    pipeline text NOT NULL,
    model text NOT NULL,
    rows bigint NOT NULL,
    tokens double precision NOT NULL,
    seconds double precision NOT NULL,
    money double precision,
    basis text NOT NULL,
    after_insight bigint NOT NULL
);
CREATE INDEX plan_last ON store.plan (pipeline, plan_id);
COMMENT ON TABLE store.plan IS 'Estimates of `insights plan`: of so many rows of a pipeline, by its own model';
COMMENT ON COLUMN store.plan.basis IS 'What the estimate is made from, in words';
COMMENT ON COLUMN store.plan.after_insight IS 'The newest insight then: what comes later is what was planned';
"""

DOWNGRADE = "DROP TABLE store.plan"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
