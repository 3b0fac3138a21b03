"""${message}.

Revision: ${up_revision}
Previous: ${down_revision | comma,n}
"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
# The oldest revision whose programs may work on this schema: the former migration's where this one only adds what they need
# not know (tests/integration/test_former_release.py holds it to that), its own where not. docs/operations.md, "Upgrade".
serves = ${repr(up_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
