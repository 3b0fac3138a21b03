"""A row can be forgotten: what was made of it goes, its events become tombstones, its key stays out.

Revision: 0024
Previous: 0023
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# The outbox no longer refers to rows and insights by foreign keys: each row or insight that goes would be looked for in all of
# it. What goes is taken out of the outbox by the same function, under a lock.
TABLES = """
CREATE TABLE store.forgotten (
    forgotten_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    row_id bigint,
    held_back bigint NOT NULL DEFAULT 0,
    asked_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    kept_out boolean NOT NULL DEFAULT true,
    state text NOT NULL CHECK (state IN ('asked', 'released', 'taken', 'completed')),
    stream text NOT NULL,
    asked_by text NOT NULL DEFAULT session_user,
    key_hash bytea NOT NULL CHECK (length(key_hash) = 32),
    passages bigint[] NOT NULL DEFAULT '{}',
    others bigint[] NOT NULL DEFAULT '{}',
    UNIQUE (stream, key_hash),
    CHECK ((state = 'completed') = (completed_at IS NOT NULL))
);
COMMENT ON TABLE store.forgotten IS 'Rows that were asked to be forgotten, by the keyed hash of their key: how far that is, and who stays out';
COMMENT ON COLUMN store.forgotten.row_id IS 'Its number in the ledger, until that entry goes as well';
COMMENT ON COLUMN store.forgotten.held_back IS 'How often the row was read again, and not recorded';
COMMENT ON COLUMN store.forgotten.kept_out IS 'It is not recorded again; false: it went by age, and may come back';
COMMENT ON COLUMN store.forgotten.passages IS 'Passages that were made of it: who was shown them is looked for';
COMMENT ON COLUMN store.forgotten.others IS 'Rows whose insights went because they had been shown such a passage: their sinks are waited for';
CREATE INDEX forgotten_open ON store.forgotten (forgotten_id) WHERE state <> 'completed';

ALTER TABLE store.collection ADD stream text;
COMMENT ON COLUMN store.collection.stream IS 'The stream whose rows its documents are; NULL: a folder''s, or not synchronised since migration 0024';
ALTER TABLE store.outbox DROP CONSTRAINT outbox_row_id_fkey, DROP CONSTRAINT outbox_insight_id_fkey;
COMMENT ON COLUMN store.outbox.row_id IS 'Of store.ledger, without a foreign key; store.forget takes both away';
CREATE INDEX audit_event_key ON store.audit_event ((details ->> 'key')) WHERE row_id IS NULL AND details ? 'key';
"""

KEYS = """
CREATE FUNCTION store.key_hash(key text) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to((SELECT s.value FROM store.setting s WHERE s.name = 'key_salt') || key, 'UTF8'))
$$;
COMMENT ON FUNCTION store.key_hash IS 'The keyed hash of a row''s key; its first 16 bytes are what `insights key hash` prints of a personal one';
CREATE FUNCTION store.is_forgotten(stream text, key text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM store.forgotten f
                   WHERE f.stream = $1 AND f.key_hash = store.key_hash($2) AND (f.kept_out OR f.completed_at IS NULL))
$$;
COMMENT ON FUNCTION store.is_forgotten IS 'Whether a row of a stream is kept out';
CREATE FUNCTION store.kept_out(stream text, keys text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.key FROM unnest(keys) AS k (key)
    WHERE EXISTS (SELECT FROM store.forgotten f WHERE f.stream = $1) AND store.is_forgotten($1, k.key)
$$;
COMMENT ON FUNCTION store.kept_out IS 'Which of these rows are kept out, for logins that may not read the salt';
REVOKE ALL ON FUNCTION store.kept_out FROM PUBLIC;
"""

# An event that is emptied keeps its hash. Who checks the chain later can no longer compute it: so the event that tells of the
# forgetting names the hash before it, its own, and that of what is left, and says whether it was as it had been written.
ENTOMB = """
CREATE FUNCTION store.entomb_events(forgotten_id bigint, whose integer, taken bigint[], made bigint[], shown text, told jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    remains text;
    named jsonb := '[]';
BEGIN
    PERFORM set_config('insights.forgetting', 'on', true);
    FOR one IN
        SELECT e.chain_id, e.number, e.hash,
               CASE WHEN e.number = c.sealed + 1 THEN c.sealed_hash
                    ELSE (SELECT b.hash FROM store.audit_event b WHERE b.chain_id = e.chain_id AND b.number = e.number - 1)
               END AS former,
               jsonb_build_array(e.chain_id, e.number, (extract(epoch FROM e.at) * 1000000)::bigint, c.actor, c.login,
                                 e.action, e.stream_id, e.row_id, e.insight_id, e.details)::text AS body
        FROM (SELECT * FROM store.audit_event a WHERE a.row_id = ANY (taken) AND (made IS NULL OR a.insight_id = ANY (made))
              UNION ALL
              SELECT * FROM store.audit_event a
              WHERE a.row_id IS NULL AND a.details ? 'key' AND a.details ->> 'key' = shown
                AND a.stream_id IS NOT DISTINCT FROM whose) e
        JOIN store.audit_chain c USING (chain_id)
        ORDER BY e.chain_id, e.number
    LOOP
        UPDATE store.audit_event e
        SET row_id = NULL, insight_id = NULL, details = jsonb_build_object('forgotten', entomb_events.forgotten_id)
        FROM store.audit_chain c
        WHERE e.chain_id = one.chain_id AND e.number = one.number AND c.chain_id = e.chain_id
        RETURNING jsonb_build_array(e.chain_id, e.number, (extract(epoch FROM e.at) * 1000000)::bigint, c.actor, c.login,
                                    e.action, e.stream_id, e.row_id, e.insight_id, e.details)::text INTO remains;
        named := named || jsonb_build_array(jsonb_build_array(
            one.chain_id, one.number, encode(one.former, 'hex'), encode(one.hash, 'hex'),
            encode(sha256(convert_to(remains, 'UTF8')), 'hex'),
            coalesce(sha256(one.former || convert_to(one.body, 'UTF8')) = one.hash, false)));
    END LOOP;
    PERFORM set_config('insights.forgetting', '', true);
    PERFORM store.chain_events('audit retention', jsonb_build_array(jsonb_build_object(
        'action', 'forgotten', 'stream_id', whose,
        'details', told || jsonb_build_object('forgotten', entomb_events.forgotten_id, 'events', named))));
END $$;
COMMENT ON FUNCTION store.entomb_events IS 'Empties the events of rows, and tells of it in retention''s chain. Called by forget and forget_more alone';
REVOKE ALL ON FUNCTION store.entomb_events FROM PUBLIC;

CREATE FUNCTION store.take_row(taken bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    insights bigint;
BEGIN
    DELETE FROM store.work w WHERE w.row_id = taken;
    DELETE FROM store.request r WHERE r.row_id = taken;
    DELETE FROM store.submission s WHERE s.requests && ARRAY(SELECT b.request_id FROM store.inbox b WHERE b.row_id = taken);
    DELETE FROM store.inbox b WHERE b.row_id = taken;
    DELETE FROM store.current_insight c WHERE c.row_id = taken;
    UPDATE store.outbox o
    SET revision = nextval('store.revision'), shows = 'tombstoned', insight_id = NULL, sealed = NULL, delivered_at = NULL,
        not_before = now(), attempts = 0, error = NULL
    WHERE o.sink_id IN (SELECT k.sink_id FROM store.sink k) AND o.row_id = taken;
    DELETE FROM store.insight i WHERE i.row_id = taken;
    GET DIAGNOSTICS insights = ROW_COUNT;
    RETURN insights;
END $$;
COMMENT ON FUNCTION store.take_row IS 'Takes all that was made of a row, and lets its sinks show a tombstone. Called by forget and forget_more alone';
REVOKE ALL ON FUNCTION store.take_row FROM PUBLIC;
"""

# Nobody writes work, what is current or the outbox while something goes: a statement that waits for the lock sees afterwards
# that it has gone. A page that is being recorded holds the stream's row, documents that come hold their collection's.
FORGET = """
CREATE FUNCTION store.forget(stream text, key text, collections text[], kept_out boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    whose integer;
    hashed bytea := store.key_hash(forget.key);
    taken bigint;
    parts jsonb;
    one record;
    fed integer := 0;
    words text[];
    gone bigint[];
    shown bigint[] := '{}';
    insights bigint := 0;
    documents bigint := 0;
    number bigint;
    forgotten_id bigint;
BEGIN
    SELECT s.stream_id INTO whose FROM store.stream s WHERE s.name = forget.stream FOR UPDATE;
    FOR one IN SELECT c.collection_id FROM store.collection c
               WHERE c.stream = forget.stream OR c.stream IS NULL AND c.name = ANY (forget.collections)
               ORDER BY c.collection_id FOR UPDATE LOOP
        fed := fed + 1;
        words := ARRAY(SELECT DISTINCT w.word FROM store.document d JOIN store.passage p ON p.document_id = d.document_id
                       CROSS JOIN LATERAL unnest(tsvector_to_array(p.search)) AS w (word)
                       WHERE d.collection_id = one.collection_id AND d.uri = forget.key);
        gone := ARRAY(SELECT p.passage_id FROM store.document d JOIN store.passage p ON p.document_id = d.document_id
                      WHERE d.collection_id = one.collection_id AND d.uri = forget.key);
        DELETE FROM store.document d WHERE d.collection_id = one.collection_id AND d.uri = forget.key;
        GET DIAGNOSTICS number = ROW_COUNT;
        UPDATE store.collection c
        SET changed_passages = c.changed_passages + cardinality(gone), problems = c.problems - forget.key
        WHERE c.collection_id = one.collection_id;
        -- A word that stood in this document alone is a text of it.
        DELETE FROM store.lexeme l
        WHERE l.collection_id = one.collection_id AND l.lexeme = ANY (words)
          AND NOT EXISTS (SELECT FROM store.passage p
                          WHERE p.collection_id = one.collection_id
                            AND p.search @@ ('''' || replace(replace(l.lexeme, '\\', '\\\\'), '''', '''''') || '''')::tsquery);
        documents := documents + number;
        shown := shown || gone;
    END LOOP;
    IF whose IS NULL AND fed = 0 THEN
        RAISE no_data_found USING MESSAGE = 'the store knows no stream of this name';
    END IF;
    LOCK TABLE store.work IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE store.current_insight IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE store.outbox IN SHARE ROW EXCLUSIVE MODE;
    SELECT l.row_id INTO taken FROM store.ledger l WHERE l.stream_id = whose AND l.row_key = forget.key;
    INSERT INTO store.forgotten AS f (stream, key_hash, kept_out, row_id, passages, state)
    VALUES (forget.stream, hashed, forget.kept_out, taken, shown,
            CASE WHEN cardinality(shown) > 0 THEN 'asked' WHEN fed > 0 THEN 'released' ELSE 'taken' END)
    ON CONFLICT ON CONSTRAINT forgotten_stream_key_hash_key DO UPDATE
    SET kept_out = f.kept_out OR excluded.kept_out, row_id = excluded.row_id, completed_at = NULL, asked_at = now(),
        asked_by = excluded.asked_by, passages = f.passages || excluded.passages,
        state = CASE WHEN cardinality(f.passages || excluded.passages) > 0 THEN 'asked' ELSE excluded.state END
    RETURNING f.forgotten_id INTO forgotten_id;
    IF taken IS NOT NULL THEN
        insights := store.take_row(taken);
        UPDATE store.ledger l SET gone_at = coalesce(l.gone_at, now()), input_hash = gen_random_uuid(), cursor = NULL
        WHERE l.row_id = taken;
    END IF;
    -- A walk that has its bookmark at the row begins anew.
    BEGIN
        parts := forget.key::jsonb;
    EXCEPTION WHEN data_exception THEN
        parts := NULL;
    END;
    UPDATE store.stream s SET pass = s.pass - 'bookmark'
    WHERE s.stream_id = whose AND s.pass #> '{bookmark,key}' IN (jsonb_build_array(forget.key), parts);
    UPDATE store.sweep w SET bookmark = NULL
    WHERE w.stream_id = whose AND w.bookmark -> 'key' IN (jsonb_build_array(forget.key), parts);
    PERFORM store.entomb_events(
        forgotten_id, whose, ARRAY[taken], NULL, left(encode(hashed, 'hex'), 32),
        jsonb_build_object('row', left(encode(hashed, 'hex'), 32), 'insights', insights, 'documents', documents,
                           'passages', cardinality(shown), 'kept_out', forget.kept_out));
    RETURN forgotten_id;
END $$;
COMMENT ON FUNCTION store.forget IS 'Forget a row: what was made of it goes now; store.forget_more ends it once sinks have been told';
REVOKE ALL ON FUNCTION store.forget FROM PUBLIC;

CREATE FUNCTION store.allow_again(stream text, key text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended bigint;
BEGIN
    DELETE FROM store.forgotten f
    WHERE f.stream = allow_again.stream AND f.key_hash = store.key_hash(allow_again.key) AND f.state = 'completed'
    RETURNING f.forgotten_id INTO ended;
    IF ended IS NULL THEN
        RETURN false;
    END IF;
    UPDATE store.stream s SET sweep_due = true WHERE s.name = allow_again.stream;
    PERFORM store.chain_events('audit retention', jsonb_build_array(jsonb_build_object(
        'action', 'allowed again', 'stream_id', (SELECT s.stream_id FROM store.stream s WHERE s.name = allow_again.stream),
        'details', jsonb_build_object('forgotten', ended,
                                      'row', left(encode(store.key_hash(allow_again.key), 'hex'), 32)))));
    RETURN true;
END $$;
COMMENT ON FUNCTION store.allow_again IS 'A forgotten row may be recorded again, as a new one';
REVOKE ALL ON FUNCTION store.allow_again FROM PUBLIC;
"""

# A step of each forgetting, in a transaction of its own, so that the next one sees what others have committed meanwhile.
MORE = """
CREATE FUNCTION store.forget_more() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one store.forgotten;
    whose integer;
    made bigint[];
    changed bigint := 0;
BEGIN
    FOR one IN SELECT f.* FROM store.forgotten f WHERE f.state <> 'completed' ORDER BY f.forgotten_id
               FOR UPDATE SKIP LOCKED LOOP
        SELECT s.stream_id INTO whose FROM store.stream s WHERE s.name = one.stream;
        CASE one.state
        WHEN 'asked' THEN
            -- Whoever searched before the passages went may hold one: what is in hand is done again.
            UPDATE store.work w
            SET state = 'pending', attempts = greatest(w.attempts - 1, 0), lease_token = NULL, lease_until = NULL, holder = NULL,
                not_before = now(), reason = 'a row that it may have been shown was forgotten'
            WHERE w.state = 'claimed';
            UPDATE store.forgotten f SET state = 'released' WHERE f.forgotten_id = one.forgotten_id;
            changed := changed + 1;
        WHEN 'released' THEN
            -- What others made of it: who cited it, whose nearest neighbour it was, who was shown its passages. Looked for
            -- before anything is locked: nobody can be shown it any more.
            made := ARRAY(
                SELECT e.insight_id FROM store.audit_event e
                WHERE cardinality(one.passages) > 0 AND e.action = 'insight' AND e.insight_id IS NOT NULL
                  AND EXISTS (SELECT FROM jsonb_array_elements(e.details -> 'passages') p
                              WHERE (p ->> 0)::bigint = ANY (one.passages))
                UNION
                SELECT c.insight_id FROM store.citation c
                WHERE c.passage_id IS NULL AND c.uri IS NOT NULL AND store.key_hash(c.uri) = one.key_hash
                UNION
                SELECT i.insight_id FROM store.insight i
                WHERE i.neighbour IS NOT NULL AND store.key_hash(i.neighbour ->> 'uri') = one.key_hash);
            LOCK TABLE store.work IN SHARE ROW EXCLUSIVE MODE;
            LOCK TABLE store.current_insight IN SHARE ROW EXCLUSIVE MODE;
            LOCK TABLE store.outbox IN SHARE ROW EXCLUSIVE MODE;
            one.others := ARRAY(SELECT DISTINCT i.row_id FROM store.insight i WHERE i.insight_id = ANY (made));
            -- They are made again, without it.
            UPDATE store.work w
            SET state = 'pending', attempts = 0, expiries = 0, isolated = false, not_before = now(), finished_at = NULL,
                reason = 'a row that it was shown was forgotten'
            FROM store.insight i JOIN store.deployment d USING (pipeline_version_id)
            WHERE i.insight_id = ANY (made) AND d.stage <> 'retired' AND w.state = 'done'
              AND w.row_id = i.row_id AND w.input_hash = i.input_hash AND w.pipeline_version_id = i.pipeline_version_id
              AND w.request = i.request
              AND (EXISTS (SELECT FROM store.current_insight c WHERE c.row_id = i.row_id AND c.insight_id = i.insight_id)
                   OR NOT EXISTS (SELECT FROM store.insight n
                                  WHERE n.row_id = i.row_id AND n.pipeline_version_id = i.pipeline_version_id
                                    AND n.insight_id > i.insight_id));
            DELETE FROM store.current_insight c WHERE c.row_id = ANY (one.others) AND c.insight_id = ANY (made);
            UPDATE store.outbox o
            SET revision = nextval('store.revision'), shows = 'tombstoned', insight_id = NULL, sealed = NULL,
                delivered_at = NULL, not_before = now(), attempts = 0, error = NULL
            WHERE o.sink_id IN (SELECT k.sink_id FROM store.sink k) AND o.row_id = ANY (one.others)
              AND o.insight_id = ANY (made);
            DELETE FROM store.insight i WHERE i.insight_id = ANY (made);
            PERFORM store.entomb_events(one.forgotten_id, whose, one.others, made, NULL,
                                        jsonb_build_object('made again', cardinality(made)));
            UPDATE store.forgotten f SET state = 'taken', others = one.others WHERE f.forgotten_id = one.forgotten_id;
            changed := changed + 1;
        WHEN 'taken' THEN
            CONTINUE WHEN EXISTS (SELECT FROM store.outbox o
                                  WHERE o.sink_id IN (SELECT k.sink_id FROM store.sink k)
                                    AND o.row_id = ANY (one.row_id || one.others) AND o.delivered_at IS NULL);
            LOCK TABLE store.work IN SHARE ROW EXCLUSIVE MODE;
            LOCK TABLE store.current_insight IN SHARE ROW EXCLUSIVE MODE;
            LOCK TABLE store.outbox IN SHARE ROW EXCLUSIVE MODE;
            IF one.row_id IS NOT NULL THEN
                PERFORM store.take_row(one.row_id);
                DELETE FROM store.outbox o WHERE o.sink_id IN (SELECT k.sink_id FROM store.sink k) AND o.row_id = one.row_id;
                DELETE FROM store.ledger l WHERE l.row_id = one.row_id;
            END IF;
            PERFORM store.entomb_events(one.forgotten_id, whose, ARRAY[one.row_id], NULL, NULL, '{"completed": true}');
            IF one.kept_out THEN
                UPDATE store.forgotten f
                SET state = 'completed', completed_at = now(), row_id = NULL, passages = '{}', others = '{}'
                WHERE f.forgotten_id = one.forgotten_id;
            ELSE
                DELETE FROM store.forgotten f WHERE f.forgotten_id = one.forgotten_id;
            END IF;
            changed := changed + 1;
        END CASE;
    END LOOP;
    RETURN changed;
END $$;
COMMENT ON FUNCTION store.forget_more IS 'Goes on with what was asked to be forgotten, a step of each; returns how many went on';
REVOKE ALL ON FUNCTION store.forget_more FROM PUBLIC;
"""

GUARDS = """
CREATE OR REPLACE FUNCTION store.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_event' AND current_setting('insights.sealing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'audit_event' AND current_setting('insights.forgetting', true) = 'on' THEN
        IF TG_LEVEL = 'STATEMENT' THEN
            RETURN NULL;
        END IF;
        -- What an event said may go, and nothing else of it.
        IF NEW.row_id IS NULL AND NEW.insight_id IS NULL AND NEW.details = jsonb_build_object('forgotten', NEW.details -> 'forgotten')
           AND (NEW.chain_id, NEW.number, NEW.at, NEW.hash, NEW.action) = (OLD.chain_id, OLD.number, OLD.at, OLD.hash, OLD.action)
           AND NEW.stream_id IS NOT DISTINCT FROM OLD.stream_id THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION USING MESSAGE = 'store.' || TG_TABLE_NAME || ' is append-only';
END $$;
CREATE TRIGGER audit_event_emptied_only BEFORE UPDATE ON store.audit_event
    FOR EACH ROW EXECUTE FUNCTION store.refuse_change();
ALTER TABLE store.audit_event ENABLE ALWAYS TRIGGER audit_event_emptied_only;
"""

DOWNGRADE = """
DROP TRIGGER audit_event_emptied_only ON store.audit_event;
CREATE OR REPLACE FUNCTION store.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_event' AND current_setting('insights.sealing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING MESSAGE = 'store.' || TG_TABLE_NAME || ' is append-only';
END $$;
DROP FUNCTION store.forget_more, store.forget, store.allow_again, store.take_row, store.entomb_events, store.kept_out,
    store.is_forgotten, store.key_hash;
DROP INDEX store.audit_event_key;
ALTER TABLE store.outbox ADD FOREIGN KEY (row_id) REFERENCES store.ledger, ADD FOREIGN KEY (insight_id) REFERENCES store.insight;
COMMENT ON COLUMN store.outbox.row_id IS NULL;
ALTER TABLE store.collection DROP stream;
DROP TABLE store.forgotten;
"""


def upgrade() -> None:
    for part in (TABLES, KEYS, ENTOMB, FORGET, MORE, GUARDS):
        op.execute(part)


def downgrade() -> None:
    op.execute(DOWNGRADE)
