"""The check vector of an embedding model that a server runs: another one is another model.

Revision: 0013
Previous: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE store.embedding_model ADD COLUMN check_vector halfvec;
COMMENT ON COLUMN store.embedding_model.check_vector IS
    'What a server made of the check text when it was first asked; NULL for models that are files, known by their hash';
"""

DOWNGRADE = """
ALTER TABLE store.embedding_model DROP COLUMN check_vector;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
