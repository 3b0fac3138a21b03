-- What a process with doors (`insights serve`) may do in the store: accept requests, and tell how they stand. It writes no insight, and
-- reads no knowledge. By a superuser, after each `insights migrate`, where there is a door; repeating it changes nothing.
-- Then give the login a secret: \password insights_door

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'insights_door') THEN
        CREATE ROLE insights_door LOGIN;
    END IF;
    -- TEMPORARY: rows arrive by COPY in a temporary table, as those of a poll do.
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO insights_door', current_database());
END $$;
GRANT USAGE ON SCHEMA store TO insights_door;
GRANT SELECT ON public.insights_schema_version TO insights_door;

-- Requests, and what an idempotency key brought.
GRANT SELECT, INSERT, UPDATE ON store.inbox TO insights_door;
GRANT SELECT, INSERT ON store.submission TO insights_door;
-- What of a client's budgets its rows take; their bounds are the daemon's to set.
GRANT SELECT, UPDATE (used, window_start) ON store.budget TO insights_door;
GRANT SELECT ON store.budgeted TO insights_door;
-- Where outcomes are to be told (`insights listen`).
GRANT SELECT, INSERT, UPDATE ON store.reply TO insights_door;

-- Accepting enters rows as a poll does: what is known, what is to be done, what is shown meanwhile.
GRANT SELECT, INSERT, UPDATE ON store.ledger, store.work, store.current_insight, store.outbox TO insights_door;
GRANT USAGE ON SEQUENCE store.revision TO insights_door;

-- For which versions, and under which hash key. FOR SHARE needs the right to update some column.
GRANT SELECT ON store.stream, store.pipeline, store.deployment, store.fact TO insights_door;
GRANT UPDATE (generation) ON store.stream TO insights_door;

-- Outcomes. What was cancelled is told in the audit.
GRANT SELECT ON store.insight, store.citation, store.pipeline_version TO insights_door;
GRANT EXECUTE ON FUNCTION store.append_events(text, jsonb) TO insights_door;

-- A row that was forgotten is not taken again.
GRANT EXECUTE ON FUNCTION store.kept_out(text, text[]) TO insights_door;
