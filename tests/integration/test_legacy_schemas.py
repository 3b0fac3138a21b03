"""Northwind and Chinook, as they are on three engines, polled with settings only."""

import re
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.legacy import reading, stream, walk
from tests.servers import MariaDbPair, PostgresPair


def _sqlite(script: str, folder: Path) -> list[str]:
    link = sqlite3.connect(folder / "app.sqlite")
    link.executescript(script)
    tables = link.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    link.close()
    return [name for (name,) in tables if not name.startswith("sqlite_")]


@pytest.mark.parametrize(
    "script", ["sql-northwind/sqlite-create.sql", "sql-chinook/Chinook_Sqlite.sql"]
)
def test_on_sqlite(
    eval_data: Path, tmp_path: Path, sqlite_odbc: Callable[[Path], str], script: str
) -> None:
    tables = _sqlite((eval_data / script).read_text("utf-8-sig"), tmp_path)
    counts = sqlite3.connect(tmp_path / "app.sqlite")
    _every_table(
        sqlite_odbc(tmp_path / "app.sqlite"),
        tables,
        lambda table: int(counts.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]),
    )
    counts.close()


@pytest.mark.parametrize(
    "scripts",
    [
        ("sql-northwind/mysql-northwind-schema.sql", "sql-northwind/mysql-northwind-data.sql"),
        ("sql-chinook/Chinook_MySql.sql",),
    ],
)
def test_on_mariadb(
    eval_data: Path, mariadb: MariaDbPair, mariadb_database: str, scripts: tuple[str, ...]
) -> None:
    for script in scripts:
        text = (eval_data / script).read_text("utf-8-sig")
        text = re.sub(r"`(northwind|Chinook)`", f"`{mariadb_database}`", text)
        subprocess.run(
            ["mariadb", "--no-defaults", "--user=root", "--host=127.0.0.1", "--protocol=tcp",
             f"--port={mariadb.primary.port}", "--default-character-set=utf8mb4"],
            input=text.encode(), check=True, capture_output=True,
        )  # fmt: skip
    mariadb.wait()
    found = mariadb.primary.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = ?", mariadb_database
    )
    _every_table(
        mariadb.replica.read_only(mariadb_database),
        [str(name) for (name,) in found],
        lambda table: _count(
            mariadb.primary.execute(f"SELECT count(*) FROM `{table}`", database=mariadb_database)
        ),
    )


@pytest.mark.parametrize(
    "script", ["sql-northwind/pg-northwind.sql", "sql-chinook/Chinook_PostgreSql.sql"]
)
def test_on_postgres(
    eval_data: Path, postgres: PostgresPair, postgres_database: str, script: str
) -> None:
    text = (eval_data / script).read_text("utf-8-sig")
    gone = r"^(SET default_with_oids|DROP DATABASE|CREATE DATABASE|\\c ).*$"  # psql's, or obsolete
    postgres.primary.script(re.sub(gone, "", text, flags=re.MULTILINE), postgres_database)
    postgres.wait()
    found = postgres.primary.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=postgres_database
    )
    _every_table(
        postgres.standby.read_only(postgres_database),
        [str(name) for (name,) in found],
        lambda table: _count(
            postgres.primary.execute(f'SELECT count(*) FROM "{table}"', database=postgres_database)
        ),
    )


def _every_table(odbc: str, tables: list[str], count: Callable[[str], int]) -> None:
    assert len(tables) > 8
    keyed = 0
    with reading(odbc) as client:
        for table in tables:
            shape = client.describe(table)
            if not shape.key:
                continue
            keyed += 1
            inputs = tuple(name for name in shape.columns if name not in shape.key)
            spec = stream(table=table, key=shape.key, inputs=inputs or shape.key, page_rows=500)
            client.inspect(spec)
            found = walk(client, spec)
            assert len(found) == count(table), table
            some = [key.replace("\\\\", "\\") for key in list(found)[:40]]
            for row in client.fetch(spec, some):
                assert row.input_hash.hex() == found[row.key.replace("\\", "\\\\")][0]
    assert keyed > 8


def _count(rows: list[tuple[object, ...]]) -> int:
    ((number,),) = rows
    return int(str(number))
