"""Least privilege: every right that is granted is needed, and what is not granted is refused."""

import contextlib
import datetime as dt
import re
from collections.abc import Iterator

import msgspec
import psycopg
import pyodbc
import pytest
from psycopg import sql as psql

from insights.model import SinkSpec, SinkState
from insights.sinks.sink import SinkTable
from insights.store import migrate, revision
from insights.store.postgres import Store
from insights.store.queries import folder, load
from tests import servers

SECRET = "only-in-tests"
ROLES = ("insights_owner", "insights_daemon", "insights_analyst", "analyst_anna")


def grants(name: str) -> str:
    return (folder("sql") / "grants" / f"{name}.sql").read_text(encoding="utf-8")


def statements(script: str) -> list[str]:
    bare = re.sub(r"--.*", "", script)
    return [part.strip() for part in bare.split(";") if part.strip()]


class Governed:
    """A store made as the files say: roles by a superuser, schema by its owner, then the grants."""

    def __init__(self, server: servers.Postgres, database: str) -> None:
        self.server = server
        self.database = database
        self.admin(grants("store_roles"))
        self.admin("CREATE ROLE analyst_anna LOGIN IN ROLE insights_analyst")
        for role in ("insights_owner", "insights_daemon", "analyst_anna"):
            self.admin(f"ALTER ROLE {role} PASSWORD '{SECRET}'")
        migrate.upgrade(self.url("insights_owner"))
        with self.link("insights_owner") as owner:
            for name in ("store_daemon", "store_analyst"):
                owner.execute(psql.SQL(grants(name)))

    def admin(self, script: str) -> None:
        self.server.execute(script, database=self.database)

    def url(self, role: str) -> str:
        return self.server.url(self.database, role, SECRET)

    def link(self, role: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url(role), autocommit=True)


@pytest.fixture(scope="module")
def governed(store_server: servers.Postgres) -> Iterator[Governed]:
    store_server.create_database("governed")
    yield Governed(store_server, "governed")
    store_server.drop_database("governed")
    for role in ROLES:
        store_server.execute(f"DROP ROLE IF EXISTS {role}")


def explained(statement: str) -> str:
    """Return a statement as EXPLAIN takes it: planned and checked for rights, never run."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match.group(1) not in names:
            names.append(match.group(1))
        return f"${names.index(match.group(1)) + 1}"

    text = re.sub(r"%\((\w+)\)s", number, statement).replace("%%", "%")
    return f"EXPLAIN (GENERIC_PLAN) {text}"


def store_statements() -> dict[str, str]:
    """Return what the daemon runs; what `retention.sql` has is for others."""
    found = {
        f"{file.stem}.{name}": statement
        for file in (folder("sql") / "store").glob("*.sql")
        if file.stem != "retention"
        for name, statement in load(file.stem).items()
    }
    utility = {
        name
        for name, text in found.items()
        if re.match(r"(--.*\n|\s)*(LOCK|COPY|CREATE|SET)", text)
    }
    for name in utility:
        del found[name]
    assert len(found) > 40
    return found


def prepared(link: psycopg.Connection[tuple[object, ...]]) -> None:
    """Make the temporary table that some statements read."""
    for name, statement in load("ledger").items():
        if name == "page_table":
            link.execute(statement)


def refused(link: psycopg.Connection[tuple[object, ...]], statement: str) -> bool:
    try:
        with link.transaction():
            link.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_the_daemon_may_run_every_statement_of_the_store(governed: Governed) -> None:
    with governed.link("insights_daemon") as link:
        prepared(link)
        link.execute("BEGIN")
        link.execute(load("outbox")["lock"])
        link.execute("ROLLBACK")
        for name, statement in store_statements().items():
            assert refused(link, explained(statement)) == (name == "stages.change"), name


def test_the_daemon_may_ask_what_it_asks_at_start(governed: Governed) -> None:
    store = Store(governed.url("insights_daemon")).open()
    revision.check(store)
    revision.check_collation(store)
    store.close()


# What a function does by its caller's rights is seen only when it runs.
BY_FUNCTIONS = {
    "store.work_page": [
        "SELECT store.queue_pages('{}')",
        "SELECT store.enter_page(1, 1::smallint, '{}', true, false)",
    ]
}


def test_every_right_of_the_daemon_is_needed(governed: Governed) -> None:
    wanted = store_statements()
    given = [
        (right.strip(), table.strip())
        for rights, tables in re.findall(
            r"GRANT ([A-Z, ]+(?: \(\w+\))?) ON ((?:store\.\w+(?:, )?)+) TO", grants("store_daemon")
        )
        for right in rights.split(",")
        for table in tables.split(",")
    ]
    assert len(given) > 30
    needless = []
    with governed.link("insights_daemon") as daemon, governed.link("insights_owner") as owner:
        prepared(daemon)
        for right, table in given:
            touched = [explained(text) for text in wanted.values() if table in text]
            touched += BY_FUNCTIONS.get(table, [])
            owner.execute(f"REVOKE {right} ON {table} FROM insights_daemon")
            if not any(refused(daemon, text) for text in touched):
                needless.append(f"{right} ON {table}")
            owner.execute(f"GRANT {right} ON {table} TO insights_daemon")
    assert needless == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT store.set_stage(1, 'full', 1, '', '', false, '{}')",
        "SELECT store.change_stage(1, 'full', 1, '', '', false, true, '{}')",
        "UPDATE store.deployment SET stage = 'full'",
        "UPDATE store.deployment SET held_reason = NULL",
        "UPDATE store.deployment SET watched_from = now()",
        "UPDATE store.deployment SET share = 1, shown_upto = 1",
        "INSERT INTO store.deployment VALUES (1, 1, 1, 1, 1, 'full')",
        "UPDATE store.insight SET output = '{}'",
        "DELETE FROM store.insight",
        "UPDATE store.citation SET quote = ''",
        "UPDATE store.insight SET prompt_tokens = 0",
        "UPDATE store.audit_event SET details = '{}'",
        "DELETE FROM store.audit_event",
        "TRUNCATE store.audit_event",
        "INSERT INTO store.audit_event VALUES (1, now(), 1, 1, 1, 1, '', 'insight', '{}')",
        "UPDATE store.audit_chain SET length = 0",
        "INSERT INTO store.audit_chain (actor, login) VALUES ('me', 'somebody else')",
        "SELECT store.seal_events(now())",
        "SELECT store.forget('s', 'k', '{}')",
        "SELECT store.allow_again('s', 'k')",
        "SELECT store.expire_insights(now(), 1)",
        "SELECT store.take_row(1)",
        "SELECT store.give_verdict()",
        "INSERT INTO store.feedback DEFAULT VALUES",
        "INSERT INTO insights.verdict (insight_id, verdict) VALUES (1, 'right')",
        "UPDATE store.forgotten SET state = 'completed'",
        "DELETE FROM store.forgotten",
        "ALTER TABLE store.audit_event DISABLE TRIGGER ALL",
        "UPDATE store.setting SET value = ''",
        "DELETE FROM store.ledger",
        "DELETE FROM store.work",
        "DELETE FROM store.inbox",
        "UPDATE store.submission SET hashes = '{}'",
        "DELETE FROM store.outbox",
        "DELETE FROM store.request",
        "DROP TABLE store.citation",
        "CREATE TABLE store.mine ()",
        "CREATE VIEW insights.mine AS SELECT 1",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "ALTER SEQUENCE store.revision RESTART",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY store.setting TO PROGRAM 'cat'",
        "SET ROLE insights_owner",
    ],
)
def test_the_daemon_cannot(governed: Governed, statement: str) -> None:
    with governed.link("insights_daemon") as link:
        assert refused(link, statement)


def test_analysts_read_the_views_and_nothing_else(governed: Governed) -> None:
    with governed.link("insights_owner") as owner:
        owner.execute("CREATE VIEW insights.later AS SELECT * FROM store.setting")
    with governed.link("analyst_anna") as link:
        views = "current", "citation", "history", "completeness", "request", "verdict", "later"
        for view in views:
            link.execute(f"SELECT * FROM insights.{view}")
        for statement in (
            "SELECT * FROM store.ledger",
            "SELECT * FROM store.passage",
            "SELECT nextval('store.revision')",
            "INSERT INTO insights.verdict (insight_id, verdict) VALUES (1, 'right')",
            "INSERT INTO insights.later VALUES ('a', 'b')",
            "CREATE VIEW insights.mine AS SELECT 1",
            "CREATE TABLE public.mine ()",
            "CREATE TEMPORARY TABLE mine ()",
            "DROP VIEW insights.later",
        ):
            assert refused(link, statement), statement


# --- legacy databases -----------------------------------------------------------------------------

SPEC = SinkSpec(
    name="helpdesk",
    source="helpdesk",
    table="ai_insight_triage",
    key=("ticket_id",),
    legacy_table="ticket",
    output_schema={"properties": {"category": {"enum": ["a", "b"]}}},
)
STATE = SinkState(
    row_id=1,
    row_key="1",
    revision=1,
    shows="current",
    status="ok",
    insight_id=1,
    values={"category": "a"},
    citations="",
    pipeline_version="ab",
    model="demo",
    source_cursor=None,
    generated_at=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
)
NEVER = (
    "DELETE FROM ticket",
    "UPDATE ticket SET status = 'x'",
    "INSERT INTO ticket VALUES (9, 'x')",
    "CREATE TABLE mine (a INTEGER)",
    "DROP TABLE ticket",
    "SELECT * FROM customer",
)


def cannot(odbc: str, attempts: tuple[str, ...]) -> None:
    with contextlib.closing(pyodbc.connect(odbc, autocommit=True)) as link:
        for statement in attempts:
            with pytest.raises(pyodbc.Error, match=r"denied|read-only|must be owner"):
                link.execute(statement)


@pytest.fixture(params=["mariadb", "postgresql"])
def legacy(request: pytest.FixtureRequest) -> Iterator[tuple[str, servers.Server, str]]:
    if request.param == "mariadb":
        server = request.getfixturevalue("mariadb").primary
        name = request.getfixturevalue("mariadb_database")
    else:
        server = request.getfixturevalue("postgres").primary
        name = request.getfixturevalue("postgres_database")
    server.execute(
        "CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY, status VARCHAR(9))", database=name
    )
    server.execute("CREATE TABLE customer (name VARCHAR(9))", database=name)
    server.execute("INSERT INTO ticket VALUES (1, 'open')", database=name)
    yield request.param, server, name
    for login in ("insights_reader", "insights_writer"):
        with contextlib.suppress(psycopg.Error, pyodbc.Error):
            if request.param == "mariadb":
                server.execute(f"DROP USER {login}@'%'")
            else:
                server.execute(f"DROP OWNED BY {login}", database=name)
                server.execute(f"DROP ROLE {login}")


def log_in(legacy: tuple[str, servers.Server, str], kind: str) -> str:
    engine, server, name = legacy
    for statement in statements(grants(f"{kind}_{engine}")):
        server.execute(statement, database=name)
    login = f"insights_{kind}"
    if engine == "postgresql":
        server.execute(f"ALTER ROLE {login} PASSWORD '{SECRET}'")
    secret = SECRET if engine == "postgresql" else "CHANGE-ME"
    assert isinstance(server, servers.MariaDb | servers.Postgres)
    return server.odbc(name, login, secret)


def test_the_reader_reads_its_table_and_cannot_do_more(
    legacy: tuple[str, servers.Server, str],
) -> None:
    odbc = log_in(legacy, "reader")
    with contextlib.closing(pyodbc.connect(odbc)) as link:
        assert [tuple(row) for row in link.execute("SELECT * FROM ticket")] == [(1, "open")]
    cannot(odbc, NEVER)


def test_the_writer_writes_its_table_and_cannot_do_more(
    legacy: tuple[str, servers.Server, str],
) -> None:
    _, server, name = legacy
    assert isinstance(server, servers.MariaDb | servers.Postgres)
    owner = SinkTable(SPEC, server.odbc(name), timeout_s=5)
    server.execute(statements(owner.ddl(None))[0], database=name)
    owner.close()
    odbc = log_in(legacy, "writer")
    sink = SinkTable(SPEC, odbc, timeout_s=5)
    assert sink.apply([STATE])[0].error is None
    assert sink.apply([msgspec.structs.replace(STATE, revision=2)])[0].standing is None
    assert sink.max_revision() == 2
    sink.close()
    cannot(
        odbc,
        (
            *NEVER,
            "SELECT * FROM ticket",
            "DELETE FROM ai_insight_triage",
            "DROP TABLE ai_insight_triage",
            "ALTER TABLE ai_insight_triage ADD COLUMN mine INTEGER",
        ),
    )
