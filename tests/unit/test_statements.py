"""The SQL for engines that cannot run here is read by an independent parser."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
import sqlglot
from sqlalchemy.dialects import mssql, oracle
from sqlglot import exp

from insights.model import Bookmark, Fingerprint, Gap, StreamSpec
from insights.odbc import positions
from insights.sources.casts import casts_of
from insights.sources.clock import age, not_in_the_future
from insights.sources.statements import Statements

_MSSQL = sa.Table(
    "ticket",
    sa.MetaData(),
    sa.Column("id", mssql.UNIQUEIDENTIFIER),
    sa.Column("line", sa.BigInteger),
    sa.Column("subject", sa.NVARCHAR(50)),
    sa.Column("body", mssql.NTEXT),
    sa.Column("code", sa.CHAR(8)),
    sa.Column("price", sa.Numeric(12, 3)),
    sa.Column("weight", sa.Float),
    sa.Column("version", mssql.TIMESTAMP),
    sa.Column("changed", mssql.DATETIME2(7)),  # type: ignore[no-untyped-call]
    sa.Column("created", mssql.DATETIME),
    schema="help desk",
)
_ORACLE = sa.Table(
    "ticket",
    sa.MetaData(),
    sa.Column("id", oracle.RAW(16)),
    sa.Column("line", oracle.NUMBER(38)),  # type: ignore[no-untyped-call]
    sa.Column("subject", oracle.VARCHAR2(50)),
    sa.Column("body", sa.CLOB),
    sa.Column("code", sa.CHAR(8)),
    sa.Column("price", oracle.NUMBER(12, 3)),  # type: ignore[no-untyped-call]
    sa.Column("weight", oracle.BINARY_DOUBLE),
    sa.Column("changed", oracle.TIMESTAMP()),
    sa.Column("created", oracle.DATE),
)
_T_SQL: sa.Dialect = mssql.dialect()  # type: ignore[no-untyped-call]
_PL_SQL: sa.Dialect = oracle.dialect()  # type: ignore[no-untyped-call]
_CASES = [
    (_T_SQL, "tsql", _MSSQL, "version"),
    (_T_SQL, "tsql", _MSSQL, "changed"),
    (_T_SQL, "tsql", _MSSQL, "created"),
    (_PL_SQL, "oracle", _ORACLE, "changed"),
    (_PL_SQL, "oracle", _ORACLE, "created"),
]


def _text(statement: sa.Select[Any], dialect: sa.Dialect) -> str:
    return str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))


@pytest.mark.parametrize(("dialect", "language", "table", "cursor"), _CASES)
def test_statements_are_that_engines_language(
    dialect: sa.Dialect, language: str, table: sa.Table, cursor: str
) -> None:
    spec = StreamSpec(
        name="tickets",
        source="legacy",
        table="ticket",
        key=("id", "line"),
        inputs=("subject", "body", "code", "price", "weight"),
        cursor=cursor,
        where="subject <> 'a?:b'",
    )
    build = Statements(spec, table, casts_of(dialect.name))
    at = Bookmark(key=("00", "1"), cursor="2024-01-01 00:00:00")
    now = not_in_the_future(dialect.name, table.c[cursor], build.kind(cursor))
    assert now is not None
    statements = {
        "first": build.page(None, by="cursor"),
        "closed": build.page(Bookmark(key=(), cursor=at.cursor), by="cursor"),
        "next": build.page(at, by="cursor"),
        "key": build.page(at, by="key"),
        "fetch": build.fetch([("00", "1"), ("01", "2")]),
        "window": build.window(at.cursor, now),
        "gap": build.page(at, by="cursor", within=[Gap(at=0.0, low="1", high="9")]),
        "null": build.page(Bookmark(key=at.key), by="null"),
        "late": build.lateness(
            [("00", "1")],
            at.cursor,
            age(dialect.name, table.c[cursor], build.kind(cursor)),
        ),
        "twice": build.duplicate_key(),
    }
    for name, statement in statements.items():
        text = _text(statement, dialect)
        tree = sqlglot.parse_one(text, read=language)
        assert isinstance(tree, exp.Select), name
        assert not list(tree.find_all(exp.Command)), name
        assert "(subject <> 'a?:b')" in text, name
        assert "<> 'a?:b') = 1" not in text, name
        # The column itself is compared, never an expression of it: its index stays usable.
        if cursor == "version" and name == "window":
            assert "< MIN_ACTIVE_ROWVERSION()" in text
        for compared in tree.args["where"].find_all(exp.GTE, exp.GT):
            assert isinstance(compared.this, exp.Column), (name, text)
    ordered = sqlglot.parse_one(_text(statements["next"], dialect), read=language).args["order"]
    assert [term.this.name for term in ordered.expressions] == [cursor, "id", "line"]


def test_rows_are_fetched_by_a_statement_that_was_built_once_for_so_many() -> None:
    spec = StreamSpec(
        name="tickets", source="legacy", table="ticket", key=("id", "line"), inputs=("subject",)
    )
    build = Statements(spec, _MSSQL, casts_of("mssql"))
    keys = [(str(n), str(n % 2)) for n in range(70)]
    kept, values = build.fetched(keys[:3], most=450)
    again, others = build.fetched(keys[7:10], most=450)
    assert again is kept
    assert [others[f"k{n}_0"] for n in range(4)] == ["7", "8", "9", "9"]  # four are named
    assert values["k2_0"] == "2"
    assert _unnamed(kept) == _unnamed(build.fetch([*keys[:3], keys[2]]))
    assert build.fetched(keys[:3], "careful", most=450)[0] is not kept
    # Steps that are whole, and never more than one statement may name.
    assert [len(build.fetched(keys[:n], most=450)[1]) for n in (1, 2, 17, 33)] == [2, 4, 64, 128]
    assert len(build.fetched(keys, most=70)[1]) == 140
    # Its text has another type to SQLAlchemy, and may have to the engine.
    foreign, none = build.fetched([("ü", "1"), ("2", "2")], most=450)
    assert not none
    assert _unnamed(foreign) == _unnamed(build.fetch([("ü", "1"), ("2", "2")]))
    assert {"ü", "1", "2"} < set(foreign.compile(dialect=_T_SQL).params.values())


def _unnamed(statement: sa.Select[Any]) -> str:
    return re.sub(r":\w+", "?", _text(statement, _T_SQL))


@pytest.mark.parametrize(
    ("dialect", "language", "table"), [(_T_SQL, "tsql", _MSSQL), (_PL_SQL, "oracle", _ORACLE)]
)
def test_missing_identities_are_asked_for_in_that_engines_language(
    dialect: sa.Dialect, language: str, table: sa.Table
) -> None:
    spec = StreamSpec(
        name="tickets", source="legacy", table="ticket", key=("line",), inputs=(), cursor="line"
    )
    text = _text(Statements(spec, table, casts_of(dialect.name)).gaps("1", "9", 200), dialect)
    tree = sqlglot.parse_one(text, read=language)
    assert list(tree.find_all(exp.Lag))
    assert "200" in text or "FETCH" in text


@pytest.mark.parametrize(
    ("statement", "language", "columns", "tables"),
    [
        (
            positions.MSSQL,
            "tsql",
            4,
            {"database_recovery_status", "dm_hadr_database_replica_states"},
        ),
        (positions.ORACLE, "oracle", 2, {"V$DATABASE"}),
    ],
)
def test_a_fingerprint_is_asked_for_in_that_engines_language(
    statement: str, language: str, columns: int, tables: set[str]
) -> None:
    tree = sqlglot.parse_one(statement, read=language)
    assert isinstance(tree, exp.Select)
    assert len(tree.expressions) == columns
    assert {table.name for table in tree.find_all(exp.Table)} == tables
    assert not list(tree.find_all(exp.Command))


@pytest.mark.parametrize("dialect", ["mssql", "oracle"])
def test_positions_of_engines_that_number_them_are_compared_as_numbers(dialect: str) -> None:
    now = Fingerprint(identity="a/1", position="9")
    assert positions.is_behind(dialect, now, "a/1", "10")
    assert not positions.is_behind(dialect, now, "a/1", "9")
    assert positions.is_behind(dialect, now, "a/2", "9")  # restored, or failed over and diverged
