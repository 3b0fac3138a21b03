"""The schema says the oldest program that it serves, so that daemons can be upgraded one by one.

Revision: 0023
Previous: 0022
"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
serves = "0023"

UPGRADE = """
ALTER TABLE public.insights_schema_version ADD serves text, ADD serves_at text;
COMMENT ON COLUMN public.insights_schema_version.serves IS
    'The oldest revision whose programs may work here: all that came since only added to it';
COMMENT ON COLUMN public.insights_schema_version.serves_at IS
    'The revision that said so; where it is not version_num, serves says nothing';
"""

DOWNGRADE = "ALTER TABLE public.insights_schema_version DROP serves, DROP serves_at"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
