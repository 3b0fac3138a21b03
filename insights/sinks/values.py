"""A state as a row of the sink: typed where a column is typed, text for people elsewhere."""

import datetime as dt
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from insights.ground import keys
from insights.model import Json, SinkSpec, SinkState
from insights.sinks import ddl
from insights.sinks.fit import Room, fit

Row = dict[str, object]  # by parameter name
Rooms = Mapping[str, Room]  # by column


def parameter(column: str) -> str:
    """Return the bound parameter of a column: UPDATE reserves the column name itself."""
    return f"v_{column}"


def columns(spec: SinkSpec, table: sa.Table) -> tuple[str, ...]:
    """Return the columns that are written beside the key: those it must have, and some it may."""
    wanted = (*ddl.properties(spec), *ddl.FIXED)
    return (*wanted, *(n for n in ddl.OPTIONAL if n in table.c and n not in wanted))


def status(state: SinkState) -> str:
    """Return what the legacy application reads: only an insight of the row as it is now is `ok`."""
    return state.status or "withheld" if state.shows == "current" else state.shows


def row(
    spec: SinkSpec, table: sa.Table, rooms: Rooms, state: SinkState
) -> tuple[Row, tuple[str, ...]]:
    """Return a row's parameters, and notes on what had to be fitted.

    A tombstone has no content: a deleted row's insight is not shown by anybody's join.

    Raises:
        ValueError: If a value cannot be shown in its column; the text names the column.
    """
    notes: list[str] = []
    made: Row = {}
    for name, text in zip(spec.key, keys.split(state.row_key, len(spec.key)), strict=True):
        made[parameter(name)] = key_part(table.c[name], text)
    gone = state.shows == "tombstoned"
    content: Json = {} if gone else {**state.values, "citations": state.citations or None}
    fixed: Json = {
        "insight_id": state.insight_id,
        "revision": state.revision,
        "status": status(state),
        "source_cursor": state.source_cursor,
        "pipeline_version": state.pipeline_version or None,
        "model": state.model or None,
        "generated_at": state.generated_at,
        **({} if "confidence" in ddl.properties(spec) else {"confidence": state.confidence}),
    }
    for name in columns(spec, table):
        value = fixed[name] if name in fixed else content.get(name)
        shown = None if value is None else _shown(table.c[name], value)
        if isinstance(shown, str):
            shown, what = fit(shown, rooms.get(name, Room()))
            notes += [f"{name}: {note}" for note in what]
        made[parameter(name)] = shown
    return made, tuple(notes)


def key_part(column: sa.Column[Any], text: str) -> int | str | bytes | Decimal:
    r"""Return a key part as it is bound; what is neither integer, text nor bytes the server casts.

    Bytes are read as the engines print them: hexadecimal, after `0x` on SQL Server and `\x` on
    PostgreSQL.
    """
    if isinstance(column.type, sa.types._Binary):  # noqa: SLF001 - the one base of BINARY, BLOB, BYTEA
        try:
            return bytes.fromhex(re.sub(r"^(?:0x|\\x)", "", text))
        except ValueError:
            raise ValueError(f"the row's key is no bytes, as column {column.name} is") from None
    if not isinstance(column.type, sa.Integer):
        return text
    try:
        number = int(text)
        return number if number < 2**63 else Decimal(number)  # which ODBC's integers cannot hold
    except ValueError:  # without the text: a key may be personal
        raise ValueError(f"the row's key is no whole number, as column {column.name} is") from None


def _shown(column: sa.Column[Any], value: Any) -> object:  # noqa: ANN401 - JSON
    """Return a JSON value as this column takes it.

    Raises:
        ValueError: If it cannot be shown there.
    """
    type_ = column.type
    try:
        match type_:
            case sa.Boolean():
                return bool(value)
            case sa.Integer():
                return _whole(value)
            case sa.Numeric():
                return _whole(value) if type_.scale == 0 else float(value)
            case sa.DateTime():
                return _moment(value)
            case sa.Date():
                return dt.date.fromisoformat(str(value)[:10])
            case _:
                return _text(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"column {column.name} cannot hold this {type(value).__name__}") from None


def _whole(value: Any) -> int:  # noqa: ANN401 - JSON
    number = int(value)
    if number != value or not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return number


def _moment(value: Any) -> dt.datetime:  # noqa: ANN401 - JSON
    """Return a time in UTC without a zone, to the second: many DATETIME columns keep no more."""
    moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
    return moment.astimezone(dt.UTC).replace(tzinfo=None, microsecond=0)


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return text for people: a list of plain values reads as `a; b`, anything deeper as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dt.datetime):
        return _moment(value).isoformat(sep=" ")
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return "; ".join(str(item) for item in value)
    return json.dumps(value, ensure_ascii=False)
