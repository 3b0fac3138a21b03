"""Facts of the store that persons with a role may read: all but the salt of personal keys.

Revision: 0021
Previous: 0020
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE VIEW store.fact AS SELECT name, value FROM store.setting WHERE name <> 'key_salt'"
    )
    op.execute(
        "COMMENT ON VIEW store.fact IS 'Facts of the store without the salt: who has that may guess personal keys'"
    )


def downgrade() -> None:
    op.execute("DROP VIEW store.fact")
