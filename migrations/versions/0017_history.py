"""When versions were live is found without reading the whole audit.

Revision: 0017
Previous: 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX audit_event_deployed ON store.audit_event (at) WHERE action = 'deployed'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX store.audit_event_deployed")
