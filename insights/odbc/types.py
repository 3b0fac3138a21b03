"""Reflected types that SQLAlchemy cannot work with yet, and the engine's names of the others."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql


class Bits(sa.BigInteger):
    """MySQL's BIT: a number that prints as bytes. SQLAlchemy's own type knows no operators yet."""


class Named(sa.types.UserDefinedType[Any]):
    """A type that SQLAlchemy does not know, by the name that the engine gives it.

    Args:
        name: The type, as DDL writes it.
        cast: Whether values are compared only where they are cast to it.
    """

    cache_ok = True

    def __init__(self, name: str, *, cast: bool = False) -> None:
        self.name = name
        self.cast = cast

    def get_col_spec(self, **_: object) -> str:
        """Return what DDL says."""
        return self.name


class OfDomain(postgresql.ENUM):
    """A PostgreSQL domain over an enumeration: sorted as that, compared only where it is cast."""


def usable(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """Return a reflected type, or one in its place that SQLAlchemy can compare with."""
    if isinstance(type_, mysql.BIT):
        return Bits()
    if isinstance(type_, postgresql.DOMAIN):  # is sorted, compared and indexed as what it is of
        base = usable(type_.data_type)
        if isinstance(base, postgresql.ENUM) and not isinstance(base, OfDomain):
            return OfDomain(*base.enums, name=base.name, schema=base.schema)
        return base
    if isinstance(type_, postgresql.MONEY):
        return sa.types.NullType()
    return sa.Integer() if isinstance(type_, mysql.YEAR) else type_
