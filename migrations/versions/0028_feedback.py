"""What people and the legacy application say of insights: right or wrong, and what would be right.

Revision: 0028
Previous: 0027
"""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
serves = "0025"

# An insight that is forgotten takes its feedback along. No comment and no free text: nothing here could redact it.
TABLE = """
CREATE TABLE store.feedback (
    insight_id bigint NOT NULL REFERENCES store.insight ON DELETE CASCADE,
    given_at timestamptz NOT NULL DEFAULT now(),
    pipeline_version_id integer NOT NULL REFERENCES store.pipeline_version,
    verdict text NOT NULL CHECK (verdict IN ('right', 'wrong')),
    corrected jsonb,
    given_by text NOT NULL,
    PRIMARY KEY (insight_id, given_by),
    CHECK (corrected IS NULL OR verdict = 'wrong')
);
CREATE INDEX feedback_of_version ON store.feedback (pipeline_version_id, given_at) INCLUDE (verdict);
COMMENT ON TABLE store.feedback IS 'What was said of insights, the last of each login; written through the view insights.verdict alone';
COMMENT ON COLUMN store.feedback.corrected IS 'Values of enumerations and booleans of the output that would have been right; never a text';
COMMENT ON COLUMN store.feedback.given_by IS 'The login that said so, as PostgreSQL knows it';
"""

VIEW = """
CREATE VIEW insights.verdict AS
SELECT f.insight_id, p.name AS pipeline, k.shown_key AS row_key, f.verdict, f.corrected, v.sha256 AS pipeline_version,
       f.given_by, f.given_at
FROM store.feedback f
JOIN store.insight i USING (insight_id)
JOIN store.shown_key k USING (row_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = f.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id);
COMMENT ON VIEW insights.verdict IS 'What was said of insights; INSERT here (insight_id, or pipeline and row_key; verdict; corrected) to say more';

CREATE FUNCTION store.give_verdict() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    whole jsonb;
    field record;
    part jsonb;
    same jsonb;
BEGIN
    IF NEW.insight_id IS NOT NULL THEN
        SELECT i.insight_id, i.pipeline_version_id, i.status, v.definition INTO one
        FROM store.insight i JOIN store.pipeline_version v USING (pipeline_version_id)
        WHERE i.insight_id = NEW.insight_id;
    ELSE
        SELECT i.insight_id, i.pipeline_version_id, i.status, v.definition INTO one
        FROM store.pipeline p
        JOIN store.current_insight c USING (pipeline_id)
        JOIN store.insight i USING (insight_id)
        JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
        WHERE p.name = NEW.pipeline
          AND c.row_id IN (SELECT l.row_id FROM store.ledger l JOIN store.deployment d USING (stream_id)
                           WHERE d.pipeline_id = p.pipeline_id AND l.row_key = NEW.row_key);
    END IF;
    IF one.insight_id IS NULL OR one.status <> 'ok' THEN
        RAISE no_data_found USING MESSAGE = 'no insight of this number, or of this pipeline and key, is shown';
    END IF;
    IF NEW.verdict IS NULL OR NEW.verdict NOT IN ('right', 'wrong') THEN
        RAISE check_violation USING MESSAGE = 'a verdict is right or wrong';
    END IF;
    IF NEW.corrected IS NOT NULL THEN
        IF NEW.verdict <> 'wrong' OR jsonb_typeof(NEW.corrected) <> 'object' OR NEW.corrected = '{}' THEN
            RAISE check_violation USING MESSAGE = 'corrected is an object of properties, of a verdict that is wrong';
        END IF;
        whole := (one.definition ->> 'schema')::jsonb;
        FOR field IN SELECT e.key, e.value FROM jsonb_each(NEW.corrected) AS e LOOP
            part := whole -> 'properties' -> field.key;
            IF jsonb_path_exists(part, '$.**."$ref"') THEN
                part := whole;
            END IF;
            same := jsonb_build_object('value', field.value);
            IF jsonb_typeof(field.value) IN ('array', 'object')
               OR (jsonb_path_exists(part, '$.**.enum[*] ? (@ == $value)', same)
                   OR jsonb_path_exists(part, '$.**.const ? (@ == $value)', same)
                   OR jsonb_typeof(field.value) = 'boolean'
                      AND jsonb_path_exists(part, '$.**.type[*] ? (@ == "boolean")')) IS NOT TRUE THEN
                -- What was written is not repeated: it may be a text of the row.
                RAISE check_violation USING
                    MESSAGE = 'corrected has a value that is none of its property''s enumeration, and no boolean of it';
            END IF;
        END LOOP;
    END IF;
    INSERT INTO store.feedback (insight_id, pipeline_version_id, verdict, corrected, given_by)
    VALUES (one.insight_id, one.pipeline_version_id, NEW.verdict, NEW.corrected, session_user)
    ON CONFLICT (insight_id, given_by) DO UPDATE
    SET verdict = excluded.verdict, corrected = excluded.corrected, given_at = now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION store.give_verdict IS 'Finds the insight that is meant, refuses texts, and gives the verdict its login and time';
REVOKE ALL ON FUNCTION store.give_verdict FROM PUBLIC;
CREATE TRIGGER give INSTEAD OF INSERT ON insights.verdict FOR EACH ROW EXECUTE FUNCTION store.give_verdict();
"""

DOWNGRADE = """
DROP VIEW insights.verdict;
DROP FUNCTION store.give_verdict;
DROP TABLE store.feedback;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(VIEW)


def downgrade() -> None:
    op.execute(DOWNGRADE)
