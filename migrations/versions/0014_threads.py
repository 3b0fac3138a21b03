"""How many threads each model of a daemon works with, and why.

Revision: 0014
Previous: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE store.daemon ADD COLUMN threads jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN store.daemon.threads IS 'Of each local model: how many threads it works with, and why, in words';
"""

DOWNGRADE = "ALTER TABLE store.daemon DROP COLUMN threads"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
