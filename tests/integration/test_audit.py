"""The audit: chains of hashes that show every change to what was done, and anchors beside them."""

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql as psql

from insights.store import audit, migrate
from insights.store.audit import Event
from insights.store.postgres import Store
from insights.store.queries import folder
from insights.store.trail import Trail
from tests import servers
from tests.auditing import fill
from tests.site import Site


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url).open()
    yield opened
    opened.close()


HARMLESS = """
CREATE OR REPLACE FUNCTION store.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN NULL; END $$
"""


def wheres(found: Trail) -> list[str]:
    return [one.where for one in found.verify().findings]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            "ALTER TABLE store.audit_event DISABLE TRIGGER audit_event_append_only",
            "trigger audit_event.audit_event_append_only",
        ),
        (
            "ALTER TABLE store.audit_event ENABLE TRIGGER audit_event_append_only",
            "trigger audit_event.audit_event_append_only",
        ),
        (
            "DROP TRIGGER audit_event_emptied_only ON store.audit_event",
            "trigger audit_event.audit_event_emptied_only",
        ),
        (
            "DROP TRIGGER audit_chain_kept ON store.audit_chain",
            "trigger audit_chain.audit_chain_kept",
        ),
        (
            HARMLESS,
            "function store.refuse_change",
        ),
        ("ALTER FUNCTION store.append_events RESET ALL", "function store.append_events"),
        ("DROP FUNCTION store.seal_events", "function store.seal_events"),
        ("ALTER FUNCTION store.chain_events RESET ALL", "function store.chain_events"),
        ("GRANT UPDATE ON store.audit_event TO PUBLIC", "store.audit_event"),
        ("GRANT EXECUTE ON FUNCTION store.chain_events TO pg_monitor", "store.chain_events"),
        ("GRANT EXECUTE ON FUNCTION store.append_events TO PUBLIC", "store.append_events"),
        ("GRANT EXECUTE ON FUNCTION store.forget TO PUBLIC", "store.forget"),
        ("GRANT EXECUTE ON FUNCTION store.entomb_events TO pg_monitor", "store.entomb_events"),
        ("ALTER FUNCTION store.forget_more RESET ALL", "function store.forget_more"),
        ("GRANT UPDATE (head) ON store.audit_chain TO PUBLIC", "store.audit_chain.head"),
    ],
)
def test_an_owner_who_takes_the_guards_away_is_found(store: Store, change: str, where: str) -> None:
    with store.connection() as owner:
        owner.execute(change)
    assert wheres(Trail(store)) == [where]


def test_the_owner_meets_the_trigger_first(store: Store) -> None:
    fill(store, "daemon", 3)
    for statement in (
        "UPDATE store.audit_event SET details = '{}'",
        "SET insights.forgetting = 'on'; UPDATE store.audit_event SET details = '{}'",
        (
            "SET insights.forgetting = 'on'; UPDATE store.audit_event SET row_id = NULL,"
            " insight_id = NULL, details = '{\"forgotten\": 1}', at = now()"
        ),
        "SET insights.forgetting = 'on'; DELETE FROM store.audit_event",
        "DELETE FROM store.audit_event",
        "TRUNCATE store.audit_event",
        "DELETE FROM store.audit_chain",
        "SET session_replication_role = replica; DELETE FROM store.audit_event",
    ):
        with psycopg.connect(store._url) as owner:
            with pytest.raises(psycopg.errors.RaiseException, match="is append-only"):
                owner.execute(statement)
            owner.rollback()


def test_writers_at_once_wait_for_nobody_and_each_has_its_chain(store: Store) -> None:
    with store.transaction() as first, store.transaction() as second:
        for connection in (first, second):
            connection.execute("SET LOCAL lock_timeout = '1ms'")
            audit.append(connection, "daemon", [Event("insight")])
            audit.append(connection, "daemon", [Event("insight")])
    fill(store, "daemon", 200)  # one at a time: in a chain that is there
    trail = Trail(store)
    verdict = trail.verify()
    assert (verdict.findings, verdict.chains, verdict.events) == ([], 2, 204)


def test_a_transaction_that_fails_leaves_no_hole(store: Store) -> None:
    fill(store, "daemon", 3)
    with psycopg.connect(store._url) as connection:
        audit.append(connection, "daemon", [Event("insight")])
        connection.rollback()
    fill(store, "daemon", 3)
    assert (wheres(Trail(store)), len(Trail(store).ends())) == ([], 1)


def test_number_time_and_login_are_the_databases_own(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(
            "SELECT store.append_events('daemon', %s)",
            ('[{"action": "a", "at": "1999-01-01", "number": 7, "login": "x", "hash": "x"}]',),
        )
        row = connection.execute(
            "SELECT number, at > now() - interval '1 minute' AS now,"
            " login = session_user AS own, details"
            " FROM store.audit_event JOIN store.audit_chain USING (chain_id)"
        ).fetchone()
    assert row == (1, True, True, {})


@pytest.fixture
def clerk(store: Store) -> Iterator[str]:
    """A login that may write events and adds no insight: a person's, not a daemon's."""
    name = f"clerk_{psycopg.conninfo.conninfo_to_dict(store._url)['dbname']}"
    with store.connection() as owner:
        for statement in (
            "CREATE ROLE {} LOGIN PASSWORD 'only-in-tests'",
            "GRANT USAGE ON SCHEMA store TO {}",
            "GRANT EXECUTE ON FUNCTION store.append_events TO {}",
        ):
            owner.execute(psql.SQL(statement).format(psql.Identifier(name)))
    yield psycopg.conninfo.make_conninfo(store._url, user=name, password="only-in-tests")
    with store.connection() as owner:
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            owner.execute(psql.SQL(statement).format(psql.Identifier(name)))


def test_a_login_writes_under_no_name_that_is_another_s(store: Store, clerk: str) -> None:
    fill(store, "erp1-0a1b", 1)  # a daemon's
    with psycopg.connect(clerk, autocommit=True) as person:
        audit.append(person, "insights dead", [Event("dead-letter retried")])
        for actor, event in (
            ("erp1-0a1b", "row deleted"),  # it would look like the daemon's own
            ("page anna", "texts read"),
            ("insights", "deployed"),
            ("audit retention", "events sealed"),
            ("insights dead", "insight"),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
                audit.append(person, actor, [Event("a"), Event(event)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            person.execute("SELECT store.chain_events('erp1-0a1b', '[]')")
    with (
        psycopg.connect(store._url) as owner,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="seal_events alone"),
    ):
        audit.append(owner, "audit retention", [Event("events sealed")])
    with store.connection() as owner:
        found = owner.execute(
            "SELECT actor, login = session_user AS own, login, length"
            " FROM store.audit_chain ORDER BY chain_id"
        ).fetchall()
    login = psycopg.conninfo.conninfo_to_dict(clerk)["user"]
    assert [(row.actor, row.own, row.length) for row in found] == [
        ("erp1-0a1b", True, 1),
        ("insights dead", False, 1),
    ]
    assert found[1].login == login
    assert wheres(Trail(store)) == []


# --- anchors --------------------------------------------------------------------------------------

REWRITE = """
DO $$ DECLARE e record; former bytea := decode(repeat('00', 32), 'hex'); BEGIN
    UPDATE store.audit_event SET details = '{"status": "withheld"}' WHERE chain_id = 1 AND number = 3;
    FOR e IN SELECT * FROM store.audit_event JOIN store.audit_chain USING (chain_id) WHERE chain_id = 1
             ORDER BY number LOOP
        former := sha256(former || convert_to(jsonb_build_array(e.chain_id, e.number,
            (extract(epoch FROM e.at) * 1000000)::bigint, e.actor, e.login, e.action, e.stream_id, e.row_id,
            e.insight_id, e.details)::text, 'UTF8'));
        UPDATE store.audit_event SET hash = former WHERE chain_id = 1 AND number = e.number;
    END LOOP;
    UPDATE store.audit_chain SET head = former WHERE chain_id = 1;
END $$
"""  # noqa: E501 - one statement
CUT = """
DELETE FROM store.audit_event WHERE chain_id = 1 AND number > 5;
UPDATE store.audit_chain SET length = 5,
    head = (SELECT hash FROM store.audit_event WHERE chain_id = 1 AND number = 5) WHERE chain_id = 1
"""
GONE = "DELETE FROM store.audit_event; DELETE FROM store.audit_chain"


@pytest.mark.parametrize("change", [REWRITE, CUT, GONE], ids=["written anew", "cut", "gone"])
def test_what_is_written_anew_with_right_hashes_only_an_anchor_shows(
    store: Store, change: str
) -> None:
    fill(store, "daemon", 10)
    trail = Trail(store)
    anchors = [f"Nov 29 insights[7]: audit anchored ends={' '.join(trail.ends().values())}"]
    fill(store, "daemon", 2)
    assert trail.verify(anchors).findings == []
    with store.connection() as owner:
        owner.execute("ALTER TABLE store.audit_event DISABLE TRIGGER ALL")
        owner.execute("ALTER TABLE store.audit_chain DISABLE TRIGGER ALL")
        owner.execute(change)
        for guard in ("append_only", "emptied_only"):
            on = f"ALTER TABLE store.audit_event ENABLE ALWAYS TRIGGER audit_event_{guard}"
            owner.execute(on.encode())
        owner.execute("ALTER TABLE store.audit_chain ENABLE ALWAYS TRIGGER audit_chain_kept")
    assert trail.verify().findings == []
    (found,) = trail.verify(anchors).findings
    assert found.where.startswith("chain 1")
    assert "anchor" in found.what


def test_a_daemon_keeps_the_ends_in_log_file_and_command(site: Site) -> None:
    kept, told = site.folder / "kept.jsonl", site.folder / "told.jsonl"
    site.extra = (
        f'[audit]\nanchor_file = "{kept.name}"\n'
        f'anchor_command = ["/bin/sh", "-c", "cat >> {told}"]\n'
    )
    log = site.write().insights("run", "--once").stderr
    store = Store(site.store_url).open()
    for lines in (kept.read_text(), told.read_text(), log):
        verdict = Trail(store).verify(lines.splitlines())
        assert verdict.anchors >= verdict.chains > 0
    store.close()
    said = site.insights("audit", "verify").stdout
    assert "events in" in said
    assert "compared with no anchor" not in said
    ((last, head),) = site.query(
        "SELECT length, encode(head, 'hex') FROM store.audit_chain WHERE length > 20"
    )
    assert f":{last}:{head}" in kept.read_text().splitlines()[-1]  # at its end as well
    assert kept.stat().st_mode & 0o077 == 0
    with psycopg.connect(site.store_url, autocommit=True) as owner:
        owner.execute("ALTER TABLE store.audit_event DISABLE TRIGGER ALL")
        owner.execute("UPDATE store.audit_event SET at = at - interval '1 day' WHERE number = 5")
    refused = site.insights("audit", "verify", "--anchors", str(told), code=38)
    assert "event 5 is not as it was written" in refused.stdout.replace("\n", " ")
    assert "changes are not refused" in refused.stdout
    assert "compare it with a backup" in refused.stderr.replace("\n", " ")


# --- retention ------------------------------------------------------------------------------------


def test_retention_takes_away_what_is_old_and_leaves_a_sealed_summary(
    store: Store, store_server: servers.Postgres
) -> None:
    fill(store, "daemon", 20)
    anchors = list(Trail(store).ends().values())
    with store.connection() as owner:
        row = owner.execute("SELECT clock_timestamp() AS before").fetchone()
        assert row is not None
        script = (folder("sql") / "grants" / "store_retention.sql").read_text(encoding="utf-8")
        owner.execute(psql.SQL(script))
        owner.execute("CREATE ROLE anna LOGIN PASSWORD 'only-in-tests' IN ROLE insights_retention")
    try:
        fill(store, "daemon", 5)
        url = psycopg.conninfo.make_conninfo(store._url, user="anna", password="only-in-tests")
        with psycopg.connect(url, autocommit=True) as anna:
            for statement in (
                "DELETE FROM store.audit_event",
                "SELECT * FROM store.audit_event",
                "SELECT store.append_events('me', '[]')",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    anna.execute(statement)
            sealed = anna.execute("SELECT * FROM store.seal_events(%s)", (row.before,)).fetchall()
            assert sealed == [(1, 20)]
            assert (
                anna.execute("SELECT * FROM store.seal_events(%s)", (row.before,)).fetchall() == []
            )
        fill(store, "daemon", 5)
        verdict = Trail(store).verify(anchors)
        assert (verdict.findings, verdict.events) == ([], 11)
        with store.connection() as owner:
            seal = owner.execute(
                "SELECT login, details FROM store.audit_event JOIN store.audit_chain"
                " USING (chain_id) WHERE action = 'events sealed'"
            ).fetchone()
            assert seal is not None
            assert (seal.login, seal.details["actions"], seal.details["last"]) == (
                "anna",
                {"insight": 20},
                20,
            )
            with pytest.raises(psycopg.errors.RaiseException):  # and not for long
                owner.execute("DELETE FROM store.audit_event")
        with psycopg.connect(url) as anna:
            anna.execute("SELECT * FROM store.seal_events(now())")
        assert wheres(Trail(store)) == []
    finally:
        store_server.execute(
            "DROP OWNED BY anna, insights_retention",
            database=store._url.rsplit("/", 1)[-1].split("?")[0],
        )
        store_server.execute("DROP ROLE anna")
        store_server.execute("DROP ROLE insights_retention")


# --- export ---------------------------------------------------------------------------------------


def alone(*arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run the exported program with Python's standard library and nothing else."""
    return subprocess.run(
        [sys.executable, "-I", "-S", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def test_an_export_is_checked_by_the_program_beside_it(site: Site, tmp_path: Path) -> None:
    site.write().run_once()
    out = tmp_path / "out"
    site.insights("audit", "export", str(out))
    export, program = out / "audit.jsonl", out / "verify.py"
    lines = export.read_text().splitlines()
    done = alone(program, export)
    assert (done.returncode, "all as they were written" in done.stdout) == (0, True), done.stdout
    with (tmp_path / "anchors").open("w") as anchors:
        anchors.write(f"1:{len(lines)}:{'0' * 64}\n")
    assert alone(program, export, tmp_path / "anchors").returncode == 1
    at = random.randrange(next(i for i, line in enumerate(lines) if "body" in line), len(lines) - 1)
    for changed in (
        lines[:at] + lines[at + 1 :],
        lines[:-1],
        lines[:-3],
        [*lines, lines[at]],
        [*lines[:at], "[]", *lines[at + 1 :]],
        [*lines[:at], re.sub(r"\d{16}", lambda m: str(int(m[0]) - 1), lines[at]), *lines[at + 1 :]],
    ):
        export.write_text("\n".join(changed) + "\n")
        done = alone(program, export)
        assert (done.returncode, "TAMPERED" in done.stdout) == (1, True), done.stdout
        assert done.stderr == ""
    refused = site.insights("audit", "export", str(out), code=78)
    assert "cannot be made" in refused.stderr


# --- migration ------------------------------------------------------------------------------------


def test_events_of_before_are_chained_as_they_stood_and_go_back(empty_store_url: str) -> None:
    migrate.upgrade(empty_store_url, "0014")
    read = "SELECT at, {}.actor, action, row_id, details FROM store.audit_event"
    with psycopg.connect(empty_store_url) as link:
        link.execute(
            "INSERT INTO store.audit_event (at, actor, action, row_id, details)"
            " SELECT now() - i * interval '1 hour', 'a' || i %% 2, 'insight', i, '{\"x\": 1.0}'"
            " FROM generate_series(50, 1, -1) i",
            (),
        )
        before = link.execute(read.format("audit_event") + " ORDER BY at").fetchall()
    migrate.upgrade(empty_store_url)
    store = Store(empty_store_url).open()
    fill(store, "a1", 3)
    verdict = Trail(store).verify()
    assert (verdict.findings, verdict.events, verdict.chains) == ([], 53, 3)
    with psycopg.connect(empty_store_url) as link:
        after = link.execute(
            read.format("audit_chain") + " JOIN store.audit_chain USING (chain_id)"
            " WHERE login = 'before the chain' ORDER BY at"
        ).fetchall()
    assert after == before
    store.close()
    migrate.downgrade(empty_store_url, "0014")
    with psycopg.connect(empty_store_url) as link:
        assert (
            link.execute(read.format("audit_event") + " ORDER BY at LIMIT 50").fetchall() == before
        )
