"""Labelled rows serve as examples, and an insight keeps the nearest beside what was chosen.

Revision: 0016
Previous: 0015
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE store.document ADD labels jsonb CHECK (jsonb_typeof(labels) = 'object'), ADD moment numeric;
COMMENT ON COLUMN store.document.labels IS
    'Of a labelled row: what people decided, by column, redacted; NULL: it is no example';
COMMENT ON COLUMN store.document.moment IS
    'When that was decided: seconds since 1970, or the number that the column holds; NULL: not known';
ALTER TABLE store.insight ADD neighbour jsonb CHECK (jsonb_typeof(neighbour) = 'object');
COMMENT ON COLUMN store.insight.neighbour IS
    'The nearest labelled row: its uri, its similarity, and what people decided by property; NULL: none was near';
CREATE VIEW insights.neighbour AS
SELECT i.insight_id, i.neighbour ->> 'uri' AS neighbour, (i.neighbour ->> 'similarity')::real AS similarity,
       f.key AS field, f.value #>> '{}' AS label, i.output ->> f.key AS chosen, (i.output -> f.key) = f.value AS agrees
FROM store.insight i CROSS JOIN LATERAL jsonb_each(i.neighbour -> 'output') f;
COMMENT ON VIEW insights.neighbour IS
    'Of each insight with a labelled row near it: what people decided there, what was chosen here, and whether they agree';
"""

DOWNGRADE = """
DROP VIEW insights.neighbour;
ALTER TABLE store.insight DROP neighbour;
ALTER TABLE store.document DROP labels, DROP moment;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
