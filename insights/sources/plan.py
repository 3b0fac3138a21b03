"""Whether a statement walks an index or scans a table, as the engine's EXPLAIN tells."""

import sqlalchemy as sa

from insights.sources.statements import Selected

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


def _explained(link: sa.Connection, statement: Selected, prefix: str) -> list[tuple[object, ...]]:
    compiled = statement.compile(link, compile_kwargs={"literal_binds": True})
    return [tuple(row) for row in link.exec_driver_sql(f"{prefix} {compiled}").all()]


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
    return any("Seq Scan" in line or line.strip(" ->").startswith("Sort ") for line in lines)


def _mysql(link: sa.Connection, statement: Selected) -> bool:
    rows = _explained(link, statement, "EXPLAIN")
    # id, select_type, table, type, possible_keys, key, key_len, ref, rows, Extra
    return any(
        int(str(row[8] or 0)) > SMALL and (row[3] == "ALL" or "filesort" in str(row[9]))
        for row in rows
    )
