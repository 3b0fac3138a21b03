"""What people report of databases: rows of odd names, encodings and types, read to the last one."""

import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from insights import errors
from tests.integration.test_init_command import initialised
from tests.integration.test_odd_rows import _agree
from tests.legacy import MariaDbLegacy, reading, stream


def client_runs(app: MariaDbLegacy, script: str) -> None:
    """Run a script by MariaDB's own client: a `?` in it is no parameter."""
    subprocess.run(
        ["mariadb", "--no-defaults", "--user=root", "--host=127.0.0.1", "--protocol=tcp",
         f"--port={app._pair.primary.port}", "--default-character-set=utf8mb4", app._database],
        input=script.encode(), check=True, capture_output=True,
    )  # fmt: skip
    app.sync()


@pytest.mark.parametrize("name", ["a`b", "``", "q\t\"`'q"])
def test_a_backtick_in_a_mariadb_name(maria: MariaDbLegacy, name: str, model: Path) -> None:
    quoted = name.replace("`", "``")
    client_runs(
        maria,
        f"CREATE TABLE `t{quoted}` (`{quoted}k` INT, `{quoted}` VARCHAR(40), at DATETIME,"
        f" PRIMARY KEY (`{quoted}k`), KEY `i{quoted}` (at, `{quoted}k`));"
        f" INSERT INTO `t{quoted}` VALUES (1, 'a text of some words', '2026-01-01'),"
        " (2, 'another text of words', '2026-01-01')",
    )
    columns = {"table": f"t{name}", "key": (f"{name}k",), "inputs": (name,), "cursor": "at"}
    with reading(maria.odbc) as client:
        values = _agree(client, 2, **columns)
        assert values["1"] == {name: "a text of some words"}
        found = client.examine(stream(**columns))
        assert [one for one in found if one.level == "error"] == []
        assert client.profile(f"t{name}").column(name).words > 3
    if name == "a`b":
        initialised(model.parent, maria.odbc, f"t{name}", model)


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be", "UTF-8"])
def test_a_sqlite_database_of_any_encoding(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str], encoding: str, model: Path
) -> None:
    path = tmp_path / "wide.sqlite"
    link = sqlite3.connect(path)
    link.execute(f"PRAGMA encoding = '{encoding}'")
    link.execute("CREATE TABLE ticket (id TEXT PRIMARY KEY NOT NULL, subject TEXT, body, at TEXT)")
    rows = [
        ("ä😀", "Größe of the pump", 1.5, "2026-01-01 10:00:00"),
        ("b", "zwei 東京 words 😀" * 900, b"\xff\x00", "2026-01-02 10:00:00"),
        ("", "", "a\0b", "2026-01-02 10:00:00"),
    ]
    link.executemany("INSERT INTO ticket VALUES (?, ?, ?, ?)", rows)
    link.commit()
    link.close()
    with reading(sqlite_odbc(path)) as client:
        values = _agree(client, 3, cursor="at", page_rows=1)
        assert {key: row["subject"] for key, row in values.items()} == {
            key: subject for key, subject, _, _ in rows
        }
        assert [values[key]["body"] for key, *_ in rows] == ["1.5", "\ufffd\ufffd", "a\ufffdb"]
        spec = stream(cursor="at")
        assert [one for one in client.examine(spec) if one.level == "error"] == []
        (cut,) = client.fetch(stream(max_text_chars=13), ["b"])
        assert cut.values["subject"] is not None
        assert cut.values["subject"].startswith("zwei 東京 words")
    initialised(tmp_path, sqlite_odbc(path), "ticket", model)


def test_bits_and_members_without_a_name_are_found_again(maria: MariaDbLegacy) -> None:
    maria.execute("CREATE TABLE flags (id BIT(64) PRIMARY KEY, subject BIT(1), body BIT(9))")
    client_runs(maria, "INSERT INTO flags VALUES (~0, b'1', b'100000001'), (1, b'0', NULL)")
    maria.execute("CREATE TABLE states (id ENUM('x', '', 'ä') PRIMARY KEY, subject INT, body INT)")
    client_runs(maria, "INSERT INTO states VALUES ('', 1, 1), ('x', 1, 1), ('ä', 1, 1)")
    with reading(maria.odbc) as client:
        values = _agree(client, 2, table="flags", page_rows=1)
        assert values[str(2**64 - 1)] == {"subject": "1", "body": "257"}
        assert set(_agree(client, 3, table="states", page_rows=1)) == {"", "x", "ä"}


def test_names_with_signs_that_no_comment_of_toml_takes(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str], model: Path
) -> None:
    link = sqlite3.connect(tmp_path / "app.sqlite")
    link.execute('CREATE TABLE "t\x7f" (id INTEGER PRIMARY KEY, "b\x7f\x01" TEXT)')
    link.execute("INSERT INTO \"t\x7f\" VALUES (1, 'a text of some words')")
    link.commit()
    link.close()
    settings = initialised(tmp_path, sqlite_odbc(tmp_path / "app.sqlite"), "t\x7f", model)
    assert next(iter(settings.stream.values())).table == "t\x7f"


def test_a_table_whose_name_differs_by_case_is_named(maria: MariaDbLegacy) -> None:
    maria.execute("CREATE TABLE `Ticket` (id INT PRIMARY KEY, subject TEXT)")
    maria.sync()
    with (
        reading(maria.odbc) as client,
        pytest.raises(errors.StreamError, match="does not exist") as caught,
    ):
        client.inspect(stream(table="ticket", inputs=("subject",)))
    assert caught.value.fix.startswith("write Ticket;")


def test_what_is_hidden_made_or_odd_is_read(maria: MariaDbLegacy) -> None:
    client_runs(
        maria,
        "SET sql_mode = ''; CREATE TABLE ticket (id CHAR(8) PRIMARY KEY, subject VARCHAR(40)"
        " INVISIBLE, body VARCHAR(80) GENERATED ALWAYS AS (CONCAT(subject, '!')) VIRTUAL,"
        " at DATETIME(3), KEY (at, id));"
        "INSERT INTO ticket (id, subject, at) VALUES ('a', 'x  ', '0000-00-00'),"
        " ('b ', '', '0001-01-01'), ('c', NULL, '9999-12-31 23:59:59.999'),"
        " ('d', 'w', '2026-02-31')",
    )
    with reading(maria.odbc) as client:
        values = _agree(client, 4, cursor="at", page_rows=1)
        assert values["a"] == {"subject": "x  ", "body": "x  !"}
        assert values["c"] == {"subject": None, "body": None}
        assert client.describe("ticket").columns.keys() == {"id", "subject", "body", "at"}
        window = client.window(stream(cursor="at"), None)
        assert (window.high, window.safe_high) == (
            "9999-12-31 23:59:59.999",
            "0001-01-01 00:00:00.000",
        )
