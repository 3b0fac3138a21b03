"""What a process with doors may do in the store: accept and tell, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql as psql

from insights.governance import access
from insights.store.queries import folder, load
from insights.wiring import doors
from insights.wiring.app import open_app
from tests import servers
from tests.site import Site

SECRET = "only-in-tests"
SCRIPT = (folder("sql") / "grants" / "store_door.sql").read_text(encoding="utf-8")
ROW = {"id": 1, "subject": "printer", "body": "It does not print."}


@pytest.fixture
def site(
    tmp_path: Path,
    store_server: servers.Postgres,
    store_url: str,
    stand_in: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    """An installation with a door, whose settings name the door's own login."""
    database = store_url.rpartition("/")[2].partition("?")[0]
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    made.sink = False
    made.write()
    for name, value in made.env().items():
        monkeypatch.setenv(name, value)
    with open_app(made.config, begin=True) as app:
        app.register(app.definition("triage"))
    for _ in range(2):  # repeating it changes nothing
        store_server.execute(SCRIPT, database=database)
    store_server.execute(f"ALTER ROLE insights_door PASSWORD '{SECRET}'", database=database)
    monkeypatch.setenv("INSIGHTS_STORE__URL", store_server.url(database, "insights_door", SECRET))
    yield made
    store_server.execute("DROP OWNED BY insights_door; DROP ROLE insights_door", database=database)


def rights() -> list[tuple[str, str]]:
    bare = re.sub(r"--.*", "", SCRIPT)
    return [
        (right.strip(), table.strip())
        for given, tables in re.findall(
            r"GRANT ([A-Z, ]+(?: \(\w+\))?) ON (store\.[^;]+?) TO", bare
        )
        for right in given.split(",")
        for table in tables.split(",")
    ]


def refused(link: psycopg.Connection[tuple[object, ...]], statement: str) -> bool:
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    text = re.sub(r"%\((\w+)\)s", lambda m: f"${names.index(m[1]) + 1}", statement)
    try:
        with link.transaction():
            link.execute(psql.SQL(f"EXPLAIN (GENERIC_PLAN) {text.replace('%%', '%')}"))
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_a_door_accepts_tells_and_cancels_with_its_own_login(site: Site) -> None:
    with open_app(site.config) as app:
        door = doors.doors(app)
        (ticket,) = door.submit("triage", [ROW], client="erp", idempotency_key="k")
        door.submit("triage", [{**ROW, "body": "It burns."}], client="erp")
        (again,) = door.submit("triage", [ROW], client="erp", idempotency_key="k")
        assert again.id == ticket.id
        (last,) = door.submit("triage", [ROW], client="erp")
        assert door.outcomes([last.id])[last.id].standing == "queued"
        assert door.waiting("triage", 10) == 1
        cancelled = door.cancel(last.id, actor="erp")
        assert cancelled is not None
        assert cancelled.standing == "cancelled"


def test_every_right_is_needed(site: Site, store_server: servers.Postgres) -> None:
    database = site.store_url.rpartition("/")[2].partition("?")[0]
    wanted = {
        name: load(name.split(".")[0])[name.split(".")[1]]
        for command in ("serve", "listen")
        for name in access.COMMANDS[command].statements
    }
    given = rights()
    assert len(given) > 20
    needless = []
    url = store_server.url(database, "insights_door", SECRET)
    with (
        psycopg.connect(url, autocommit=True) as link,
        psycopg.connect(site.store_url, autocommit=True) as owner,
    ):
        link.execute(load("ledger")["page_table"])
        assert [name for name, text in wanted.items() if refused(link, text)] == []
        for right, table in given:
            owner.execute(psql.SQL(f"REVOKE {right} ON {table} FROM insights_door"))
            if not any(refused(link, text) for text in wanted.values()):
                needless.append(f"{right} ON {table}")
            owner.execute(psql.SQL(f"GRANT {right} ON {table} TO insights_door"))
        for statement in (
            "SELECT * FROM store.setting",
            "SELECT * FROM store.passage",
            "SELECT * FROM store.document",
            "SELECT * FROM store.audit_event",
            "SELECT * FROM insights.current",
            "INSERT INTO store.insight DEFAULT VALUES",
            "UPDATE store.insight SET output = '{}'",
            "UPDATE store.stream SET paused = true",
            "INSERT INTO store.setting VALUES ('hash_key_check', 'x')",
            "INSERT INTO store.deployment DEFAULT VALUES",
            "DELETE FROM store.work",
            "DELETE FROM store.inbox",
            "DELETE FROM store.submission",
            "TRUNCATE store.inbox",
            "SELECT store.seal_events(now())",
            "CREATE TABLE store.mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), link.transaction():
                link.execute(psql.SQL(statement))
    assert needless == []
