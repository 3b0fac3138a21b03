"""Where the outcomes of requests that came through a queue go.

Revision: 0026
Previous: 0025
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
serves = "0025"

UPGRADE = """
CREATE TABLE store.reply (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id uuid NOT NULL REFERENCES store.inbox ON DELETE CASCADE,
    door text NOT NULL,
    message text NOT NULL,
    address text NOT NULL,
    correlation text,
    attempts smallint NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    given_up_at timestamptz,
    reason text,
    UNIQUE (request_id, door, address, message)
);
CREATE INDEX reply_open ON store.reply (door, number) WHERE sent_at IS NULL AND given_up_at IS NULL;
COMMENT ON TABLE store.reply IS 'Outcomes that are to be told on a queue, and those that were';
COMMENT ON COLUMN store.reply.address IS 'The queue or stream, as the message or the settings name it';
"""

DOWNGRADE = "DROP TABLE store.reply"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
