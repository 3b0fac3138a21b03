"""How far each sentence of an output is supported.

Revision: 0003
Previous: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

VIEW = """
SELECT s.name AS stream, l.row_key, c.insight_id, c.ordinal, c.field, c.source, c.uri, c.title, c.quote,
       c.quote_start, c.quote_end, c.support{claim}
FROM store.citation c
JOIN store.insight i USING (insight_id)
JOIN store.ledger l ON l.row_id = i.row_id
JOIN store.stream s USING (stream_id)"""
CLAIM = """,
       substr(i.output #>> string_to_array(substr(c.field, 2), '/'), c.claim_start + 1,
              c.claim_end - c.claim_start) AS claim"""
COMMENT = "COMMENT ON VIEW insights.citation IS 'What each insight stands on"

UPGRADE = f"""
ALTER TABLE store.citation ADD claim_start integer, ADD claim_end integer;
COMMENT ON COLUMN store.citation.claim_start IS
    'With claim_end: the sentence of the field that the row is about, in characters; NULL: a passage or a quote';
COMMENT ON COLUMN store.citation.support IS
    'Share of the sentence''s words, weighted by rarity, that cited passages or the row have; 1 for quotes; NULL: not scored';
CREATE OR REPLACE VIEW insights.citation AS{VIEW.format(claim=CLAIM)};
{COMMENT}: passages, quotes, and for each sentence how far it is supported';
"""

DOWNGRADE = f"""
DELETE FROM store.citation WHERE claim_start IS NOT NULL;
DROP VIEW insights.citation;
CREATE VIEW insights.citation AS{VIEW.format(claim="")};
{COMMENT}';
ALTER TABLE store.citation DROP claim_start, DROP claim_end;
COMMENT ON COLUMN store.citation.support IS NULL;
"""  # noqa: S608 - of this file's own texts


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
