"""Requests that come in through doors, until their outcome is delivered.

Revision: 0022
Previous: 0021
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE store.inbox (
    request_id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    row_id bigint NOT NULL REFERENCES store.ledger,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    forget_at timestamptz NOT NULL,
    delivered_at timestamptz,
    pipeline_id integer NOT NULL REFERENCES store.pipeline,
    input_hash uuid NOT NULL,
    own uuid[] NOT NULL,
    fields jsonb,
    client text NOT NULL
);
CREATE INDEX inbox_row ON store.inbox (row_id, number);
CREATE INDEX inbox_kept ON store.inbox (forget_at) WHERE fields IS NOT NULL;
CREATE INDEX inbox_delivered ON store.inbox (delivered_at) WHERE fields IS NOT NULL AND delivered_at IS NOT NULL;
COMMENT ON TABLE store.inbox IS 'Requests accepted through doors, one a row version; the key is in the ledger';
COMMENT ON COLUMN store.inbox.fields IS 'Redacted before they came here; NULL once they are forgotten';
COMMENT ON COLUMN store.inbox.own IS 'The hashes over what single versions read: by them work and insights are found';

CREATE TABLE store.submission (
    client text NOT NULL,
    idempotency_key text NOT NULL,
    forget_at timestamptz NOT NULL,
    pipeline_id integer NOT NULL REFERENCES store.pipeline,
    hashes uuid[] NOT NULL,
    requests uuid[] NOT NULL,
    PRIMARY KEY (client, idempotency_key)
);
CREATE INDEX submission_kept ON store.submission (forget_at);
COMMENT ON TABLE store.submission IS 'What an idempotency key brought: used again, it brings the same';
"""

DOWNGRADE = "DROP TABLE store.submission, store.inbox"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
