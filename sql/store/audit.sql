-- name: append
-- What was done, in the transaction that did it. Nothing else writes events: the function gives number, time, login and hash.
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
WHERE p.pronamespace = 'store'::regnamespace AND p.proname IN ('append_events', 'seal_events', 'refuse_change');

-- name: rights
-- Whoever but the owner may change the tables past the functions: nobody should.
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
ORDER BY 1, 2, 3;
