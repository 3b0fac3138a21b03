"""Every sink behaves alike: SQLite, MariaDB, PostgreSQL over ODBC, and the generic dialect."""

import datetime as dt
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from insights import errors
from insights.ground import keys
from insights.model import SinkSpec, SinkState
from insights.odbc import door
from insights.sinks.sink import SinkTable

Rows = list[tuple[Any, ...]]

SPEC = SinkSpec(
    name="helpdesk",
    source="helpdesk",
    table="ai_insight_triage",
    key=("tenant", "ticket_id"),
    view="ticket_with_insight",
    legacy_table="ticket",
    output_schema={
        "type": "object",
        "properties": {
            "category": {"enum": ["printing", "network"]},
            "urgency": {"type": "integer"},
            "score": {"type": "number"},
            "outage": {"type": "boolean"},
            "due": {"type": "string", "format": "date"},
            "next_step": {"type": "string", "maxLength": 40},
            "steps": {"type": "array"},
        },
    },
)
VALUES = {
    "category": "printing",
    "urgency": 3,
    "score": 0.25,
    "outage": True,
    "due": "2026-11-23",
    "next_step": "Restart the spooler",
    "steps": ["look", "restart"],
}
TICKETS = """
    CREATE TABLE ticket (
        tenant VARCHAR(12) NOT NULL, ticket_id INTEGER NOT NULL, status VARCHAR(10),
        PRIMARY KEY (tenant, ticket_id)
    )
"""


@dataclass
class Legacy:
    """A legacy database: its connection string as its owner, and what runs there."""

    engine: str
    odbc: str
    execute: Callable[[str], Rows]

    def table(self) -> Rows:
        return self.execute("SELECT * FROM ai_insight_triage ORDER BY tenant, ticket_id")


@pytest.fixture(params=["sqlite", "mariadb", "postgresql", "ansi"])
def legacy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Legacy]:
    if request.param == "sqlite":
        path = tmp_path / "legacy.sqlite"
        odbc = request.getfixturevalue("sqlite_odbc")(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as link:
            yield Legacy("sqlite", odbc, lambda sql: link.execute(sql).fetchall())
        return
    if request.param == "mariadb":
        pair = request.getfixturevalue("mariadb")
        name = request.getfixturevalue("mariadb_database")
        primary = pair.primary
        yield Legacy("mariadb", primary.odbc(name), lambda sql: primary.execute(sql, database=name))
        return
    if request.param == "ansi":  # what DB2 and others take, run on PostgreSQL
        patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        patch.setattr(door, "drivername", lambda _: "ansi+insights")
    server = request.getfixturevalue("postgres").primary
    name = request.getfixturevalue("postgres_database")
    yield Legacy(request.param, server.odbc(name), lambda sql: server.execute(sql, database=name))


@pytest.fixture
def sink(legacy: Legacy) -> Iterator[SinkTable]:
    legacy.execute(TICKETS)
    made = SinkTable(SPEC, legacy.odbc, timeout_s=5)
    script = made.ddl("postgresql" if legacy.engine == "ansi" else None)
    for statement in script.split(";\n"):
        if "CREATE" in statement:
            legacy.execute(statement)
    yield made
    made.close()


def state(ticket: int, revision: int, **changed: object) -> SinkState:
    made = SinkState(
        row_id=ticket,
        row_key=keys.join(("acme", str(ticket))),
        revision=revision,
        shows="current",
        status="ok",
        insight_id=ticket * 100 + revision,
        values=VALUES,
        citations="KB-0042, Printer queue reset",
        pipeline_version="ab" * 32,
        model="demo",
        source_cursor="2026-11-23 10:00:00",
        generated_at=dt.datetime(2026, 11, 23, 10, 0, 1, 500, tzinfo=dt.UTC),
    )
    return msgspec.structs.replace(made, **changed)


def test_an_insight_is_shown_beside_its_row(legacy: Legacy, sink: SinkTable) -> None:
    legacy.execute("INSERT INTO ticket VALUES ('acme', 1, 'open'), ('acme', 2, 'open')")
    (result,) = sink.apply([state(1, 7)])
    assert result == msgspec.structs.replace(result, revision=7, error=None, standing=None)
    first, second = legacy.execute(
        "SELECT ticket_id, status, category, urgency, score, outage, due, next_step, steps,"
        " citations, insight_id, revision, ai_status, source_cursor, model, generated_at"
        " FROM ticket_with_insight ORDER BY ticket_id"
    )
    assert (*first[:5], bool(first[5]), str(first[6]), *first[7:15], str(first[15])[:19]) == (
        *(1, "open", "printing", 3, 0.25, True, "2026-11-23"),
        *("Restart the spooler", "look; restart", "KB-0042, Printer queue reset"),
        *(107, 7, "ok", "2026-11-23 10:00:00", "demo", "2026-11-23 10:00:01"),
    )
    assert second == (2, "open", *[None] * 14)
    assert sink.max_revision() == 7


def test_a_repeat_a_late_duplicate_and_an_older_state_change_nothing(
    legacy: Legacy, sink: SinkTable
) -> None:
    newer = [state(1, 10, shows="stale"), state(2, 11), state(3, 12, shows="tombstoned")]
    sink.apply([state(1, 1), state(2, 2), state(3, 3)])
    sink.apply(newer)
    shown = legacy.table()
    again = sink.apply(newer)
    assert [result.standing for result in again] == [None, None, None]
    late = sink.apply([state(1, 9), state(2, 2), state(3, 3)])
    assert [result.standing for result in late] == [10, 11, 12]
    assert legacy.table() == shown
    assert sink.max_revision() == 12


def test_stale_and_deleted_rows_never_look_current(legacy: Legacy, sink: SinkTable) -> None:
    legacy.execute("INSERT INTO ticket VALUES ('acme', 1, 'open'), ('acme', 2, 'open')")
    sink.apply([state(1, 1), state(2, 2)])
    sink.apply([state(1, 3, shows="stale"), state(2, 4, shows="tombstoned")])
    assert legacy.execute(
        "SELECT category, citations, ai_status FROM ticket_with_insight ORDER BY ticket_id"
    ) == [(None, None, "stale"), (None, None, "tombstoned")]
    assert legacy.execute(
        "SELECT category, citations FROM ai_insight_triage ORDER BY ticket_id"
    ) == [("printing", "KB-0042, Printer queue reset"), (None, None)]
    sink.apply([state(2, 5)])  # the row came back
    assert legacy.execute("SELECT ai_status FROM ticket_with_insight WHERE ticket_id = 2") == [
        ("ok",)
    ]


@pytest.mark.parametrize("gone_revision", [11, 9])
@pytest.mark.parametrize("order", ["together", "live first", "gone first"])
def test_a_key_that_changed_only_in_case_stays_shown(
    legacy: Legacy, sink: SinkTable, order: str, gone_revision: int
) -> None:
    sink.apply([state(7, 1)])
    live = state(8, 10, row_key=keys.join(("ACME", "7")), insight_id=800)
    gone = state(7, gone_revision, shows="tombstoned", values={}, insight_id=None)
    told = {
        "together": [[gone, live]],
        "live first": [[live], [gone]],
        "gone first": [[gone], [live]],
    }
    for states in told[order]:
        for result in sink.apply(states):
            if result.standing is not None:  # the outbox gives it a new revision, and tells again
                (again,) = (one for one in states if one.row_id == result.row_id)
                sink.apply([msgspec.structs.replace(again, revision=result.standing + 1)])
    shown: dict[str, str] = dict(legacy.execute("SELECT tenant, status FROM ai_insight_triage"))
    if legacy.engine == "mariadb":  # whose collation takes the two keys for one
        assert shown == {"ACME": "ok"}
    else:
        assert shown == {"ACME": "ok", "acme": "tombstoned"}


def test_nothing_to_show_is_shown_as_nothing(legacy: Legacy, sink: SinkTable) -> None:
    sink.apply([state(1, 1, status="abstained", values={}, citations="")])
    assert legacy.execute("SELECT category, citations, status FROM ai_insight_triage") == [
        (None, None, "abstained")
    ]


def test_many_rows_with_awkward_keys(legacy: Legacy, sink: SinkTable) -> None:
    tenants = ["acme", "o'neil", 'q"t', "50%_", "Zoë", "a;b", "?", ":x"]
    states = [
        state(n, n + 1, row_key=keys.join((tenants[n % len(tenants)], str(n)))) for n in range(250)
    ]
    sink.apply(states)
    sink.apply(states)
    assert legacy.execute("SELECT COUNT(*) FROM ai_insight_triage") == [(250,)]
    found = {tenant for (tenant,) in legacy.execute("SELECT tenant FROM ai_insight_triage")}
    assert found == set(tenants)


def test_long_and_foreign_text_is_fitted(legacy: Legacy, sink: SinkTable) -> None:
    text = "Restart\x00 the spooler 👍 and call the user back"
    (result,) = sink.apply([state(1, 1, values={**VALUES, "next_step": text})])
    ((shown,),) = legacy.execute("SELECT next_step FROM ai_insight_triage")
    assert shown == "Restart the spooler 👍 and call the user…"
    assert result.notes == ("next_step: cleaned", "next_step: cut")


def test_one_bad_row_does_not_stop_the_others(legacy: Legacy, sink: SinkTable) -> None:
    states = [state(n, n) for n in range(1, 8)]
    states[2] = state(3, 3, values={**VALUES, "due": "soon"})
    states[4] = state(5, 5, values={**VALUES, "urgency": 2**70})
    states[5] = state(6, 6, row_key=keys.join(("acme", "six")))
    results = sink.apply(states)
    assert [result.row_id for result in results if result.error] == [3, 5, 6]
    assert results[2].error == "column due cannot hold this str"
    assert results[5].error == "the row's key is no whole number, as column ticket_id is"
    assert legacy.execute("SELECT COUNT(*) FROM ai_insight_triage") == [(4,)]


def test_a_row_that_the_database_refuses_stands_alone(legacy: Legacy, sink: SinkTable) -> None:
    legacy.execute(
        "CREATE UNIQUE INDEX one_urgency ON ai_insight_triage (urgency)"
    )  # a DBA's own constraint
    states = [state(n, n, values={**VALUES, "urgency": min(n, 4)}) for n in range(1, 7)]
    results = sink.apply(states)
    assert [result.row_id for result in results if result.error] == [5, 6]
    assert legacy.execute("SELECT COUNT(*) FROM ai_insight_triage") == [(4,)]


def test_columns_of_others_are_left_alone(legacy: Legacy, sink: SinkTable) -> None:
    sink.apply([state(1, 1)])
    legacy.execute("ALTER TABLE ai_insight_triage ADD COLUMN reviewed_by VARCHAR(20)")
    legacy.execute("UPDATE ai_insight_triage SET reviewed_by = 'ann'")
    sink.check()
    sink.apply([state(1, 2)])
    assert legacy.execute("SELECT reviewed_by, revision FROM ai_insight_triage") == [("ann", 2)]


def test_a_missing_table_is_named_with_its_remedy(legacy: Legacy) -> None:
    sink = SinkTable(SPEC, legacy.odbc, timeout_s=5)
    with pytest.raises(errors.SinkError, match="table ai_insight_triage does not exist") as caught:
        sink.apply([state(1, 1)])
    assert caught.value.where == "sink helpdesk"
    assert "insights sink ddl helpdesk" in caught.value.fix
    sink.close()


def test_a_missing_column_and_a_missing_key_are_named(legacy: Legacy, sink: SinkTable) -> None:
    legacy.execute("DROP VIEW ticket_with_insight")
    legacy.execute("ALTER TABLE ai_insight_triage DROP COLUMN urgency")
    with pytest.raises(errors.SinkError, match="lacks column urgency"):
        sink.check()
    legacy.execute("DROP TABLE ai_insight_triage")
    script = sink.ddl("postgresql" if legacy.engine == "ansi" else None)
    table = next(part for part in script.split(";\n") if "CREATE TABLE" in part)
    legacy.execute(table.replace(",\n    PRIMARY KEY (tenant, ticket_id)", ""))
    with pytest.raises(errors.SinkError, match=r"no unique key over exactly \(tenant, ticket_id\)"):
        sink.check()
    legacy.execute("CREATE UNIQUE INDEX k ON ai_insight_triage (ticket_id, tenant)")
    sink.check()


def test_a_dropped_table_stops_and_a_new_one_goes_on(legacy: Legacy, sink: SinkTable) -> None:
    sink.apply([state(1, 1)])
    table = sink.ddl("postgresql" if legacy.engine == "ansi" else None).split(";\n")[0]
    legacy.execute("DROP VIEW ticket_with_insight")
    legacy.execute("DROP TABLE ai_insight_triage")
    with pytest.raises(errors.SinkError, match="does not exist"):
        sink.apply([state(1, 2)])
    legacy.execute(table)
    sink.apply([state(1, 2)])
    assert sink.max_revision() == 2
