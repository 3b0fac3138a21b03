"""Which daemons run, and what keeps each from its work.

Revision: 0010
Previous: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE store.daemon (
    holder text PRIMARY KEY,
    roles text[] NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heard_at timestamptz NOT NULL DEFAULT now(),
    troubles jsonb NOT NULL DEFAULT '[]'
);
COMMENT ON TABLE store.daemon IS 'The daemons that run, by the name that holds their leases; one that ends takes its row away';
COMMENT ON COLUMN store.daemon.heard_at IS 'Written at each change, and every half minute';
COMMENT ON COLUMN store.daemon.troubles IS 'Threads and jobs that do not do their work at present: name, reason, since';
"""

DOWNGRADE = "DROP TABLE store.daemon"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
