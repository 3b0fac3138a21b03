"""Whether a statement walks an index or scans a table, as the engine's EXPLAIN tells."""

import re
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from insights.sources.statements import Selected

_HIDDEN_BELOW = 1345  # EXPLAIN needs rights on the tables below a view
_LONG_S = 1.0  # a page that walks an index takes milliseconds
_SORT = re.compile(r"[ >-]*(Incremental )?Sort  \(")  # the step; a `Sort Key` merges parts, too
SMALL = 10_000  # rows below which an optimiser rightly scans


def scans(link: sa.Connection, statement: Selected) -> bool | None:
    """Tell whether a page would scan (or sort) a table; None if this engine cannot be asked."""
    look = {
        "sqlite": _sqlite,
        "postgresql": _postgres,
        "mariadb": _mysql,
        "mysql": _mysql,
    }.get(link.dialect.name)
    return None if look is None else look(link, statement)


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


def _postgres(link: sa.Connection, statement: Selected) -> bool:
    link.exec_driver_sql("SET LOCAL enable_seqscan = off")  # a small table is scanned, rightly
    link.exec_driver_sql("SET LOCAL enable_sort = off")
    link.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
    lines = [str(row[0]) for row in _explained(link, statement, "EXPLAIN")]
    return any("Seq Scan" in line or _SORT.match(line) for line in lines)


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
