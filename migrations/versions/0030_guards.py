"""What a version with a share of the keys has made since it was promoted, and a way for a daemon to withdraw it.

Revision: 0030
Previous: 0029
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE store.deployment ADD watched_from timestamptz;
UPDATE store.deployment SET watched_from = changed_at WHERE stage IN ('canary', 'gradual');
COMMENT ON COLUMN store.deployment.watched_from IS 'When an operator last gave it a stage: from then on guards count';

CREATE TABLE store.watch (
    pipeline_version_id integer PRIMARY KEY REFERENCES store.pipeline_version,
    since timestamptz NOT NULL,
    counted_to timestamptz NOT NULL,
    counts jsonb NOT NULL,
    nearest text
);
COMMENT ON TABLE store.watch IS 'What guards have counted of a version since it was promoted';
COMMENT ON COLUMN store.watch.since IS 'store.deployment.watched_from of the promotion that is counted';
COMMENT ON COLUMN store.watch.counted_to IS 'What was made up to then is in counts, and is not read again';
COMMENT ON COLUMN store.watch.nearest IS 'The guard that is nearest to an alarm, in words';

-- Insights are added in the order of their time: what was made of late is found by a few bytes for each 128 pages.
CREATE INDEX insight_generated ON store.insight USING brin (generated_at) WITH (pages_per_range = 32, autosummarize = on);

CREATE OR REPLACE FUNCTION store.set_stage(version_id integer, new_stage text, new_share double precision, actor text, why text,
                                           redo boolean, told jsonb, OUT rows bigint, OUT of_share bigint, OUT shown bigint,
                                           OUT queued bigint, OUT reread bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT c.rows, c.of_share, c.shown, c.queued, c.reread INTO rows, of_share, shown, queued, reread
    FROM store.change_stage(version_id, new_stage, new_share, actor, why, redo, false, told) c;
    UPDATE store.deployment d SET watched_from = now() WHERE d.pipeline_version_id = version_id;
END $$;

CREATE FUNCTION store.withdraw_version(version_id integer, actor text, why text, hold boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one store.deployment;
BEGIN
    IF coalesce(why, '') = '' THEN
        RAISE EXCEPTION USING MESSAGE = 'a version is withdrawn for a reason';
    END IF;
    PERFORM FROM store.pipeline p JOIN store.deployment d USING (pipeline_id)
    WHERE d.pipeline_version_id = version_id FOR NO KEY UPDATE OF p;
    SELECT d.* INTO one FROM store.deployment d  -- a person or another daemon may have been first
    WHERE d.pipeline_version_id = version_id AND d.stage IN ('canary', 'gradual') AND d.held_reason IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF hold THEN
        UPDATE store.deployment d SET held_reason = why WHERE d.pipeline_version_id = version_id;
        PERFORM store.append_events(actor, jsonb_build_array(jsonb_build_object(
            'action', 'held', 'stream_id', one.stream_id,
            'details', jsonb_build_object('pipeline', p.name, 'version', v.sha256, 'stage', one.stage, 'share', one.share, 'why', why))))
        FROM store.pipeline p JOIN store.pipeline_version v USING (pipeline_id)
        WHERE v.pipeline_version_id = version_id;
    ELSE
        PERFORM store.change_stage(version_id, 'shadow', one.share, actor, why, true, false, jsonb_build_object('held', why));
    END IF;
    RETURN true;
END $$;
COMMENT ON FUNCTION store.withdraw_version IS
    'A daemon takes its share from a version that breaks a guard, or keeps the share from growing; never from one that is full';
REVOKE ALL ON FUNCTION store.withdraw_version FROM PUBLIC;
"""

DOWNGRADE = """
DROP FUNCTION store.withdraw_version;
CREATE OR REPLACE FUNCTION store.set_stage(version_id integer, new_stage text, new_share double precision, actor text, why text,
                                           redo boolean, told jsonb, OUT rows bigint, OUT of_share bigint, OUT shown bigint,
                                           OUT queued bigint, OUT reread bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT c.rows, c.of_share, c.shown, c.queued, c.reread
    FROM store.change_stage(version_id, new_stage, new_share, actor, why, redo, false, told) c;
END;
DROP INDEX store.insight_generated;
DROP TABLE store.watch;
ALTER TABLE store.deployment DROP watched_from;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
