"""Whether a cursor lies in the future of the database's own clock.

A column without a zone holds what the application wrote. It is compared with the server's local
time, which is what `CURRENT_TIMESTAMP` gives there; our own session runs in UTC so that columns
with a zone print alike whatever the server's setting.
"""

from typing import Any

import sqlalchemy as sa

from insights.sources.casts import Column, Kind

_NOW: dict[str, str] = {
    "mysql": "COALESCE(CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', @@global.time_zone), "
    "UTC_TIMESTAMP(6))",
    "postgresql": "(clock_timestamp() AT TIME ZONE "
    "(SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'))",
    "mssql": "SYSDATETIME()",
    "oracle": "CAST(SYSTIMESTAMP AS TIMESTAMP)",
}
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
        return _sqlite(column) if kind not in ("integer", "binary") else None
    if kind not in ("datetime", "date"):
        return None
    zoned = _is_zoned(column.type)
    now = (_NOW_ZONED if zoned else _NOW).get(dialect, "CURRENT_TIMESTAMP")
    return column <= sa.literal_column(now)


def _sqlite(column: Column) -> Column:
    """Dates are text in SQLite, in UTC or local time, with a blank or a T: let it read them."""
    day = sa.func.julianday(column)
    latest: Column = sa.literal_column("max(julianday('now'), julianday('now', 'localtime'))")
    is_text = sa.func.typeof(column) == sa.literal_column("'text'")
    return sa.or_(sa.not_(is_text), day.is_(None), day <= latest)


def _is_zoned(type_: sa.types.TypeEngine[Any]) -> bool:
    if getattr(type_, "timezone", False):
        return True
    return type_.__visit_name__.casefold() == "timestamp" and type(type_).__module__.startswith(
        "sqlalchemy.dialects.mysql"
    )
