"""Rows that the source deleted long ago are found without reading the whole ledger.

Revision: 0027
Previous: 0026
"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ledger_gone ON store.ledger (gone_at, row_id) WHERE gone_at IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX store.ledger_gone")
