"""A first load's cost: a new row of the ledger looks nothing up, having no insight yet.

Revision: 0006
Previous: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The check was queued and called for each new row, a seventh of what a first load cost the store, to find that there is
# nothing to check. No role that the daemon has may delete an insight, and each statement that sets the number has just
# inserted or read that insight.
UPGRADE = """
ALTER TABLE store.ledger DROP CONSTRAINT ledger_insight_fk;
COMMENT ON COLUMN store.ledger.insight_id IS
    'Its current store.insight, without a foreign key: its check would cost a seventh of a first load. Insights are never deleted';
"""

DOWNGRADE = """
COMMENT ON COLUMN store.ledger.insight_id IS NULL;
ALTER TABLE store.ledger ADD CONSTRAINT ledger_insight_fk FOREIGN KEY (insight_id) REFERENCES store.insight;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
