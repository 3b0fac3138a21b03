"""Requests: rows that the legacy application marked, what it was told, and whether the replica knows.

Revision: 0004
Previous: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# An insight that was asked for again on unchanged inputs is another insight: `request` counts them, 0 for the first.
UPGRADE = """
CREATE TABLE store.request (
    row_id bigint PRIMARY KEY REFERENCES store.ledger,
    opened_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    told_at timestamptz,
    stream_id integer NOT NULL REFERENCES store.stream,
    requests integer NOT NULL DEFAULT 1,
    misses smallint NOT NULL DEFAULT 0,
    passed boolean NOT NULL DEFAULT false,
    mark_rejected boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'rejected')),
    position text,
    CHECK ((state = 'open') <= NOT passed)
) WITH (fillfactor = 80);
CREATE INDEX request_open ON store.request (stream_id, row_id) WHERE state = 'open';
CREATE INDEX request_told ON store.request (stream_id, told_at) WHERE state <> 'open' AND NOT passed;
COMMENT ON TABLE store.request IS
    'Rows that the legacy application marked as pending, where a stream names acknowledge or reject';
COMMENT ON COLUMN store.request.requests IS 'How often the row was asked for: each mark seen behind an acknowledge is one';
COMMENT ON COLUMN store.request.misses IS 'Statements in a row that found no mark to change';
COMMENT ON COLUMN store.request.passed IS 'The replica is past the statement: a mark seen from now on is a new request';
COMMENT ON COLUMN store.request.mark_rejected IS 'The mark has the value that reject gave it';
COMMENT ON COLUMN store.request.position IS 'The primary''s position after the statement committed; NULL where it has none';

ALTER TABLE store.work ADD request smallint NOT NULL DEFAULT 0;
ALTER TABLE store.insight ADD request smallint NOT NULL DEFAULT 0;
ALTER TABLE store.insight DROP CONSTRAINT insight_row_id_input_hash_pipeline_version_id_key;
ALTER TABLE store.insight ADD UNIQUE (row_id, input_hash, pipeline_version_id, request);
COMMENT ON COLUMN store.work.request IS 'How often it was asked for again on unchanged inputs (regenerate_on_remark)';

CREATE VIEW insights.request AS
SELECT s.name AS stream, l.row_key, r.state, r.requests, r.opened_at, r.told_at, r.passed
FROM store.request r
JOIN store.ledger l USING (row_id)
JOIN store.stream s ON s.stream_id = r.stream_id;
COMMENT ON VIEW insights.request IS 'Rows that the legacy application marked: whether it was told the outcome, and when';
"""

DOWNGRADE = """
DROP VIEW insights.request;
DROP TABLE store.request;
ALTER TABLE store.insight DROP CONSTRAINT insight_row_id_input_hash_pipeline_version_id_request_key;
ALTER TABLE store.insight DROP COLUMN request;
ALTER TABLE store.insight ADD UNIQUE (row_id, input_hash, pipeline_version_id);
ALTER TABLE store.work DROP COLUMN request;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
