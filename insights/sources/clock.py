"""Whether a cursor lies in the future of the database's own clock.

A column without a zone holds what the application wrote. It is compared with the server's local
time, which is what `CURRENT_TIMESTAMP` gives there; our own session runs in UTC so that columns
with a zone print alike whatever the server's setting.
"""

from typing import Any

import sqlalchemy as sa

from insights.sources.kinds import Column, Kind

_NOW: dict[str, str] = {
    "mysql": "COALESCE(CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', @@global.time_zone), "
    "UTC_TIMESTAMP(6))",
    "postgresql": "(clock_timestamp() AT TIME ZONE "
    "(SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'))",
    "mssql": "SYSDATETIME()",
    "oracle": "CAST(SYSTIMESTAMP AS TIMESTAMP)",
}
_DAY_S: Column = sa.literal_column("86400.0")
_NOW["mariadb"] = _NOW["mysql"]
_NOW_ZONED: dict[str, str] = {
    "mysql": "UTC_TIMESTAMP(6)",  # TIMESTAMP is read in the session's zone, which is UTC
    "mariadb": "UTC_TIMESTAMP(6)",
    "postgresql": "clock_timestamp()",
    "mssql": "SYSDATETIMEOFFSET()",
    "oracle": "SYSTIMESTAMP",
}


def not_in_the_future(dialect: str, column: Column, kind: Kind) -> Column | None:
    """Return the condition that a cursor is not in the future; None where it is no time."""
    if dialect == "sqlite":
        return _sqlite(column, kind) if kind not in ("integer", "binary") else None
    if kind == "rowversion" and dialect == "mssql":
        # Everything below it has ended. A secondary does not know: there the overlap has to do.
        return column < sa.literal_column("MIN_ACTIVE_ROWVERSION()")
    if kind not in ("datetime", "date"):
        return None
    return column <= sa.literal_column(_now(dialect, column))


def age(dialect: str, column: Column, kind: Kind) -> Column | None:
    """Return the seconds since a cursor, by the database's clock; None where it is no time."""
    if dialect == "sqlite":
        return _sqlite_age(column) if kind not in ("integer", "binary") else None
    if kind not in ("datetime", "date"):
        return None
    now: Column = sa.literal_column(_now(dialect, column))
    unit: Column
    if dialect in ("mysql", "mariadb"):
        unit = sa.literal_column("MICROSECOND")
        return sa.func.timestampdiff(unit, column, now) / sa.literal_column("1e6")
    if dialect == "postgresql":
        return sa.case((sa.func.isfinite(column), sa.extract("epoch", now.op("-")(column))))
    if dialect == "mssql":
        unit = sa.literal_column("MILLISECOND")
        return sa.func.datediff_big(unit, column, now) / sa.literal_column("1000.0")
    days = sa.cast(now, sa.Date).op("-")(sa.cast(column, sa.Date))
    return sa.type_coerce(days, sa.Float) * _DAY_S if dialect == "oracle" else None


def _now(dialect: str, column: Column) -> str:
    zoned = is_zoned(column.type)
    return (_NOW_ZONED if zoned else _NOW).get(dialect, "CURRENT_TIMESTAMP")


def _sqlite_age(column: Column) -> Column:
    """Return the smaller age that is none of the future: it may be UTC or local time."""
    zero: Column = sa.literal_column("0")
    ages: list[Column] = [
        (sa.literal_column(f"julianday({now})") - sa.func.julianday(column)) * _DAY_S
        for now in ("'now'", "'now', 'localtime'")
    ]
    utc, local = ages
    text = sa.type_coerce(column, sa.Text)
    is_day = text.like(sa.literal_column("'____-__-__%'"))  # a number is a day to it, too
    known = sa.case((local < zero, utc), (utc < zero, local), else_=sa.func.min(utc, local))
    return sa.case((is_day, known))


def _sqlite(column: Column, kind: Kind) -> Column:
    """Dates are text in SQLite, in UTC or local time, with a blank or a T: let it read them.

    Text that is none is passed over where times are declared: it would sort above them all.
    """
    day = sa.func.julianday(column)
    latest: Column = sa.literal_column("max(julianday('now'), julianday('now', 'localtime'))")
    is_text = sa.func.typeof(column) == sa.literal_column("'text'")
    passable = [sa.not_(is_text), day <= latest]
    return sa.or_(*passable) if kind in ("datetime", "date") else sa.or_(*passable, day.is_(None))


def is_zoned(type_: sa.types.TypeEngine[Any]) -> bool:
    """Tell whether a type of time carries its zone, or is kept in UTC by the database."""
    if getattr(type_, "timezone", False):
        return True
    return type_.__visit_name__.casefold() == "timestamp" and type(type_).__module__.startswith(
        "sqlalchemy.dialects.mysql"
    )
