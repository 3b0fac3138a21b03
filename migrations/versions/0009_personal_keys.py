"""Personal keys: a stream may declare its keys personal, and people see their keyed hash instead.

Revision: 0009
Previous: 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_CURRENT = """
SELECT s.name AS stream, {key} AS row_key, i.insight_id, i.status, i.reason, i.output, i.model, p.name AS pipeline,
       v.sha256 AS pipeline_version, i.source_cursor, i.generated_at, i.confidence,
       EXISTS (SELECT FROM store.work w JOIN store.deployment d USING (pipeline_version_id)
               WHERE w.row_id = c.row_id AND d.pipeline_id = c.pipeline_id AND d.stage = 'full'
                 AND w.state IN ('pending', 'claimed', 'dead', 'missing') AND NOT w.overtaken
                 AND w.input_hash <> i.input_hash) AS stale,
       l.gone_at
FROM store.current_insight c
JOIN store.ledger l ON l.row_id = c.row_id
JOIN store.stream s USING (stream_id)
JOIN store.insight i ON i.insight_id = c.insight_id
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p ON p.pipeline_id = c.pipeline_id"""

_HISTORY = """
SELECT s.name AS stream, {key} AS row_key, i.insight_id, i.status, i.reason, i.output, i.model,
       v.sha256 AS pipeline_version, i.generated_at, (c.insight_id IS NOT NULL) AS is_current, p.name AS pipeline
FROM store.insight i
JOIN store.ledger l ON l.row_id = i.row_id
JOIN store.stream s USING (stream_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id)
LEFT JOIN store.current_insight c ON c.row_id = i.row_id AND c.pipeline_id = v.pipeline_id AND c.insight_id = i.insight_id"""

_CITATION = """
SELECT s.name AS stream, {key} AS row_key, c.insight_id, c.ordinal, c.field, c.source, c.uri, c.title, c.quote,
       c.quote_start, c.quote_end, c.support,
       substr(i.output #>> string_to_array(substr(c.field, 2), '/'), c.claim_start + 1,
              c.claim_end - c.claim_start) AS claim
FROM store.citation c
JOIN store.insight i USING (insight_id)
JOIN store.ledger l ON l.row_id = i.row_id
JOIN store.stream s USING (stream_id)"""

_REQUEST = """
SELECT s.name AS stream, {key} AS row_key, r.state, r.requests, r.opened_at, r.told_at, r.passed
FROM store.request r
JOIN store.ledger l ON l.row_id = r.row_id
JOIN store.stream s ON s.stream_id = r.stream_id"""

_VIEWS = {"current": _CURRENT, "history": _HISTORY, "citation": _CITATION, "request": _REQUEST}

# Two arms, so that a row of an ordinary stream is still found by the index of its key. The plain one behind a barrier, so that
# no condition of an analyst sees the key of a personal row before that row is left out: a failing cast would quote it. (A barrier
# on the whole would not do: PostgreSQL dissolves a UNION ALL into its arms.)
_PLAIN = "\nWHERE NOT s.key_personal"
# EXISTS is asked once: without a personal stream the arm is not begun, whatever the planner believes of the tables.
_HASHED = """
JOIN store.setting k ON k.name = 'key_salt'
WHERE s.key_personal AND EXISTS (SELECT FROM store.stream WHERE key_personal)"""
_HASH = "left(encode(sha256(convert_to(k.value || l.row_key, 'UTF8')), 'hex'), 32)"

_MADE = "".join(
    f"CREATE VIEW store.plain_{name} WITH (security_barrier) AS{body.format(key='l.row_key')}{_PLAIN};\n"
    f"CREATE OR REPLACE VIEW insights.{name} AS\n"
    f"SELECT * FROM store.plain_{name}\nUNION ALL{body.format(key=_HASH)}{_HASHED};\n"
    for name, body in _VIEWS.items()
)

UPGRADE = f"""
ALTER TABLE store.stream ADD key_personal boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN store.stream.key_personal IS 'Its keys are personal: people see their keyed hash, store.shown_key';
-- Made here, once: whoever may read it may read the keys beside it as well, and no log or view shows it.
INSERT INTO store.setting (name, value)
VALUES ('key_salt', replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
ON CONFLICT (name) DO NOTHING;
CREATE VIEW store.shown_key AS
SELECT l.row_id, s.name AS stream, l.row_key, s.key_personal,
       CASE WHEN s.key_personal
            THEN {_HASH}
            ELSE l.row_key
       END AS shown_key
FROM store.ledger l
JOIN store.stream s USING (stream_id)
JOIN store.setting k ON k.name = 'key_salt';
COMMENT ON VIEW store.shown_key IS
    'How the key of each row is shown to people: as it is, or where keys are personal as a keyed hash';
{_MADE}"""  # noqa: S608 - of this file's own texts

DOWNGRADE = (
    "".join(
        f"CREATE OR REPLACE VIEW insights.{name} AS{body.format(key='l.row_key')};\n"
        for name, body in _VIEWS.items()
    )
    + """
DROP VIEW store.plain_current, store.plain_history, store.plain_citation, store.plain_request, store.shown_key;
DELETE FROM store.setting WHERE name = 'key_salt';
ALTER TABLE store.stream DROP key_personal;
"""
)


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
