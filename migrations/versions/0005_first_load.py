"""A first load's cost: the ledger's rows name their stream without a look-up for each of them.

Revision: 0005
Previous: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Checking the key locked the stream's one row anew for every new ledger row: two fifths of what a first load cost the
# store. No role that the daemon has may delete a stream, and the number comes from the stream's own row, read before.
UPGRADE = """
ALTER TABLE store.ledger DROP CONSTRAINT ledger_stream_id_fkey;
COMMENT ON COLUMN store.ledger.stream_id IS
    'store.stream, without a foreign key: its check would cost two fifths of a first load. Streams are never deleted';
"""

DOWNGRADE = """
COMMENT ON COLUMN store.ledger.stream_id IS NULL;
ALTER TABLE store.ledger ADD FOREIGN KEY (stream_id) REFERENCES store.stream;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
