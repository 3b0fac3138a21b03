"""A page of a first load enters the ledger without a look-up of each row.

Revision: 0046
Previous: 0043
"""

from alembic import op

revision = "0046"
down_revision = "0043"
branch_labels = None
depends_on = None
serves = "0025"

# ON CONFLICT looks each row up in the index before it enters it, and takes a token for it: that was four tenths of what
# the store spent on a page. A key that is known ends the statement instead. The exception is caught here, so the server
# logs nothing of it: its message would hold the key.
UPGRADE = """
CREATE FUNCTION store.enter_page(
    stream integer, form smallint, versions integer[], enqueue boolean, want_ids boolean, OUT new bigint, OUT row_ids bigint[]
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    first_id bigint;
    last_id bigint;
BEGIN
    BEGIN
        WITH added AS (
            INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)
            SELECT stream, p.row_key, p.input_hash, form, p.cursor FROM page p
            RETURNING row_id
        )
        SELECT min(a.row_id), max(a.row_id), count(*), array_agg(a.row_id) FILTER (WHERE want_ids)
        INTO first_id, last_id, new, row_ids FROM added a;
    EXCEPTION WHEN unique_violation THEN
        new := 0;
        RETURN;
    END;
    INSERT INTO store.work_page (stream_id, pipeline_id, pipeline_version_id, first_row_id, last_row_id, rows, share)
    SELECT stream, d.pipeline_id, d.pipeline_version_id, first_id, last_id, n.rows, d.share
    FROM store.deployment d
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.share >= 1 THEN new
                    ELSE (SELECT count(*) FROM page p WHERE store.covers(0, d.share, p.row_key)) END AS rows
    ) n
    WHERE enqueue AND d.pipeline_version_id = ANY (versions) AND n.rows > 0;
END $$;
COMMENT ON FUNCTION store.enter_page IS
    'The rows of the temporary table page become rows of the ledger and wait as one page; none of them if any is known';
REVOKE ALL ON FUNCTION store.enter_page FROM PUBLIC;
"""

DOWNGRADE = "DROP FUNCTION store.enter_page;"


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
