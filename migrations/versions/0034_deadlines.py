"""Requests that nobody wants an outcome of any more after a moment.

Revision: 0034
Previous: 0033
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None
serves = "0025"

UPGRADE = """
ALTER TABLE store.work ADD not_after timestamptz;
COMMENT ON COLUMN store.work.not_after IS 'Not claimed after this: a request that is not begun by then has ended';
CREATE INDEX work_bounded ON store.work (not_after) WHERE not_after IS NOT NULL AND state IN ('pending', 'missing');
"""

DOWNGRADE = "ALTER TABLE store.work DROP not_after"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
