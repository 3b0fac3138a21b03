"""Which indexes keep every row of a table unique, as reflection tells of them."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa


def unique(look: sa.Inspector, table: str, schema: str | None) -> Iterator[tuple[str, ...]]:
    """Yield the columns of each unique index over whole columns of all rows, in its order."""
    for index in look.get_indexes(table, schema):
        names = index["column_names"]
        if index["unique"] and not is_partial(index) and all(names):
            yield tuple(name for name in names if name)


def is_partial(index: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's reflected index
    """Tell whether an index, as reflected, is one of some rows only."""
    options = index.get("dialect_options", {})
    return any(name.endswith("_where") and value is not None for name, value in options.items())
