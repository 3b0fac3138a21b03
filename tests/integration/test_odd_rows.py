"""Values and keys that drivers spoil, on the engine that has them: read, or refused by name."""

import itertools
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from insights import errors
from insights.ground import keys
from insights.sources.client import SourceClient
from tests.legacy import MariaDbLegacy, PostgresLegacy, reading, stream, walk


def _agree(client: SourceClient, count: int, **changes: object) -> dict[str, dict[str, str | None]]:
    """Walk in small pages by every way, fetch each row by its key; return values by key."""
    spec = stream(**{"page_rows": 2, **changes})
    client.inspect(spec)
    paged = walk(client, spec, by="key")
    assert len(paged) == count
    if spec.cursor:
        by_cursor = walk(client, spec, by="cursor")
        assert by_cursor == {key: row for key, row in paged.items() if row[1] != "\\N"}
    unescaped = [key.replace("\\\\", "\\") for key in paged]
    rows = client.fetch(spec, unescaped)
    assert sorted(row.key for row in rows) == sorted(unescaped)
    assert {row.key.replace("\\", "\\\\"): row.input_hash.hex() for row in rows} == {
        key: digest for key, (digest, _) in paged.items()
    }
    return {row.key: row.values for row in rows}


def test_sqlite_values_of_any_storage_class(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    path = tmp_path / "odd.sqlite"
    link = sqlite3.connect(path)
    link.execute("CREATE TABLE ticket (id INTEGER PRIMARY KEY, subject TEXT, body)")
    odd = [
        None,
        "",
        b"",
        "a\0b",
        0.1,
        1 << 62,
        b"\x00\xff",
        "grün",
        "x" * 70_000,
    ]
    for number, value in enumerate(odd):
        link.execute("INSERT INTO ticket VALUES (?, 's', ?)", (number, value))
    link.execute("INSERT INTO ticket VALUES (90, CAST(x'61ff62' AS TEXT), NULL)")
    link.execute("INSERT INTO ticket VALUES (91, CAST(x'61eda08062' AS TEXT), NULL)")
    link.commit()
    with reading(sqlite_odbc(path)) as client:
        values = _agree(client, len(odd) + 2)
        assert [values[str(number)]["body"] for number in range(9)] == [
            None, "", "", "a\ufffdb", "0.1", str(1 << 62), "\ufffd\ufffd", "grün", "x" * 70_000,
        ]  # fmt: skip
        rows = client.fetch(stream(), ["3", "90", "91"])
        assert [row.notes for row in rows] == [
            ("body: NUL replaced",),
            ("subject: invalid bytes replaced",),
            ("subject: invalid bytes replaced",),
        ]
    link.close()


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("REAL", [0.1, 0.1 + 2**-55, 1e300, -1.5, 3.0]),
        ("BLOB", [b"\x00", b"\xff\x00", b"a"]),
        ("TEXT", ["10", "9", "B", "a", "Ä"]),
        ("TEXT COLLATE NOCASE", ["b", "A", "C"]),
        ("NUMERIC", [1, 2.5, "x"]),
        ("DATETIME", ["2024-01-01", "2024-01-01T00:00:00Z", 1700000000, 1.5]),
        ("", [1, 2, 10, "10", "x"]),
    ],
)
def test_sqlite_keys_of_any_type(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str], type_: str, values: list[object]
) -> None:
    path = tmp_path / "keys.sqlite"
    link = sqlite3.connect(path)
    link.execute(
        f"CREATE TABLE ticket (id {type_} NOT NULL, part {type_} NOT NULL, subject TEXT, body TEXT,"
        " PRIMARY KEY (id, part))"
    )
    for pair in itertools.product(values, values):
        link.execute("INSERT INTO ticket VALUES (?, ?, 's', 'b')", pair)
    link.commit()
    with reading(sqlite_odbc(path)) as client:
        if type_ == "":  # 10 and '10' print alike
            with pytest.raises(AssertionError):
                _agree(client, len(values) ** 2, key=("id", "part"))
        else:
            _agree(client, len(values) ** 2, key=("id", "part"), cursor="part")
    link.close()


def test_sqlite_keys_with_a_nul_are_refused(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    path = tmp_path / "nul.sqlite"
    link = sqlite3.connect(path)
    link.execute("CREATE TABLE ticket (id TEXT PRIMARY KEY NOT NULL, subject TEXT, body TEXT)")
    link.execute("INSERT INTO ticket VALUES (?, 's', 'b')", ("a\0b",))
    link.commit()
    with reading(sqlite_odbc(path)) as client, pytest.raises(errors.StreamError, match="NUL"):
        client.page(stream(), None, by="key")
    link.close()


def test_mariadb_dates_that_drivers_refuse(maria: MariaDbLegacy) -> None:
    maria.execute(
        "CREATE TABLE ticket (id INT PRIMARY KEY, subject TIME(3), body DATE,"
        " changed DATETIME(6) NOT NULL, KEY (changed, id))"
    )
    rows = [
        ("0000-00-00 00:00:00", "838:59:59", "0000-00-00"),
        ("2024-00-00 00:00:00", "-12:30:00.5", "2024-02-00"),
        ("9999-12-31 23:59:59.999999", "00:00:00", "9999-12-31"),
        ("2024-10-27 02:30:00.000001", None, None),
    ]
    maria.execute("SET GLOBAL sql_mode = ''")
    try:
        for number, (changed, subject, body) in enumerate(rows):
            maria.execute("INSERT INTO ticket VALUES (?, ?, ?, ?)", number, subject, body, changed)
    finally:
        maria.execute("SET GLOBAL sql_mode = DEFAULT")
    maria.sync()
    with reading(maria.odbc) as client:
        values = _agree(client, 4, cursor="changed")
        assert values["0"] == {"subject": "838:59:59.000", "body": "0000-00-00"}
        assert values["1"] == {"subject": "-12:30:00.500", "body": "2024-02-00"}
        window = client.window(stream(cursor="changed"), None)
        assert (window.low, window.high) == (
            "0000-00-00 00:00:00.000000",
            "9999-12-31 23:59:59.999999",
        )
        assert window.safe_high == "2024-10-27 02:30:00.000001"


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("BIGINT UNSIGNED", ["18446744073709551615", "9223372036854775807", "0"]),
        ("BIGINT", ["9007199254740993", "9007199254740992", "-5"]),
        ("DECIMAL(30,10)", ["1234567890123456789.0000000001", "-0.5", "1234567890123456789"]),
        ("BINARY(16)", [bytes(16), b"\xff" * 16, uuid.UUID(int=7).bytes]),
        ("VARBINARY(9)", [b"a", b"a\x00", b"\xff"]),
        ("UUID", [str(uuid.UUID(int=n << 64 | 99 - n)) for n in range(5)]),
        ("CHAR(10)", ["a", "b c", "'quoted'"]),
        ("VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german1_ci", ["Ähre", "B", "b2", "ß"]),
        ("VARCHAR(20) COLLATE utf8mb4_bin", ["a", "A", "ä", "😀"]),
        ("ENUM('zulu','alpha','mike')", ["zulu", "alpha", "mike"]),
        ("YEAR", ["1999", "2024"]),
        ("BIT(9)", ["1", "257"]),
        ("TIMESTAMP(6)", ["2024-03-31 00:59:59.999999", "2024-03-31 03:00:00.000001"]),
        ("DATETIME(6)", ["2024-03-31 02:30:00.000001", "2024-03-31 02:30:00.000002"]),
        ("DATE", ["1000-01-01", "9999-12-31"]),
        ("FLOAT", ["0.1", "16777216", "3.4e38"]),
        ("DOUBLE", ["0.1", "1e100", "0.30000000000000004"]),
    ],
)
def test_mariadb_keys_of_any_type(maria: MariaDbLegacy, type_: str, values: list[object]) -> None:
    maria.execute(
        f"CREATE TABLE ticket (id {type_} NOT NULL, part {type_} NOT NULL, subject INT, body INT,"
        " PRIMARY KEY (id, part))"
    )
    for first, second in itertools.product(values, values):
        pair = [int(v) if type_ == "BIT(9)" else v for v in (first, second)]  # type: ignore[call-overload]
        maria.execute("INSERT INTO ticket VALUES (?, ?, 1, NULL)", *pair)
    maria.sync()
    with reading(maria.odbc) as client:
        _agree(client, len(values) ** 2, key=("id", "part"), cursor="part")
        found = client.examine(stream(key=("id", "part"), cursor="part"))
        assert [f for f in found if f.level == "error" and "round trip" in f.what] == []


def test_mariadb_grades_what_the_database_stamps(maria: MariaDbLegacy) -> None:
    maria.execute(
        "CREATE TABLE ticket (id INT PRIMARY KEY AUTO_INCREMENT, subject INT, body INT, changed"
        " TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))"
    )
    maria.sync()
    with reading(maria.odbc) as client:
        assert client.inspect(stream(cursor="changed")).grade == "L1"
        assert client.inspect(stream(cursor="id")).grade == "L3"
        assert client.inspect(stream()).grade == "L4"
        found = client.examine(stream(cursor="changed"))
        assert any("GRANT SLAVE MONITOR" in finding.fix for finding in found)


def test_a_case_change_of_a_key_is_another_key(maria: MariaDbLegacy) -> None:
    maria.execute("CREATE TABLE ticket (id VARCHAR(9) PRIMARY KEY, subject INT, body INT)")
    maria.execute("INSERT INTO ticket VALUES ('ab', 1, 1)")
    maria.execute("UPDATE ticket SET id = 'AB'")
    maria.sync()
    with reading(maria.odbc) as client:
        assert set(walk(client, stream())) == {"AB"}
        assert [row.key for row in client.fetch(stream(), ["ab"])] in ([], ["AB"])


def test_postgres_dates_that_drivers_change(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute(
        "CREATE TABLE ticket (id int PRIMARY KEY, subject interval, body date,"
        " changed timestamptz NOT NULL)"
    )
    postgres_app.execute("CREATE INDEX ON ticket (changed, id)")
    postgres_app.execute(
        "INSERT INTO ticket VALUES (1, '1 day -2 hours', 'infinity', 'infinity'),"
        " (2, NULL, '0044-03-15 BC', '-infinity'),"
        " (3, '1 mon', '20000-01-01', '2024-10-27 02:30:00.000001+02'),"
        " (4, '1 mon', '20000-01-01', '2024-10-27 02:30:00.000001+01')"
    )
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        values = _agree(client, 4, cursor="changed")
        assert values["1"] == {"subject": "1 day -02:00:00", "body": "infinity"}
        assert values["2"]["body"] == "0044-03-15 BC"
        window = client.window(stream(cursor="changed"), None)
        assert (window.low, window.high) == ("-infinity", "infinity")
        assert window.safe_high == "2024-10-27 01:30:00.000001+00"
        assert [f for f in client.examine(stream(cursor="changed")) if f.level == "error"] == []


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("bigint", ["9007199254740993", "9007199254740992", "-5"]),
        ("numeric", ["0.1", "0.10000000000000000001", "12345678901234567890.5", "NaN"]),
        ("uuid", [str(uuid.UUID(int=n << 64 | 99 - n)) for n in range(4)]),
        ("char(10)", ["a", "b c", "'quoted'"]),
        ('text COLLATE "C"', ["a", "A", "ä", "😀", "back\\slash", ""]),
        ("mood", ["zulu", "alpha", "mike"]),
        ("boolean", ["true", "false"]),
        ("bytea", [b"\x00", b"\xff", b"\\"]),
        ("double precision", ["0.1", "1e100", "0.30000000000000004", "NaN"]),
        ("date", ["infinity", "2024-01-01", "0044-03-15 BC"]),
        ("timestamp(3)", ["2024-03-31 02:30:00.001", "-infinity"]),
        ("inet", ["10.0.0.1", "10.0.0.0/8", "::1"]),
    ],
)
def test_postgres_keys_of_any_type(
    postgres_app: PostgresLegacy, type_: str, values: list[object]
) -> None:
    postgres_app.execute("CREATE TYPE mood AS ENUM ('zulu', 'alpha', 'mike')")
    postgres_app.execute(
        f"CREATE TABLE ticket (id {type_} NOT NULL, part {type_} NOT NULL, subject json, body int,"
        " PRIMARY KEY (id, part))"
    )
    for pair in itertools.product(values, values):
        postgres_app.execute("INSERT INTO ticket VALUES (?, ?, '{\"a\": 1}', NULL)", *pair)
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        _agree(client, len(values) ** 2, key=("id", "part"), cursor="part")
        found = client.examine(stream(key=("id", "part"), cursor="part"))
        assert [f for f in found if f.level == "error" and "round trip" in f.what] == []


def test_a_row_that_cannot_be_read_stands_alone(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute("CREATE TABLE t (id int PRIMARY KEY, n int, note text)")
    postgres_app.execute("INSERT INTO t SELECT n, n - 7, 'note' FROM generate_series(1, 20) n")
    postgres_app.execute(
        "CREATE VIEW ticket AS SELECT id, (10 / n)::text AS subject, note AS body FROM t"
    )
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        spec = stream(page_rows=6)
        paged = walk(client, spec)
        assert len(paged) == 20
        with pytest.raises(errors.RowError, match="22012"):
            client.fetch(spec, ["6", "7", "8"])
        with pytest.raises(errors.RowError):
            client.fetch(spec, ["7"])
        for row in client.fetch(spec, [str(n) for n in range(1, 21) if n != 7]):
            assert paged[row.key][0] == row.input_hash.hex()


def test_a_missing_grant_names_itself(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute("CREATE TABLE ticket (id int PRIMARY KEY, subject text, body text)")
    postgres_app.execute("INSERT INTO ticket VALUES (1, 's', 'b')")
    postgres_app.execute("DROP ROLE IF EXISTS stranger")
    postgres_app.execute("CREATE ROLE stranger LOGIN PASSWORD 'secret'")
    postgres_app.sync()
    odbc = postgres_app.odbc.replace("UID=reader", "UID=stranger")
    odbc = odbc.replace("PWD=reader-secret", "PWD=secret")
    with reading(odbc) as client:
        with pytest.raises(errors.StreamError, match="refuses our login a right") as caught:
            client.inspect(stream())
        assert "GRANT SELECT" in caught.value.fix.replace("grant", "GRANT")
        (finding,) = client.examine(stream())
        assert finding.level == "error"


def test_schemas_and_names_that_need_quoting(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute('CREATE SCHEMA "Help Desk"')
    postgres_app.execute(
        'CREATE TABLE "Help Desk"."Ticket List" ("Ticket No" int PRIMARY KEY, "select" text,'
        ' "Be:treff" text)'
    )
    postgres_app.execute("""INSERT INTO "Help Desk"."Ticket List" VALUES (1, 's', 'b')""")
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        spec = stream(
            schema="Help Desk",
            table="Ticket List",
            key=("Ticket No",),
            inputs=("select", "Be:treff"),
            page_rows=1,
        )
        client.inspect(spec)
        assert set(walk(client, spec)) == {"1"}
        (row,) = client.fetch(spec, ["1"])
        assert row.values == {"select": "s", "Be:treff": "b"}


def test_a_key_of_several_parts_is_one_text(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute(
        "CREATE TABLE ticket (a text, b int, subject text, body text, PRIMARY KEY (a, b))"
    )
    postgres_app.execute("INSERT INTO ticket VALUES ('x,\"y\\', 1, 's', 'b')")
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        (row,) = client.fetch(stream(key=("a", "b")), [keys.join(('x,"y\\', "1"))])
        assert keys.split(row.key, 2) == ('x,"y\\', "1")
        with pytest.raises(errors.RowError, match="2 parts"):
            client.fetch(stream(key=("a", "b")), ["x"])
