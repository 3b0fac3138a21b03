"""What a column's type is to us, whatever its engine calls it."""

from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

Kind = Literal[
    "integer", "decimal", "float", "text", "char", "date", "time", "datetime", "binary", "guid",
    "rowversion", "boolean", "other",
]  # fmt: skip
Column = sa.ColumnElement[Any]

_BY_CLASS: tuple[tuple[type[Any], Kind], ...] = (
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Float, "float"),
    (sa.Numeric, "decimal"),
    (sa.Enum, "other"),
    (mysql.SET, "other"),
    (sa.CHAR, "char"),
    (sa.NCHAR, "char"),
    (sa.String, "text"),
    (sa.DateTime, "datetime"),
    (sa.Date, "date"),
    (sa.Time, "time"),
    (sa.types._Binary, "binary"),  # noqa: SLF001 - the one base of BINARY, BLOB and BYTEA
    (sa.Uuid, "guid"),
)
_BY_NAME: dict[str, Kind] = {
    "timestamp": "rowversion",  # SQL Server's; every other TIMESTAMP is a DateTime
    "rowversion": "rowversion",
    "uniqueidentifier": "guid",
    "bytea": "binary",
}


def kind_of(type_: sa.types.TypeEngine[Any]) -> Kind:
    """Return what a reflected type is to us."""
    name = type_.__visit_name__.casefold()
    if type(type_).__module__.startswith("sqlalchemy.dialects.mssql") and name in _BY_NAME:
        return _BY_NAME[name]
    for cls, kind in _BY_CLASS:
        if isinstance(type_, cls):
            return kind
    return "other"
