"""What a column's type is to us, whatever its engine calls it."""

import struct
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


def is_single(type_: sa.types.TypeEngine[Any]) -> bool:
    """Tell FLOAT of MariaDB and MySQL, whose server prints six digits of it, or a double's."""
    return isinstance(type_, mysql.FLOAT)


def as_single(text: str | None) -> str | None:
    """Return the shortest text of a number of single precision: 0.1, not 0.10000000149011612."""
    try:
        packed = struct.pack("f", float(text or ""))
    except (ValueError, OverflowError):
        return text
    shorter = (float(f"{float(text or ''):.{digits}g}") for digits in range(6, 10))
    found = next((one for one in shorter if _same(one, packed)), None)
    return text if found is None else repr(found).removesuffix(".0")


def _same(number: float, packed: bytes) -> bool:
    try:
        return struct.pack("f", number) == packed
    except OverflowError:  # rounded beyond the largest
        return False
