"""Audit events are chained by their hashes, one chain a writer; retention seals what it takes away.

Revision: 0015
Previous: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# What is hashed is the text of a JSON array that holds whatever the event says, its number and its time. `sql/store/audit.sql`
# builds the same text from the columns, and `insights/governance/chain.py` checks it.
TABLES = """
CREATE TABLE store.audit_chain (
    chain_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor text NOT NULL,
    login text NOT NULL,
    length bigint NOT NULL DEFAULT 0,
    head bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    head_at timestamptz,
    sealed bigint NOT NULL DEFAULT 0,
    sealed_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 50);
COMMENT ON TABLE store.audit_chain IS 'The end of each chain of events. A writer has as many as it has transactions at once';
COMMENT ON COLUMN store.audit_chain.login IS 'The login that writes it, by the database''s own word';
COMMENT ON COLUMN store.audit_chain.sealed IS 'Retention took the events up to this number away; the next one follows sealed_hash';

ALTER TABLE store.audit_event RENAME TO audit_event_former;
ALTER TABLE store.audit_event_former RENAME CONSTRAINT audit_event_pkey TO audit_event_former_pkey;
DROP INDEX store.audit_event_row;
CREATE TABLE store.audit_event (
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    row_id bigint,
    insight_id bigint,
    chain_id integer NOT NULL,
    stream_id integer,
    hash bytea NOT NULL,
    action text NOT NULL,
    details jsonb NOT NULL,
    PRIMARY KEY (chain_id, number)
);
COMMENT ON TABLE store.audit_event IS 'Append-only: what was done, to which row, by which writer. Never row text. Written by store.append_events alone';
COMMENT ON COLUMN store.audit_event.hash IS 'SHA-256 of the former event''s hash in the chain and what this event says, its number and time included';
"""

FUNCTIONS = """
CREATE FUNCTION store.append_events(actor text, events jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chain store.audit_chain;
    event record;
BEGIN
    -- A chain of this writer that no other transaction holds, or a new one: nobody waits for anybody.
    SELECT c.* INTO chain FROM store.audit_chain c
    WHERE c.actor = append_events.actor AND c.login = session_user
    ORDER BY c.chain_id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO store.audit_chain (actor, login) VALUES (append_events.actor, session_user) RETURNING * INTO chain;
    END IF;
    FOR event IN
        SELECT e.action, e.stream_id, e.row_id, e.insight_id, coalesce(e.details, '{}') AS details
        FROM jsonb_to_recordset(events) AS e (action text, stream_id integer, row_id bigint, insight_id bigint, details jsonb)
    LOOP
        chain.length := chain.length + 1;
        chain.head_at := greatest(clock_timestamp(), chain.head_at);
        chain.head := sha256(chain.head || convert_to(jsonb_build_array(
            chain.chain_id, chain.length, (extract(epoch FROM chain.head_at) * 1000000)::bigint, chain.actor, chain.login,
            event.action, event.stream_id, event.row_id, event.insight_id, event.details)::text, 'UTF8'));
        INSERT INTO store.audit_event (chain_id, number, at, action, stream_id, row_id, insight_id, details, hash)
        VALUES (chain.chain_id, chain.length, chain.head_at, event.action, event.stream_id, event.row_id,
                event.insight_id, event.details, chain.head);
    END LOOP;
    UPDATE store.audit_chain c SET length = chain.length, head = chain.head, head_at = chain.head_at
    WHERE c.chain_id = chain.chain_id;
END $$;
COMMENT ON FUNCTION store.append_events IS 'The only way an event is written: number, time, login and hash are the database''s';
REVOKE ALL ON FUNCTION store.append_events FROM PUBLIC;

CREATE FUNCTION store.seal_events(before timestamptz) RETURNS TABLE (chain integer, events bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one store.audit_chain;
    upto bigint;
    summary jsonb;
BEGIN
    PERFORM set_config('insights.sealing', 'on', true);
    FOR one IN SELECT c.* FROM store.audit_chain c WHERE c.actor <> 'audit retention' ORDER BY c.chain_id FOR UPDATE LOOP
        upto := (SELECT max(e.number) FROM store.audit_event e WHERE e.chain_id = one.chain_id AND e.at < before);
        CONTINUE WHEN upto IS NULL;
        SELECT jsonb_build_object('chain', one.chain_id, 'actor', one.actor, 'login', one.login, 'first', one.sealed + 1,
                                  'last', upto, 'hash', encode((SELECT e.hash FROM store.audit_event e
                                      WHERE e.chain_id = one.chain_id AND e.number = upto), 'hex'),
                                  'from', min(a.first_at), 'to', max(a.last_at), 'actions', jsonb_object_agg(a.action, a.times))
        INTO summary
        FROM (SELECT e.action, count(*) AS times, min(e.at) AS first_at, max(e.at) AS last_at FROM store.audit_event e
              WHERE e.chain_id = one.chain_id AND e.number <= upto GROUP BY e.action) a;
        PERFORM store.append_events('audit retention',
                                    jsonb_build_array(jsonb_build_object('action', 'events sealed', 'details', summary)));
        DELETE FROM store.audit_event e WHERE e.chain_id = one.chain_id AND e.number <= upto;
        UPDATE store.audit_chain c SET sealed = upto, sealed_hash = decode(summary ->> 'hash', 'hex')
        WHERE c.chain_id = one.chain_id;
        chain := one.chain_id;
        events := upto - one.sealed;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('insights.sealing', '', true);
END $$;
COMMENT ON FUNCTION store.seal_events IS 'Retention: take away events older than this; a summary of each chain''s, sealed in a chain of its own, stays';
REVOKE ALL ON FUNCTION store.seal_events FROM PUBLIC;

CREATE OR REPLACE FUNCTION store.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_event' AND current_setting('insights.sealing', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION USING MESSAGE = 'store.' || TG_TABLE_NAME || ' is append-only';
END $$;
"""

# Events of before are chained as they stand, a chain for each actor; nobody knows their logins.
MOVE = """
DO $$
DECLARE
    chain store.audit_chain;
    event record;
BEGIN
    FOR event IN SELECT * FROM store.audit_event_former ORDER BY actor, event_id LOOP
        IF chain.actor IS DISTINCT FROM event.actor THEN
            INSERT INTO store.audit_chain (actor, login) VALUES (event.actor, 'before the chain') RETURNING * INTO chain;
        END IF;
        chain.length := chain.length + 1;
        chain.head_at := greatest(event.at, chain.head_at);
        chain.head := sha256(chain.head || convert_to(jsonb_build_array(
            chain.chain_id, chain.length, (extract(epoch FROM chain.head_at) * 1000000)::bigint, chain.actor, chain.login,
            event.action, event.stream_id, event.row_id, event.insight_id, event.details)::text, 'UTF8'));
        INSERT INTO store.audit_event (chain_id, number, at, action, stream_id, row_id, insight_id, details, hash)
        VALUES (chain.chain_id, chain.length, chain.head_at, event.action, event.stream_id, event.row_id,
                event.insight_id, event.details, chain.head);
        UPDATE store.audit_chain c SET length = chain.length, head = chain.head, head_at = chain.head_at
        WHERE c.chain_id = chain.chain_id;
    END LOOP;
END $$;
DROP TABLE store.audit_event_former;
"""

GUARDS = """
CREATE INDEX audit_event_row ON store.audit_event (row_id) WHERE row_id IS NOT NULL;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();
CREATE TRIGGER audit_chain_kept BEFORE DELETE OR TRUNCATE ON store.audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();
ALTER TABLE store.audit_event ENABLE ALWAYS TRIGGER audit_event_append_only;
ALTER TABLE store.audit_chain ENABLE ALWAYS TRIGGER audit_chain_kept;
"""

DOWNGRADE = """
DROP FUNCTION store.append_events;
DROP FUNCTION store.seal_events;
CREATE TABLE store.audit_event_former (
    event_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_event_former_pkey PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    stream_id integer,
    row_id bigint,
    insight_id bigint,
    details jsonb NOT NULL DEFAULT '{}'
);
INSERT INTO store.audit_event_former (at, actor, action, stream_id, row_id, insight_id, details)
SELECT e.at, c.actor, e.action, e.stream_id, e.row_id, e.insight_id, e.details
FROM store.audit_event e JOIN store.audit_chain c USING (chain_id) ORDER BY e.at, e.chain_id, e.number;
DROP TABLE store.audit_event, store.audit_chain;
ALTER TABLE store.audit_event_former RENAME TO audit_event;
ALTER TABLE store.audit_event RENAME CONSTRAINT audit_event_former_pkey TO audit_event_pkey;
CREATE INDEX audit_event_row ON store.audit_event (row_id) WHERE row_id IS NOT NULL;
COMMENT ON TABLE store.audit_event IS 'Append-only: what was done, to which row, by which daemon. Never row text';
CREATE OR REPLACE FUNCTION store.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'store.audit_event is append-only'; END $$;
ALTER FUNCTION store.refuse_change() RESET ALL;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();
"""


def upgrade() -> None:
    for part in (TABLES, FUNCTIONS, MOVE, GUARDS):
        op.execute(part)


def downgrade() -> None:
    op.execute(DOWNGRADE)
