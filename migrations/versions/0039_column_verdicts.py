"""What a column of the legacy table says of insights, beside what people say.

Revision: 0039
Previous: 0036
"""

from alembic import op

revision = "0039"
down_revision = "0036"
branch_labels = None
depends_on = None
serves = "0025"

UPGRADE = """
ALTER TABLE store.feedback ADD source text NOT NULL DEFAULT 'person' CHECK (source IN ('person', 'column'));
COMMENT ON COLUMN store.feedback.source IS 'Who says so: a person by a login, or a column of the legacy table, which given_by names';

CREATE OR REPLACE VIEW insights.verdict AS
SELECT f.insight_id, p.name AS pipeline, k.shown_key AS row_key, f.verdict, f.corrected, v.sha256 AS pipeline_version,
       f.given_by, f.given_at, f.source
FROM store.feedback f
JOIN store.insight i USING (insight_id)
JOIN store.shown_key k USING (row_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = f.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id);

CREATE FUNCTION store.column_verdicts(of_columns text, said jsonb) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH looked AS (
        SELECT i.insight_id, i.pipeline_version_id, s.verdict, s.corrected, 'column ' || of_columns AS given_by
        FROM jsonb_to_recordset(said) AS s (insight_id bigint, verdict text, corrected jsonb)
        JOIN store.insight i USING (insight_id)
        JOIN store.current_insight c ON c.row_id = i.row_id AND c.insight_id = i.insight_id
        WHERE i.status = 'ok'
    ), taken_back AS (
        DELETE FROM store.feedback f USING looked l
        WHERE f.insight_id = l.insight_id AND f.given_by = l.given_by AND f.source = 'column' AND l.verdict IS NULL
        RETURNING 1
    ), given AS (
        INSERT INTO store.feedback AS f (insight_id, pipeline_version_id, verdict, corrected, given_by, source)
        SELECT insight_id, pipeline_version_id, verdict, corrected, given_by, 'column'
        FROM looked WHERE verdict IS NOT NULL ORDER BY insight_id
        ON CONFLICT (insight_id, given_by) DO UPDATE
        SET verdict = excluded.verdict, corrected = excluded.corrected, given_at = now()
        WHERE f.source = 'column' AND (f.verdict, f.corrected) IS DISTINCT FROM (excluded.verdict, excluded.corrected)
        RETURNING 1
    )
    SELECT ((SELECT count(*) FROM given) + (SELECT count(*) FROM taken_back))::integer
$$;
COMMENT ON FUNCTION store.column_verdicts IS
    'A daemon says what columns of the legacy table say of insights that are shown; without a verdict, they say nothing any more';
REVOKE ALL ON FUNCTION store.column_verdicts FROM PUBLIC;
"""

DOWNGRADE = """
DROP FUNCTION store.column_verdicts;
DELETE FROM store.feedback WHERE source = 'column';
DROP TRIGGER give ON insights.verdict;
DROP VIEW insights.verdict;
CREATE VIEW insights.verdict AS
SELECT f.insight_id, p.name AS pipeline, k.shown_key AS row_key, f.verdict, f.corrected, v.sha256 AS pipeline_version,
       f.given_by, f.given_at
FROM store.feedback f
JOIN store.insight i USING (insight_id)
JOIN store.shown_key k USING (row_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = f.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id);
COMMENT ON VIEW insights.verdict IS 'What was said of insights; INSERT here (insight_id, or pipeline and row_key; verdict; corrected) to say more';
CREATE TRIGGER give INSTEAD OF INSERT ON insights.verdict FOR EACH ROW EXECUTE FUNCTION store.give_verdict();
ALTER TABLE store.feedback DROP source;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
