-- name: append
-- What was done, in the transaction that did it. Nothing else writes events: the function gives number, time, login and hash,
-- and refuses a writer's name that is not this login's to use.
SELECT store.append_events(%(actor)s, %(events)s);

-- name: snapshot
-- Chains and events are read as they stood at one moment, while daemons go on.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: chains
-- The end of each chain, for whoever checks or anchors it.
SELECT chain_id, actor, login, length, encode(head, 'hex') AS head, sealed, encode(sealed_hash, 'hex') AS sealed_hash
FROM store.audit_chain ORDER BY chain_id;

-- name: events
-- A page of events in the order of their chains: the text that was hashed, built from the columns as they are now.
SELECT e.chain_id, e.number, encode(e.hash, 'hex') AS hash,
       jsonb_build_array(e.chain_id, e.number, (extract(epoch FROM e.at) * 1000000)::bigint, c.actor, c.login, e.action,
                         e.stream_id, e.row_id, e.insight_id, e.details)::text AS body
FROM store.audit_event e LEFT JOIN store.audit_chain c USING (chain_id)
WHERE (e.chain_id, e.number) > (%(chain_id)s, %(number)s)
ORDER BY e.chain_id, e.number LIMIT %(limit)s;

-- name: contradicted
-- Insights that are not what the event of their making says any more: gone, or with another output, outcome, reason or version.
SELECT e.chain_id, e.number, e.insight_id, i.insight_id IS NULL AS gone
FROM store.audit_event e
LEFT JOIN store.insight i ON i.insight_id = e.insight_id
LEFT JOIN store.pipeline_version v USING (pipeline_version_id)
WHERE e.action = 'insight' AND e.details ? 'version'
  AND (i.insight_id IS NULL OR i.row_id <> e.row_id OR i.status <> e.details ->> 'status'
       OR encode(sha256(convert_to(i.output::text, 'UTF8')), 'hex') IS DISTINCT FROM e.details ->> 'output'
       OR v.sha256 IS DISTINCT FROM e.details ->> 'version'
       OR e.details ? 'why' AND encode(sha256(convert_to(i.reason, 'UTF8')), 'hex') IS DISTINCT FROM e.details ->> 'why')
ORDER BY e.insight_id LIMIT 100;

-- name: definitions
-- What each version was taken over.
SELECT pipeline_version_id, sha256, definition FROM store.pipeline_version ORDER BY pipeline_version_id;

-- name: show
-- One insight as it stands, the version that made it, and what is cited by it.
SELECT i.insight_id, i.row_id, k.stream, k.shown_key AS row_key, i.status, i.reason, i.generated_at, i.notes,
       encode(sha256(convert_to(i.output::text, 'UTF8')), 'hex') AS output_sha256,
       encode(sha256(convert_to(i.reason, 'UTF8')), 'hex') AS reason_sha256, v.sha256 AS version, v.definition,
       p.name AS pipeline,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('field', c.field, 'source', c.source, 'passage_id', c.passage_id,
                                                     'uri', c.uri) ORDER BY c.ordinal), '[]')
        FROM store.citation c WHERE c.insight_id = i.insight_id) AS citations
FROM store.insight i
JOIN store.shown_key k USING (row_id)
JOIN store.pipeline_version v ON v.pipeline_version_id = i.pipeline_version_id
JOIN store.pipeline p USING (pipeline_id)
WHERE i.insight_id = %(insight_id)s;

-- name: of_row
-- What was done to one row, in the order of time; prompts, where they are kept, are for who reads the events themselves.
SELECT e.chain_id, e.number, e.at, c.actor, c.login, e.action, e.insight_id, e.details - 'asked' AS details
FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)
WHERE e.row_id = %(row_id)s
ORDER BY e.at, e.chain_id, e.number;

-- name: applied
-- The settings that a daemon began with last, as it told them.
SELECT e.details -> 'settings' AS settings
FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)
WHERE e.action = 'settings' AND c.actor = %(actor)s
ORDER BY e.at DESC, e.number DESC LIMIT 1;

-- name: settings
-- When daemons began with other settings than before, the last first: which ones, and who ran them.
SELECT e.at, c.actor AS daemon, c.login, e.details ->> 'user' AS "user", e.details -> 'changed' AS changed
FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)
WHERE e.action = 'settings'
ORDER BY e.at DESC, e.chain_id, e.number DESC LIMIT %(limit)s;

-- name: guards
-- The triggers that refuse changes, by table, and whether each is on (A: always).
SELECT c.relname || '.' || t.tgname AS guard, t.tgenabled = 'A' AS enabled
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'store'::regnamespace AND c.relname IN ('audit_event', 'audit_chain') AND NOT t.tgisinternal;

-- name: doors
-- The functions that may write, seal and refuse: their text's hash, and whether they run with fixed names.
SELECT p.proname AS door, encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex') AS sha256,
       p.proconfig = ARRAY['search_path=pg_catalog, pg_temp'] AS fixed
FROM pg_proc p
WHERE p.pronamespace = 'store'::regnamespace 
  AND p.proname IN ('append_events', 'chain_events', 'seal_events', 'refuse_change', 'forget', 'forget_more', 'allow_again',
                    'take_row', 'entomb_events', 'expire_insights');

-- name: rights
-- Whoever but the owner may change the tables past the functions, or put an event down under any name: nobody should.
SELECT DISTINCT coalesce(r.rolname, 'PUBLIC') AS role, x.privilege_type AS privilege, c.relname AS name
FROM pg_class c
CROSS JOIN LATERAL aclexplode(c.relacl) AS x
LEFT JOIN pg_roles r ON r.oid = x.grantee
WHERE c.relnamespace = 'store'::regnamespace AND c.relname IN ('audit_event', 'audit_chain')
  AND x.grantee <> c.relowner AND x.privilege_type NOT IN ('SELECT', 'REFERENCES')
UNION
SELECT coalesce(r.rolname, 'PUBLIC'), x.privilege_type, c.relname || '.' || a.attname
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
CROSS JOIN LATERAL aclexplode(a.attacl) AS x
LEFT JOIN pg_roles r ON r.oid = x.grantee
WHERE c.relnamespace = 'store'::regnamespace AND c.relname IN ('audit_event', 'audit_chain')
  AND x.grantee <> c.relowner AND x.privilege_type NOT IN ('SELECT', 'REFERENCES')
UNION
SELECT coalesce(r.rolname, 'PUBLIC'), x.privilege_type, p.proname
FROM pg_proc p
CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS x
LEFT JOIN pg_roles r ON r.oid = x.grantee
WHERE p.pronamespace = 'store'::regnamespace AND x.grantee <> p.proowner
  AND (p.proname IN ('chain_events', 'entomb_events', 'take_row')
       OR p.proname IN ('append_events', 'seal_events', 'forget', 'forget_more', 'allow_again', 'expire_insights')
          AND x.grantee = 0)
ORDER BY 1, 2, 3;

-- name: to_replay
-- What one insight was made from and what came out, for who makes it again.
SELECT i.status, i.reason, i.output, i.input_hash, i.source_cursor, l.row_key, k.stream, k.shown_key, p.name AS pipeline,
       v.sha256 AS version, v.definition,
       (SELECT e.details FROM store.audit_event e
        WHERE e.row_id = i.row_id AND e.insight_id = i.insight_id AND e.action = 'insight' LIMIT 1) AS made
FROM store.insight i
JOIN store.ledger l USING (row_id)
JOIN store.shown_key k USING (row_id)
JOIN store.pipeline_version v USING (pipeline_version_id)
JOIN store.pipeline p USING (pipeline_id)
WHERE i.insight_id = %(insight_id)s;
