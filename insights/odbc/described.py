"""A table's columns as information_schema tells them, where reflection would need more rights."""

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql


def described(connection: sa.Connection, name: str, schema: str | None) -> sa.Table | None:
    """Return the columns of a table that our login may see.

    MySQL and MariaDB show a whole table or view, as reflection asks for it (SHOW CREATE), only to
    those who have a right on all of it, and SHOW VIEW: SELECT is enough for this.
    """
    numbers = ("numeric_precision", "numeric_scale", "datetime_precision")
    names = ("column_name", "data_type", *numbers, "table_name", "table_schema")
    found = sa.table("columns", *map(sa.column, names), schema="information_schema")
    columns: list[sa.Column[Any]] = []
    for column, kind, precision, scale, fraction in connection.execute(
        sa.select(*(found.c[part] for part in ("column_name", "data_type", *numbers))).where(
            found.c.table_name == name, found.c.table_schema == (schema or sa.func.database())
        )
    ):
        cls = connection.dialect.ischema_names.get(str(kind), sa.types.NullType)  # type: ignore[attr-defined]
        if issubclass(cls, mysql.DECIMAL):
            columns.append(sa.Column(column, mysql.DECIMAL(precision, scale)))
        elif fraction is not None and issubclass(cls, sa.DateTime | sa.Time):
            columns.append(sa.Column(column, cls(fsp=fraction)))
        else:
            columns.append(sa.Column(column, cls()))
    if not columns:
        return None
    return sa.Table(name, sa.MetaData(), *columns, schema=schema, info={"described": True})


def described_keys(
    connection: sa.Connection, name: str, schema: str | None, *, primary: bool = False
) -> list[tuple[str, ...]]:
    """Return the columns of each unique key, or of the primary one, whose columns we may see.

    Keys over the beginnings of texts keep no row unique. Of a key with a last column that is hidden
    from our login the rest is told as a key: it has to be looked for keys that are there twice.
    """
    names = ("index_name", "column_name", "seq_in_index", "sub_part", "table_name", "table_schema")
    told = sa.table(
        "statistics", *map(sa.column, (*names, "non_unique")), schema="information_schema"
    )
    found: dict[str, list[tuple[int, str, bool]]] = defaultdict(list)
    for index, column, at, part in connection.execute(
        sa.select(*(told.c[part] for part in names[:4])).where(
            told.c.table_name == name,
            told.c.table_schema == (schema or sa.func.database()),
            told.c.non_unique == sa.literal_column("0"),
        )
    ):
        found[str(index)].append((int(at), str(column), part is None))
    ordered = {index: sorted(parts) for index, parts in found.items()}
    return [
        tuple(column for _, column, _ in parts)
        for index, parts in sorted(ordered.items(), key=lambda item: item[0] != "PRIMARY")
        if all(whole for *_, whole in parts)
        and [at for at, *_ in parts] == list(range(1, len(parts) + 1))
        and (index == "PRIMARY" or not primary)
    ]
