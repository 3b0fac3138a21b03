"""A sink whose grant, table or database is missing says so, with the remedy; then it goes on."""

import datetime as dt
from collections.abc import Callable

import pytest

from insights import errors
from insights.model import SinkSpec, SinkState
from insights.sinks.client import SinkClient
from insights.sinks.sink import SinkTable
from tests import servers

SPEC = SinkSpec(
    name="helpdesk",
    source="helpdesk",
    table="ai_insight_triage",
    key=("ticket_id",),
    legacy_table="ticket",
    output_schema={"properties": {"category": {"enum": ["a", "b"]}, "note": {"type": "string"}}},
)


def state(ticket: int, revision: int, note: str = "fine") -> SinkState:
    return SinkState(
        row_id=ticket,
        row_key=str(ticket),
        revision=revision,
        shows="current",
        status="ok",
        insight_id=revision,
        values={"category": "a", "note": note},
        citations="",
        pipeline_version="ab",
        model="demo",
        source_cursor=None,
        generated_at=dt.datetime(2026, 11, 23, tzinfo=dt.UTC),
    )


def make(sink: SinkTable, execute: Callable[[str], object]) -> None:
    for statement in sink.ddl(None).split(";\n"):
        if "CREATE" in statement:
            execute(statement)


def each_right(odbc: str, execute: Callable[[str], object], login: str) -> None:
    """Take each right away in turn; the message has the statement that gives it back."""
    sink = SinkTable(SPEC, odbc, timeout_s=5)
    sink.apply([state(1, 1)])
    for number, (right, verb) in enumerate(
        [("INSERT", "INSERT into"), ("UPDATE", "UPDATE"), ("SELECT", "SELECT from")], 2
    ):
        execute(f"REVOKE {right} ON ai_insight_triage FROM {login}")
        with pytest.raises(errors.SinkError, match="ai_insight_triage") as caught:
            sink.apply([state(1, number), state(number, number)])
        assert verb in caught.value.what or "cannot see it" in caught.value.what
        grant = caught.value.fix[caught.value.fix.index("GRANT") :].rstrip(";")
        assert grant.startswith("GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO")
        execute(grant.replace("writer@%", "'writer'@'%'"))
        sink.apply([state(1, number), state(number, number)])
    assert sink.max_revision() == 4
    sink.close()


def test_each_missing_grant_on_mariadb(mariadb: servers.MariaDbPair, mariadb_database: str) -> None:
    def execute(statement: str) -> object:
        return mariadb.primary.execute(statement, database=mariadb_database)

    execute("CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY)")
    make(SinkTable(SPEC, mariadb.primary.odbc(mariadb_database), timeout_s=5), execute)
    execute("CREATE USER 'writer'@'%' IDENTIFIED BY 'writer-secret'")
    try:
        execute("GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO 'writer'@'%'")
        each_right(
            mariadb.primary.odbc(mariadb_database, "writer", "writer-secret"),
            execute,
            "'writer'@'%'",
        )
    finally:
        execute("DROP USER 'writer'@'%'")


def test_each_missing_grant_on_postgresql(
    postgres: servers.PostgresPair, postgres_database: str
) -> None:
    def execute(statement: str) -> object:
        return postgres.primary.execute(statement, database=postgres_database)

    execute("CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY)")
    make(SinkTable(SPEC, postgres.primary.odbc(postgres_database), timeout_s=5), execute)
    execute("CREATE ROLE writer LOGIN PASSWORD 'writer-secret'")
    try:
        execute("GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO writer")
        each_right(
            postgres.primary.odbc(postgres_database, "writer", "writer-secret"), execute, "writer"
        )
    finally:
        execute("DROP OWNED BY writer")
        execute("DROP ROLE writer")


def test_text_for_an_old_character_set(mariadb: servers.MariaDbPair, mariadb_database: str) -> None:
    primary = mariadb.primary
    primary.execute(f"ALTER DATABASE {mariadb_database} CHARACTER SET latin1")
    primary.execute(
        "CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY)", database=mariadb_database
    )
    sink = SinkTable(SPEC, primary.odbc(mariadb_database), timeout_s=5)
    make(sink, lambda statement: primary.execute(statement, database=mariadb_database))
    (result,) = sink.apply([state(1, 1, note="„Zoë“ → 日本 " + "x" * 70_000)])
    sink.close()
    ((note,),) = primary.execute("SELECT note FROM ai_insight_triage", database=mariadb_database)
    assert note.startswith("„Zoë“ -> ?? xxx")
    assert len(note) == 65_535  # TEXT holds as many bytes
    assert note.endswith("…")
    assert result.notes == ("note: replaced", "note: cut")


def test_a_database_that_is_down_is_an_outage_and_no_error_of_the_sink() -> None:
    port = servers.free_port()
    for driver in ("MariaDB Unicode", "PostgreSQL Unicode"):
        odbc = f"DRIVER={{{driver}}};SERVER=127.0.0.1;PORT={port};UID=u;PWD=p;DATABASE=d"
        sink = SinkClient(SPEC, odbc, timeout_s=5)
        with pytest.raises(errors.SinkUnavailable, match="does not answer") as caught:
            sink.check()
        assert caught.value.where == "sink helpdesk"
        assert "p;DATABASE" not in str(caught.value)
        sink.close()
