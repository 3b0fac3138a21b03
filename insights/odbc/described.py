"""A table's columns as information_schema tells them, where reflection would need more rights."""

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
    return sa.Table(name, sa.MetaData(), *columns, schema=schema) if columns else None
