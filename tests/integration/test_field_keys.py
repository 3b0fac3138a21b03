"""Keys as people have them: what tells rows apart is believed, and sinks show each row its own."""

import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from insights import errors
from insights.model import SinkSpec
from insights.sinks.sink import SinkTable
from tests.conformance.test_sinks import state
from tests.integration.test_field_reports import client_runs
from tests.legacy import Legacy, MariaDbLegacy, PostgresLegacy, reading, stream, walk


def shown(app: Legacy, count: Callable[[str], Sequence[tuple[object, ...]]], table: str) -> None:
    """Make a table's sink by its own DDL, publish each row twice, and see each beside its row."""
    with reading(app.odbc) as client:
        spec = stream(table=table, key=("k",), inputs=("k",))
        keys = [key.replace("\\\\", "\\") for key in walk(client, spec)]
        assert sorted(row.key for row in client.fetch(spec, keys)) == sorted(keys)
    sink = SinkTable(
        SinkSpec(
            name="s", source="s", table=f"ai_{table}", key=("k",), view=f"v_{table}",
            legacy_table=table,
            output_schema={"type": "object", "properties": {"word": {"type": "string"}}},
        ),
        app.primary_odbc,
        timeout_s=5,
    )  # fmt: skip
    try:
        for statement in sink.ddl(None).split(";\n"):
            if "CREATE" in statement:
                app.execute(re.sub(r"^--.*\n", "", statement.strip()))
        for revision in (7, 8):
            states = [
                state(at, revision, row_key=key, values={"word": f"{at} {revision}"})
                for at, key in enumerate(keys)
            ]
            assert [done.error for done in sink.apply(states)] == [None] * len(keys)
    finally:
        sink.close()
    (found,) = count(f"SELECT count(*), count(word), count(DISTINCT word) FROM v_{table}")
    assert found == (len(keys), len(keys), len(keys))


def test_sinks_of_mariadb_are_keyed_as_their_tables_are(maria: MariaDbLegacy) -> None:
    types = [
        ("BINARY(16)", "x'00112233445566778899aabbccddeeff'", "x'ff'"),
        ("VARBINARY(9)", "'a'", "x'ff00'"),
        ("TINYBLOB", "'a'", "x'ff'"),
        ("TEXT COLLATE utf8mb4_bin", "'a'", "'A'"),
        ("INET6", "'::1'", "'::2'"),
        ("UUID", "'550e8400-e29b-41d4-a716-446655440000'", "uuid()"),
        ("BIGINT UNSIGNED", "18446744073709551615", "18446744073709551614"),
        ("BIT(9)", "b'1'", "b'100000000'"),
        ("YEAR", "0", "2024"),
        ("FLOAT(7,2)", "0.1", "12345.67"),
        ("DECIMAL(9,2) ZEROFILL", "0", "12345.67"),
        ("DECIMAL(9,2) UNSIGNED", "0.01", "12345.67"),
        ("DOUBLE UNSIGNED", "0.1", "1e300"),
    ]
    script = ["SET sql_mode = ''"]
    for at, (type_, *values) in enumerate(types):
        part = "(9)" if type_.startswith(("TEXT", "TINYBLOB")) else ""
        script.append(f"CREATE TABLE t{at} (k {type_} NOT NULL, PRIMARY KEY (k{part}))")
        script.append(f"INSERT INTO t{at} VALUES ({'), ('.join(values)})")
    client_runs(maria, ";".join(script))
    primary, database = maria._pair.primary, maria._database
    for at in range(len(types)):
        shown(maria, lambda sql: primary.execute(sql, database=database), f"t{at}")


def test_sinks_of_postgres_are_keyed_as_their_tables_are(postgres_app: PostgresLegacy) -> None:
    for statement in (
        "CREATE SCHEMA other",
        "CREATE TYPE other.sev AS ENUM ('low', 'high')",
        "CREATE DOMAIN code AS text CHECK (value <> '')",
        "CREATE DOMAIN stage AS other.sev",
    ):
        postgres_app.execute(statement)
    types = [
        ("bytea", "'\\x00'", "'\\xff5c'"),
        ("macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"),
        ("pg_lsn", "'0/1'", "'1/0'"),
        ("other.sev", "'low'", "'high'"),
        ("code", "'a'", "'b'"),
        ("stage", "'low'", "'high'"),
        ("money", "'-12.50'", "'1000'"),
    ]
    for at, (type_, *values) in enumerate(types):
        postgres_app.execute(f"CREATE TABLE t{at} (k {type_} PRIMARY KEY)")
        postgres_app.execute(f"INSERT INTO t{at} VALUES ({'), ('.join(values)})")
    postgres_app.sync()
    primary, database = postgres_app._pair.primary, postgres_app._database
    for at in range(len(types)):
        shown(postgres_app, lambda sql: primary.execute(sql, database=database), f"t{at}")


def test_a_domain_over_an_enumeration_walks_its_index(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute("CREATE SCHEMA other")
    postgres_app.execute("CREATE TYPE other.step AS ENUM ('z', 'a', 'm')")
    postgres_app.execute("CREATE DOMAIN stage AS other.step")
    postgres_app.execute("CREATE TABLE ticket (s stage, n int, x text, PRIMARY KEY (s, n))")
    for step in ("a", "z", "m"):
        postgres_app.execute(
            f"INSERT INTO ticket SELECT '{step}', g, 'x' FROM generate_series(1, 4000) g"
        )
    postgres_app.execute("ANALYZE ticket")
    postgres_app.sync()
    spec = stream(key=("s", "n"), inputs=("x",), page_rows=1500)
    with reading(postgres_app.odbc) as client:
        client.inspect(spec)
        assert [one.what for one in client.examine(spec) if one.level == "error"] == []
        found = list(walk(client, spec))
        assert (len(found), found[0], found[-1]) == (12_000, '["z","1"]', '["m","4000"]')
        assert len(client.fetch(spec, found[:3])) == 3
        window = client.window(stream(key=("s", "n"), inputs=("x",), cursor="s"), None)
        assert (window.low, window.high) == ("z", "m")


def test_the_parts_of_a_partitioned_table_are_merged_in_the_order_of_their_indexes(
    postgres_app: PostgresLegacy,
) -> None:
    postgres_app.execute(
        "CREATE TABLE ticket (id int, at date, x text, PRIMARY KEY (id, at))"
        " PARTITION BY RANGE (at)"
    )
    postgres_app.execute(
        "CREATE TABLE old PARTITION OF ticket FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"
    )
    postgres_app.execute("CREATE TABLE new PARTITION OF ticket DEFAULT")
    postgres_app.execute(
        "INSERT INTO ticket SELECT g, date '2026-01-01' + g / 200, 'x'"
        " FROM generate_series(1, 12000) g"
    )
    postgres_app.execute("ANALYZE ticket")
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        spec = stream(key=("id", "at"), inputs=("x",))
        client.inspect(spec)
        assert [one.what for one in client.examine(spec) if one.level == "error"] == []
        assert len(walk(client, spec)) == 12_000
        with pytest.raises(errors.StreamError, match="would scan"):
            client.inspect(stream(key=("id", "at"), inputs=("x",), cursor="x"))


def test_a_column_without_a_name_is_told_as_what_it_is(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    link = sqlite3.connect(tmp_path / "app.sqlite")
    link.executescript('CREATE TABLE ticket (id INTEGER PRIMARY KEY, "" TEXT, x TEXT)')
    link.close()
    with reading(sqlite_odbc(tmp_path / "app.sqlite")) as client:
        with pytest.raises(errors.StreamError, match="column without a name") as caught:
            client.inspect(stream(inputs=("x",)))
        assert "a query that names the columns" in caught.value.fix
        client.inspect(stream(table=None, query="SELECT id, x FROM ticket", inputs=("x",)))


@pytest.mark.parametrize(
    ("index", "keeps"),
    [
        ("(code) WHERE active", False),
        ("(code, lower(x))", False),
        ("(code) INCLUDE (x) WHERE active", False),
        ("(code) INCLUDE (x)", True),
    ],
)
def test_only_an_index_over_all_rows_keeps_a_key(
    postgres_app: PostgresLegacy,
    index: str,
    keeps: bool,  # noqa: FBT001
) -> None:
    postgres_app.execute("CREATE TABLE ticket (code text NOT NULL, x text, active boolean)")
    postgres_app.execute(f"CREATE UNIQUE INDEX ON ticket {index}")
    postgres_app.execute("INSERT INTO ticket VALUES ('a', 'x', true), ('b', 'z', true)")
    if not keeps:
        postgres_app.execute("INSERT INTO ticket VALUES ('a', 'y', false)")
    postgres_app.sync()
    spec = stream(key=("code",), inputs=("x",))
    with reading(postgres_app.odbc) as client:
        if keeps:
            client.inspect(spec)
            return
        with pytest.raises(errors.StreamError, match="one key is there twice"):
            client.inspect(spec)
        assert client.describe("ticket").key == ()


def test_a_partial_index_of_sqlite_keeps_no_key(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    link = sqlite3.connect(tmp_path / "app.sqlite")
    link.executescript(
        "CREATE TABLE ticket (code TEXT NOT NULL, x TEXT, y TEXT);"
        "CREATE UNIQUE INDEX u ON ticket (code) WHERE x = 'q';"
        "INSERT INTO ticket VALUES ('a', '1', 's'), ('a', '2', 's')"
    )
    link.close()
    with (
        reading(sqlite_odbc(tmp_path / "app.sqlite")) as client,
        pytest.raises(errors.StreamError, match="one key is there twice"),
    ):
        client.inspect(stream(key=("code",), inputs=("x",)))


def test_rows_of_a_table_with_versions_are_told_apart_by_what_they_are_now(
    maria: MariaDbLegacy,
) -> None:
    client_runs(
        maria,
        "CREATE TABLE ticket (id INT PRIMARY KEY, subject VARCHAR(9),"
        " rs TIMESTAMP(6) GENERATED ALWAYS AS ROW START,"
        " re TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE,"
        " PERIOD FOR SYSTEM_TIME (rs, re)) WITH SYSTEM VERSIONING;"
        "INSERT INTO ticket (id, subject) VALUES (1, 'a'), (2, 'b');"
        "UPDATE ticket SET subject = 'c' WHERE id = 1",
    )
    with reading(maria.odbc) as client:
        spec = stream(inputs=("subject",), cursor="rs", page_rows=1)
        client.inspect(spec)
        assert set(walk(client, spec)) == {"1", "2"}
        assert client.describe("ticket").key == ("id",)


def test_an_identifier_may_be_a_cursor(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute("CREATE TABLE ticket (id uuid PRIMARY KEY, subject text)")
    for at in range(3):
        value = f"0190000{at}-0000-7000-8000-000000000000"
        postgres_app.execute(f"INSERT INTO ticket VALUES ('{value}', 's')")
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        spec = stream(inputs=("subject",), cursor="id", page_rows=1)
        window = client.window(spec, None)
        assert (window.low or "")[:8] == "01900000"
        assert window.high == window.safe_high == "01900002-0000-7000-8000-000000000000"
        assert len(walk(client, spec, by="cursor")) == 3


@pytest.mark.parametrize(
    ("type_", "values", "why"),
    [
        ("boolean", ("false", "true"), None),
        ("xid", ("'9'", "'10'"), "new values do not come last"),
        ("pg_lsn", ("'0/9'", "'0/10'"), "new values do not come last"),
        ("money", ("9", "10"), "new values do not come last"),
        ("point", ("'(1,2)'", "'(3,4)'"), "new values do not come last"),
        ("bytea", ("'\\x01'", "'\\xff'"), None),
        ("macaddr", ("'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"), None),
        ("inet", ("'9.0.0.1'", "'10.0.0.1'"), None),
        ("interval", ("'9 s'", "'1 min'"), None),
        ("date", ("'0001-01-01'", "'2026-01-01'"), None),
        ("timestamptz", ("'-infinity'", "'2026-01-01 00:00:00.000001+00'"), None),
        ("varchar(9)", ("'a'", "'b'"), None),
        ("numeric", ("9", "10.000000000000000000001"), None),
    ],
)
def test_a_cursor_of_any_type_is_walked_to_its_end_or_refused(
    postgres_app: PostgresLegacy, type_: str, values: tuple[str, str], why: str | None
) -> None:
    postgres_app.execute(f"CREATE TABLE ticket (id int PRIMARY KEY, subject text, c {type_})")
    for at, value in enumerate(values):
        postgres_app.execute(f"INSERT INTO ticket VALUES ({at}, 's', {value})")
    postgres_app.sync()
    cursor_is_walked_or_refused(postgres_app, why)


def cursor_is_walked_or_refused(app: Legacy, why: str | None) -> None:
    with reading(app.odbc) as client:
        for columns in ({}, {"table": None, "query": "SELECT id, subject, c FROM ticket"}):
            spec = stream(inputs=("subject",), cursor="c", page_rows=1, **columns)
            if why is not None and not columns:
                with pytest.raises(errors.StreamError, match=why) as caught:
                    client.inspect(spec)
                assert "c cannot be a cursor: it is of type" in caught.value.what
                assert "casts it" in caught.value.fix
            elif why is None:
                try:
                    client.inspect(spec)
                except errors.StreamError as exc:  # a query's columns have no types of their own
                    assert columns
                    assert re.search("no least and no|not found again", exc.what)  # noqa: PT017
                    continue
                assert list(walk(client, spec, by="cursor")) == ["0", "1"]
                window = client.window(spec, None)
                assert window.rows == 2
                last = walk(client, spec, by="cursor")["1"]
                assert window.high == last[1].replace("\\\\", "\\")
                assert client.window(spec, window.high).rows == 1


@pytest.mark.parametrize(
    ("type_", "values", "why"),
    [
        ("UUID", ("'01900000-0000-7000-8000-000000000000'", "uuid()"), None),
        ("INET6", ("'9::1'", "'10::1'"), "new values do not come last"),
        ("INET4", ("'9.0.0.1'", "'10.0.0.1'"), "new values do not come last"),
        ("SET('b', 'a')", ("'b'", "'a'"), "new values do not come last"),
        ("POINT", ("POINT(1, 2)", "POINT(3, 4)"), "new values do not come last"),
        ("BIT(9)", ("b'1'", "b'100000000'"), None),
        ("YEAR", ("1999", "2024"), None),
        ("BINARY(2)", ("x'0001'", "x'ff00'"), None),
        ("TIMESTAMP(6) NULL", ("'2026-10-25 00:30:00'", "'2026-10-25 01:30:00.000001'"), None),
        ("DATETIME", ("'0000-00-00'", "'9999-12-31 23:59:59'"), None),
        ("TIME", ("'-838:59:59'", "'838:59:59'"), None),
        ("DECIMAL(30,10)", ("9", "10.0000000001"), None),
    ],
)
def test_a_cursor_of_any_type_of_mariadb_is_walked_to_its_end_or_refused(
    maria: MariaDbLegacy, type_: str, values: tuple[str, str], why: str | None
) -> None:
    script = f"SET sql_mode = ''; CREATE TABLE ticket (id INT PRIMARY KEY, subject TEXT, c {type_})"
    rows = ", ".join(f"({at}, 's', {value})" for at, value in enumerate(values))
    client_runs(maria, f"{script}; INSERT INTO ticket VALUES {rows}")
    cursor_is_walked_or_refused(maria, why)
