"""What placeholders of an output stand for, sealed, until its sink has been told.

Revision: 0011
Previous: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE store.outbox ADD sealed jsonb,
    ADD CONSTRAINT outbox_sealed_until_told CHECK (sealed IS NULL OR delivered_at IS NULL);
COMMENT ON COLUMN store.outbox.sealed IS
    'What placeholders of this insight stand for, by AES-GCM under a key that is not in the store; gone once it was told';
"""

DOWNGRADE = "ALTER TABLE store.outbox DROP sealed"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
