"""Whether a statement walks an index or scans a table, as the engine's EXPLAIN tells."""

import re
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from insights.sources.statements import Selected

_HIDDEN_BELOW = 1345  # EXPLAIN needs rights on the tables below a view
_LONG_S = 1.0  # a page that walks an index takes milliseconds
_SORT = re.compile(r"[ >-]*(Incremental )?Sort  \(")  # the step; a `Sort Key` merges parts, too
_TIES = sa.text(
    "SELECT CAST(GREATEST(COALESCE((s.most_common_freqs)[1], 0) * GREATEST(c.reltuples, 0),"
    " CASE WHEN s.n_distinct < 0 THEN -1 / s.n_distinct"
    " ELSE GREATEST(c.reltuples, 0) / NULLIF(s.n_distinct, 0) END) AS TEXT)"
    " FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename"
    " WHERE s.attname = :column AND s.tablename = :table AND NOT s.inherited"
    " AND CASE WHEN :schema = '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = :schema END"
)
SMALL = 10_000  # rows below which an optimiser rightly scans


def scans(
    link: sa.Connection, statement: Selected, ties: Callable[[], float | None] = lambda: None
) -> bool | None:
    """Tell whether a page would scan (or sort) a table; None if this engine cannot be asked.

    `ties` says how many rows have one value of the order's first column at most, where that is
    known: an index on that column alone does where they are few.
    """
    if link.dialect.name == "postgresql":
        return _postgres(link, statement, ties)
    look = {"sqlite": _sqlite, "mariadb": _mysql, "mysql": _mysql}.get(link.dialect.name)
    return None if look is None else look(link, statement)


def ties(link: sa.Connection, column: str, table: str, schema: str | None) -> float | None:
    """Return how many rows have one value of a column at most, as PostgreSQL's statistics tell."""
    asked = {"column": column, "table": table, "schema": schema or ""}
    found = link.execute(_TIES, asked).scalar()
    return None if found is None else float(found)


class _Explain(sa.Executable, sa.ClauseElement):
    """A statement behind the engine's EXPLAIN, its values bound: literals of bytes would break."""

    inherit_cache = False

    def __init__(self, prefix: str, statement: Selected) -> None:
        self.prefix = prefix
        self.statement = statement


@compiles(_Explain)
def _compiled(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's hook
    return f"{element.prefix} {compiler.process(element.statement, **options)}"


def _explained(link: sa.Connection, statement: Selected, prefix: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in link.execute(_Explain(prefix, statement)).all()]


def _sqlite(link: sa.Connection, statement: Selected) -> bool:
    lines = [str(row[3]) for row in _explained(link, statement, "EXPLAIN QUERY PLAN")]
    return any(
        (line.startswith("SCAN") and "USING" not in line) or line[4:] == "TEMP B-TREE FOR ORDER BY"
        for line in lines
    )


def _postgres(link: sa.Connection, statement: Selected, ties: Callable[[], float | None]) -> bool:
    link.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a small table is scanned, rightly
    link.exec_driver_sql("SET LOCAL enable_sort = off")
    link.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
    lines = [str(row[0]) for row in _explained(link, statement, "EXPLAIN")]
    sorts = [match for line in lines if (match := _SORT.match(line))]
    if not sorts or any("Seq Scan" in line for line in lines):
        return any("Seq Scan" in line for line in lines)
    if any(match[1] is None for match in sorts) or not any("Index Cond" in one for one in lines):
        return True
    most = ties()  # rows of one value of what the index keeps in order are sorted at a time
    return most is None or most > SMALL


def _mysql(link: sa.Connection, statement: Selected) -> bool:
    try:
        rows = _explained(link, statement, "EXPLAIN")
    except sa.exc.DBAPIError as exc:
        if f"({_HIDDEN_BELOW})" not in str(exc.orig):
            raise
        began = time.monotonic()  # a view over tables that are not ours to see: it is timed
        link.execute(statement).all()
        return time.monotonic() - began > _LONG_S
    # id, select_type, table, type, possible_keys, key, key_len, ref, rows, Extra
    return any(
        int(str(row[8] or 0)) > SMALL and (row[3] == "ALL" or "filesort" in str(row[9]))
        for row in rows
    )
