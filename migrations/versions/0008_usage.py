"""What an insight cost stands in its row: one row and one index less for each insight.

Revision: 0008
Previous: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = (
    "prompt_tokens integer",
    "reused_tokens integer",
    "sampled_tokens integer",
    "forced_tokens integer",
    "queue_ms real",
    "prompt_ms real",
    "decode_ms real",
)
NAMES = [column.split()[0] for column in COLUMNS]

UPGRADE = f"""
ALTER TABLE store.insight {", ".join(f"ADD {column}" for column in COLUMNS)},
    ALTER notes DROP NOT NULL, ALTER notes DROP DEFAULT,
    ADD CHECK (num_nulls({", ".join(NAMES)}) IN (0, {len(NAMES)}));
COMMENT ON COLUMN store.insight.prompt_tokens IS
    'With the six columns after it: what the generation cost, in tokens and milliseconds; NULL: made without a model';
UPDATE store.insight i SET ({", ".join(NAMES)}) = ({", ".join(f"u.{name}" for name in NAMES)})
FROM store.usage u WHERE u.insight_id = i.insight_id;
DROP TABLE store.usage;
COMMENT ON COLUMN store.insight.notes IS 'What had to be fitted or cut to make it; NULL: nothing';
"""  # noqa: S608 - of this file's own names

DOWNGRADE = f"""
CREATE TABLE store.usage (
    insight_id bigint PRIMARY KEY REFERENCES store.insight ON DELETE CASCADE,
    {", ".join(f"{column} NOT NULL" for column in COLUMNS)}
);
COMMENT ON TABLE store.usage IS 'What each generation cost, in tokens and milliseconds';
INSERT INTO store.usage (insight_id, {", ".join(NAMES)})
SELECT insight_id, {", ".join(NAMES)} FROM store.insight WHERE prompt_tokens IS NOT NULL;
UPDATE store.insight SET notes = '{{}}' WHERE notes IS NULL;
ALTER TABLE store.insight {", ".join(f"DROP {name}" for name in NAMES)},
    ALTER notes SET DEFAULT '{{}}', ALTER notes SET NOT NULL;
COMMENT ON COLUMN store.insight.notes IS NULL;
"""  # noqa: S608 - of this file's own names


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
