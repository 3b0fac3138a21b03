"""Looking for what a sink's table has of one row: by its key, and by texts in any of its rows."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from insights.ground import keys
from insights.model import SinkSpec
from insights.sinks.statements import bound
from insights.sinks.values import key_part, parameter

_LEFT = {"revision", "status"}  # what an emptied row has beside its key


def one_row(
    spec: SinkSpec, table: sa.Table, row_key: str
) -> tuple[sa.Select[Any], dict[str, int | str | bytes | Decimal]]:
    """Return the query of the rows with a key, and its values.

    Raises:
        ValueError: If the key does not fit the table's.
    """
    parts = dict(zip(spec.key, keys.split(row_key, len(spec.key)), strict=True))
    match = [
        table.c[name] == bound(table.c[name].type, parameter(name), key=True) for name in parts
    ]
    given = {parameter(name): key_part(table.c[name], text) for name, text in parts.items()}
    return sa.select(*table.columns).where(*match), given


def is_emptied(spec: SinkSpec, row: Mapping[str, Any]) -> bool:
    """Return whether a row is a tombstone that says nothing."""
    says = (value for name, value in row.items() if name not in {*spec.key, *_LEFT})
    return str(row["status"]).strip() == "tombstoned" and all(value is None for value in says)


def any_text(table: sa.Table, texts: Sequence[str]) -> sa.Select[Any] | None:
    """Return the count of rows that have one of the texts in any text column; None: nothing to do.

    Letters are taken as they come, large or small.
    """
    columns = [column for column in table.columns if isinstance(column.type, sa.String)]
    found = [
        sa.func.lower(column).contains(text.lower(), autoescape=True)
        for column in columns
        for text in texts
    ]
    return sa.select(sa.func.count()).select_from(table).where(sa.or_(*found)) if found else None
