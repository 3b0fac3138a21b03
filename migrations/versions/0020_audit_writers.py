"""Who an event says that it is of is bound to the login, which the database itself knows.

Revision: 0020
Previous: 0019
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# The chain is computed as migration 0015 did; events that come together are put down in one statement and bear one time.
CHAIN = """
CREATE FUNCTION store.chain_events(actor text, events jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    chain store.audit_chain;
    body bytea;
    ended bytea;
    hashes bytea[] := '{}';
    moment timestamptz;
BEGIN
    -- A chain of this writer that no other transaction holds, or a new one: nobody waits for anybody.
    SELECT c.* INTO chain FROM store.audit_chain c
    WHERE c.actor = chain_events.actor AND c.login = session_user
    ORDER BY c.chain_id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO store.audit_chain (actor, login) VALUES (chain_events.actor, session_user) RETURNING * INTO chain;
    END IF;
    moment := greatest(clock_timestamp(), chain.head_at);
    ended := chain.head;
    FOR body IN
        SELECT convert_to(jsonb_build_array(
                   chain.chain_id, chain.length + e.ordinality, (extract(epoch FROM moment) * 1000000)::bigint, chain.actor,
                   chain.login, e.action, e.stream_id, e.row_id, e.insight_id, coalesce(e.details, '{}'))::text, 'UTF8')
        FROM ROWS FROM (jsonb_to_recordset(events) AS (action text, stream_id integer, row_id bigint, insight_id bigint,
                                                       details jsonb)) WITH ORDINALITY AS e
        ORDER BY e.ordinality
    LOOP
        ended := sha256(ended || body);
        hashes := hashes || ended;
    END LOOP;
    INSERT INTO store.audit_event (chain_id, number, at, action, stream_id, row_id, insight_id, details, hash)
    SELECT chain.chain_id, chain.length + e.ordinality, moment, e.action, e.stream_id, e.row_id, e.insight_id,
           coalesce(e.details, '{}'), e.hash
    FROM ROWS FROM (jsonb_to_recordset(events) AS (action text, stream_id integer, row_id bigint, insight_id bigint,
                                                   details jsonb), unnest(hashes)) WITH ORDINALITY
        AS e (action, stream_id, row_id, insight_id, details, hash, ordinality);
    UPDATE store.audit_chain c
    SET length = chain.length + cardinality(hashes), head = ended, head_at = moment
    WHERE c.chain_id = chain.chain_id;
END $$;
COMMENT ON FUNCTION store.chain_events IS 'Puts events at the end of a chain. Called by append_events and seal_events, and by nobody else';
REVOKE ALL ON FUNCTION store.chain_events FROM PUBLIC;
"""

# A login that cannot add an insight is no daemon: what it writes is of a command.
APPEND = """
CREATE OR REPLACE FUNCTION store.append_events(actor text, events jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF append_events.actor = 'audit retention' THEN
        RAISE insufficient_privilege USING MESSAGE = 'permission denied to write as audit retention: seal_events alone does';
    END IF;
    IF NOT has_table_privilege(session_user, 'store.insight', 'INSERT') THEN
        IF NOT starts_with(append_events.actor, 'insights ') THEN
            RAISE insufficient_privilege USING MESSAGE = format(
                'permission denied to write events as %s: the login %s is no daemon''s', append_events.actor, session_user);
        END IF;
        IF jsonb_path_exists(events, '$[*] ? (@.action == "insight")') THEN
            RAISE insufficient_privilege USING MESSAGE = format(
                'permission denied to tell of an insight: the login %s is no daemon''s', session_user);
        END IF;
    END IF;
    PERFORM store.chain_events(append_events.actor, events);
END $$;
"""

SEAL = """
CREATE OR REPLACE FUNCTION store.seal_events(before timestamptz) RETURNS TABLE (chain integer, events bigint)
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
        PERFORM store.{writer}('audit retention',
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
"""

DOWNGRADE = """
CREATE OR REPLACE FUNCTION store.append_events(actor text, events jsonb) RETURNS void
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
DROP FUNCTION store.chain_events;
"""


def upgrade() -> None:
    for part in (CHAIN, APPEND, SEAL.replace("{writer}", "chain_events")):
        op.execute(part)


def downgrade() -> None:
    op.execute(SEAL.replace("{writer}", "append_events"))
    op.execute(DOWNGRADE)
