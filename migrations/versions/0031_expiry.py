"""Insights go by age, of rows that stand as of others.

Revision: 0031
Previous: 0030
"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None
serves = "0025"

# Numbers of insights grow with time: the lowest are the oldest, and no index by time is needed to find them. The same locks as
# of store.forget: whoever writes an insight, shows one or tells a sink meanwhile waits, and sees that it has gone.
EXPIRE = """
CREATE FUNCTION store.expire_insights(before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old bigint[] := ARRAY(SELECT o.insight_id
                          FROM (SELECT i.insight_id, i.generated_at FROM store.insight i ORDER BY i.insight_id LIMIT most) o
                          WHERE o.generated_at < before);
    whose bigint[];
BEGIN
    IF cardinality(old) = 0 THEN
        RETURN 0;
    END IF;
    LOCK TABLE store.work IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE store.current_insight IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE store.outbox IN SHARE ROW EXCLUSIVE MODE;
    -- What is gone meanwhile was taken by another.
    old := ARRAY(SELECT i.insight_id FROM store.insight i WHERE i.insight_id = ANY (old) ORDER BY 1);
    whose := ARRAY(SELECT DISTINCT i.row_id FROM store.insight i WHERE i.insight_id = ANY (old));
    -- Should the row become again what it was, it is made again.
    DELETE FROM store.work w USING store.insight i
    WHERE i.insight_id = ANY (old) AND w.state = 'done' AND w.row_id = i.row_id AND w.input_hash = i.input_hash
      AND w.pipeline_version_id = i.pipeline_version_id AND w.request = i.request;
    DELETE FROM store.current_insight c WHERE c.row_id = ANY (whose) AND c.insight_id = ANY (old);
    UPDATE store.outbox o
    SET revision = nextval('store.revision'), shows = 'tombstoned', insight_id = NULL, sealed = NULL, delivered_at = NULL,
        not_before = now(), attempts = 0, error = NULL
    WHERE o.sink_id IN (SELECT k.sink_id FROM store.sink k) AND o.row_id = ANY (whose) AND o.insight_id = ANY (old);
    DELETE FROM store.insight i WHERE i.insight_id = ANY (old);
    PERFORM store.entomb_events(NULL, NULL, whose, old, NULL,
                                jsonb_build_object('insights', cardinality(old), 'made_before', before));
    RETURN cardinality(old);
END $$;
COMMENT ON FUNCTION store.expire_insights IS 'Takes the oldest insights, at most so many, that were made before a time; returns how many';
REVOKE ALL ON FUNCTION store.expire_insights FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute(EXPIRE)


def downgrade() -> None:
    op.execute("DROP FUNCTION store.expire_insights")
