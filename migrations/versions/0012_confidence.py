"""How sure the model was of each closed field stands with the insight.

Revision: 0012
Previous: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE store.insight ADD confidences jsonb CHECK (jsonb_typeof(confidences) = 'object');
COMMENT ON COLUMN store.insight.confidences IS
    'Of each closed field, by JSON pointer, 0 to 1: the probability that the model gave to what it chose; NULL: none';
COMMENT ON COLUMN store.insight.confidence IS 'The least of the confidences of its closed fields; NULL: it has none';
CREATE VIEW insights.confidence AS
SELECT i.insight_id, f.key AS field, f.value::real AS confidence
FROM store.insight i CROSS JOIN LATERAL jsonb_each_text(i.confidences) f;
COMMENT ON VIEW insights.confidence IS 'How sure the model was of each closed field of an insight, 0 to 1';
"""

DOWNGRADE = """
DROP VIEW insights.confidence;
COMMENT ON COLUMN store.insight.confidence IS NULL;
ALTER TABLE store.insight DROP confidences;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
