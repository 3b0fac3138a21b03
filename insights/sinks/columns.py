"""What each text column of a sink can hold, asked of the engine's own catalogue."""

import codecs
from collections.abc import Callable
from typing import Any

import msgspec
import sqlalchemy as sa

from insights.sinks.fit import Room
from insights.sinks.text import Policy

_PLAIN = "ascii"  # what every legacy character set holds; for sets without a Python codec

# Where Python calls a character set by another name (MySQL and Oracle manuals, "Character Sets").
_CODECS = {
    "latin1": "cp1252",  # MySQL's latin1 is Windows'; PostgreSQL's LATIN1 is looked up elsewhere
    "latin2": "iso8859_2",
    "latin5": "iso8859_9",
    "latin7": "iso8859_13",
    "greek": "iso8859_7",
    "hebrew": "iso8859_8",
    "sjis": "cp932",
    "ujis": "euc_jp",
    "eucjpms": "euc_jp",
    "WE8MSWIN1252": "cp1252",
    "EE8MSWIN1250": "cp1250",
    "CL8MSWIN1251": "cp1251",
    "WE8ISO8859P1": "iso8859_1",
    "WE8ISO8859P15": "iso8859_15",
    "EE8ISO8859P2": "iso8859_2",
    "US7ASCII": "ascii",
    "JA16SJIS": "cp932",
    "ZHS16GBK": "gbk",
}
_MYSQL_BMP = {"utf8", "utf8mb3", "ucs2"}
_MYSQL_UNICODE = {"utf8mb4", "utf16", "utf16le", "utf32"}

_MYSQL = sa.text("""
    SELECT column_name AS name, character_set_name AS charset, data_type AS type,
           character_maximum_length AS length
    FROM information_schema.columns
    WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table
      AND character_set_name IS NOT NULL
""")
_MSSQL = sa.text("""
    SELECT c.name AS name,
           CAST(COLLATIONPROPERTY(c.collation_name, 'CodePage') AS INTEGER) AS page
    FROM sys.columns c
    JOIN sys.tables t ON t.object_id = c.object_id
    JOIN sys.schemas s ON s.schema_id = t.schema_id
    WHERE t.name = :table AND s.name = COALESCE(:schema, SCHEMA_NAME())
""")
_ORACLE = sa.text(
    "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'",
)
_UTF8_PAGE = 65001


def rooms(connection: sa.Connection, table: sa.Table, policy: Policy) -> dict[str, Room]:
    """Return the room of every text column, by column name; its text is shown under a policy."""
    special = _ENGINES.get(connection.dialect.name)
    texts = {c.name: c for c in table.columns if isinstance(c.type, sa.String)}
    if special is None:
        found = {name: Room(length=_length(column)) for name, column in texts.items()}
    else:
        found = special(connection, table, texts)
    return {name: msgspec.structs.replace(room, policy=policy) for name, room in found.items()}


def _length(column: sa.Column[Any]) -> int | None:
    length: int | None = getattr(column.type, "length", None)
    return length if length and length > 0 else None


def _codec(charset: str) -> str:
    name = _CODECS.get(charset, charset)
    try:
        return codecs.lookup(name).name
    except LookupError:
        return _PLAIN


def _names(table: sa.Table) -> dict[str, str | None]:
    return {"table": table.name, "schema": table.schema}


def _mysql(
    connection: sa.Connection, table: sa.Table, texts: dict[str, sa.Column[Any]]
) -> dict[str, Room]:
    found = {}
    for name, charset, type_, length in connection.execute(_MYSQL, _names(table)):
        if name not in texts:
            continue
        held = charset in _MYSQL_BMP or charset in _MYSQL_UNICODE
        found[name] = Room(
            length=int(length),
            unit="bytes" if type_.endswith("text") else "characters",
            encoding=None if held else _codec(charset),
            bmp=charset in _MYSQL_BMP,
        )
    return found


def _postgresql(
    connection: sa.Connection, _table: sa.Table, texts: dict[str, sa.Column[Any]]
) -> dict[str, Room]:
    name = str(connection.execute(sa.text("SHOW server_encoding")).scalar_one())
    if name in {"UTF8", "SQL_ASCII"}:
        encoding = None
    elif name.startswith("WIN"):
        encoding = _codec(f"cp{name[3:]}")
    else:
        encoding = _codec(f"iso8859_{name[5:]}" if name == "LATIN1" else name.lower())
    return {n: Room(length=_length(column), encoding=encoding) for n, column in texts.items()}


def _mssql(
    connection: sa.Connection, table: sa.Table, texts: dict[str, sa.Column[Any]]
) -> dict[str, Room]:
    pages = {row.name: row.page for row in connection.execute(_MSSQL, _names(table))}
    found = {}
    for name, column in texts.items():
        page = pages.get(name)
        if isinstance(column.type, sa.NVARCHAR | sa.NCHAR | sa.UnicodeText):
            found[name] = Room(length=_length(column), unit="utf16")
        elif page == _UTF8_PAGE:
            found[name] = Room(length=_length(column), unit="bytes")
        else:
            encoding = _codec(f"cp{page}") if page else _PLAIN
            found[name] = Room(length=_length(column), unit="bytes", encoding=encoding)
    return found


def _oracle(
    connection: sa.Connection, _table: sa.Table, texts: dict[str, sa.Column[Any]]
) -> dict[str, Room]:
    charset = str(connection.execute(_ORACLE).scalar_one())
    encoding = None if charset in {"AL32UTF8", "UTF8"} else _codec(charset)
    # Length semantics (BYTE or CHAR) are a session's matter there: bytes are always safe.
    return {
        name: Room(length=_length(column), unit="bytes", encoding=encoding)
        for name, column in texts.items()
    }


_ENGINES: dict[
    str, Callable[[sa.Connection, sa.Table, dict[str, sa.Column[Any]]], dict[str, Room]]
] = {
    "mysql": _mysql,
    "mariadb": _mysql,
    "postgresql": _postgresql,
    "mssql": _mssql,
    "oracle": _oracle,
}
