"""An insight may be of the generation that an earlier one with the same request was made by.

Revision: 0029
Previous: 0028
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
serves = "0025"

# No foreign key: the earlier insight may be forgotten, and each one that goes would be looked for in all of them.
UPGRADE = """
ALTER TABLE store.insight ADD asked bytea, ADD reused_from bigint;
COMMENT ON COLUMN store.insight.asked IS 'SHA-256 of all that decided its generation, where its pipeline reuses; of what was reused none';
COMMENT ON COLUMN store.insight.reused_from IS 'The earlier insight whose generation it is of; a number that is not there any more: that one was forgotten';
CREATE INDEX insight_asked ON store.insight (pipeline_version_id, asked, generated_at) WHERE asked IS NOT NULL;

CREATE VIEW insights.reuse AS
SELECT i.insight_id, i.reused_from, i.generated_at FROM store.insight i WHERE i.reused_from IS NOT NULL;
COMMENT ON VIEW insights.reuse IS 'Insights that are of an earlier generation: no model was asked for them';
"""

DOWNGRADE = """
DROP VIEW insights.reuse;
DROP INDEX store.insight_asked;
ALTER TABLE store.insight DROP asked, DROP reused_from;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
