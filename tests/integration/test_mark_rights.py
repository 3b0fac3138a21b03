"""Marks are changed by a login that may do nothing else; what it lacks is named, with the GRANT."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pyodbc
import pytest

from insights import errors
from insights.model import MarkChange, MarkSpec, Outcome
from insights.sinks.marks import MarkTable
from insights.store.queries import folder
from tests import servers

SPEC = MarkSpec(
    stream="tickets",
    source="primary",
    table="ticket",
    key=("ticket_id",),
    acknowledge=MarkChange(column="ai_status", old="pending", new="done"),
    reject=MarkChange(column="ai_status", old="pending", new="failed"),
)
TABLE = "CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY, body VARCHAR(9), ai_status VARCHAR(9))"
SECRET = "only-in-tests"
LOGIN = "insights_acknowledger"


class Primary:
    """A table on one engine, its owner, and the connection string of the login that tells it."""

    def __init__(self, execute: Callable[[str], servers.Rows], odbc: str) -> None:
        self.execute = execute
        self.odbc = odbc

    def marks(self) -> dict[int, str]:
        return dict(self.execute("SELECT ticket_id, ai_status FROM ticket"))


def _granted(engine: str, execute: Callable[[str], object]) -> None:
    text = (folder("sql") / "grants" / f"acknowledger_{engine}.sql").read_text(encoding="utf-8")
    for statement in re.sub(r"--.*", "", text).replace("CHANGE-ME", SECRET).split(";"):
        if statement.strip():
            execute(statement)


@pytest.fixture(params=["sqlite", "mariadb", "postgresql"])
def primary(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> Iterator[Primary]:
    if request.param == "sqlite":
        odbc = sqlite_odbc(tmp_path / "legacy.sqlite")
        with contextlib.closing(pyodbc.connect(odbc, autocommit=True)) as link:

            def run(statement: str) -> servers.Rows:
                cursor = link.execute(statement)
                return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

            run(TABLE)
            yield Primary(run, odbc)
        return
    pair = request.getfixturevalue("mariadb" if request.param == "mariadb" else "postgres")
    name = request.getfixturevalue(
        "mariadb_database" if request.param == "mariadb" else "postgres_database"
    )

    def execute(statement: str) -> servers.Rows:
        found: servers.Rows = pair.primary.execute(statement, database=name)
        return found

    execute(TABLE)
    _granted(request.param, execute)
    if request.param == "postgresql":
        execute(f"ALTER ROLE {LOGIN} PASSWORD '{SECRET}'")
    yield Primary(execute, pair.primary.odbc(name, LOGIN, SECRET))
    with contextlib.suppress(psycopg.Error, pyodbc.Error):
        if request.param == "mariadb":
            execute(f"DROP USER {LOGIN}@'%'")
        else:
            execute(f"DROP OWNED BY {LOGIN}")
            execute(f"DROP ROLE {LOGIN}")


def outcome(ticket: int, verb: str = "acknowledge", *, mark_rejected: bool = False) -> Outcome:
    return Outcome(
        row_id=ticket,
        row_key=str(ticket),
        verb="reject" if verb == "reject" else "acknowledge",
        requests=1,
        mark_rejected=mark_rejected,
    )


def test_only_marks_that_still_have_their_old_value_are_changed(primary: Primary) -> None:
    primary.execute("INSERT INTO ticket VALUES (1, 'a', 'pending'), (2, 'b', 'pending'),"
                    " (3, 'c', 'other'), (4, 'd', 'pending'), (5, 'e', NULL)")  # fmt: skip
    table = MarkTable(SPEC, primary.odbc, timeout_s=5)
    told, position = table.tell([outcome(1), outcome(2, "reject"), outcome(3), outcome(6)])
    assert [one.changed for one in told] == [True, True, False, False]
    again, later = table.tell([outcome(1), outcome(2)])  # a repeat; a row that was rejected
    assert [one.changed for one in again] == [False, False]
    assert position is not None
    assert later is not None
    (one,), _ = table.tell([outcome(2, mark_rejected=True)])  # its dead letter was retried
    assert one.changed
    table.close()
    assert primary.marks() == {1: "done", 2: "done", 3: "other", 4: "pending", 5: None}


def test_a_row_that_the_database_refuses_stands_alone(primary: Primary) -> None:
    if "SQLite" not in primary.odbc:
        pytest.skip("a trigger that refuses is written for one engine")
    primary.execute("INSERT INTO ticket VALUES (1, 'a', 'pending'), (2, 'b', 'pending')")
    primary.execute(
        "CREATE TRIGGER refusal BEFORE UPDATE ON ticket WHEN old.ticket_id = 2"
        " BEGIN SELECT raise(ABORT, 'no'); END"
    )
    table = MarkTable(SPEC, primary.odbc, timeout_s=5)
    told, _ = table.tell([outcome(1), outcome(2)])
    table.close()
    assert [(one.changed, one.error is None) for one in told] == [(True, True), (False, False)]
    assert primary.marks() == {1: "done", 2: "pending"}


def test_a_missing_right_is_named_with_its_grant(primary: Primary) -> None:
    if "SQLite" in primary.odbc:
        pytest.skip("a file has no grants")
    host = "@'%'" if "MariaDB" in primary.odbc else ""
    primary.execute("INSERT INTO ticket VALUES (1, 'a', 'pending')")
    table = MarkTable(SPEC, primary.odbc, timeout_s=5)
    table.check()
    for right in ("UPDATE (ai_status)", "SELECT (ticket_id, ai_status)"):
        primary.execute(f"REVOKE {right} ON ticket FROM {LOGIN}{host}")
        with pytest.raises(errors.SinkError) as caught:
            table.tell([outcome(1)])
        assert "ticket" in caught.value.what
        grant = caught.value.fix[caught.value.fix.index("GRANT") :].rstrip(";")
        assert "UPDATE (ai_status) ON ticket TO" in grant
        primary.execute(re.sub(r"TO .*", f"TO {LOGIN}{host}", grant))
    table.tell([outcome(1)])
    table.close()
    assert primary.marks() == {1: "done"}
    with contextlib.closing(pyodbc.connect(primary.odbc, autocommit=True)) as link:
        for statement in (
            "UPDATE ticket SET body = 'x'",
            "SELECT body FROM ticket",
            "INSERT INTO ticket VALUES (9, 'x', 'x')",
            "DELETE FROM ticket",
            "DROP TABLE ticket",
        ):
            with pytest.raises(pyodbc.Error, match=r"denied|must be owner"):
                link.execute(statement)


def test_a_missing_column_is_named(primary: Primary) -> None:
    change = MarkChange(column="ai_state", old="pending", new="done")
    spec = MarkSpec(
        stream="tickets", source="p", table="ticket", key=("ticket_id",), acknowledge=change
    )
    table = MarkTable(spec, primary.odbc, timeout_s=5)
    with pytest.raises(errors.SinkError, match="no column ai_state") as caught:
        table.check()
    assert caught.value.where == "marks of stream tickets"
    table.close()
