"""What one run has made: counted from where it began, however much there is besides."""

import datetime as dt

import msgspec

from insights.store.postgres import Store
from insights.store.queries import load


class Mark(msgspec.Struct, frozen=True):
    """Where a run begins: its time, the greatest numbers so far, and the dead letters."""

    at: dt.datetime
    row_id: int
    insight_id: int
    dead: int


class Totals(msgspec.Struct, frozen=True):
    """What a run has made; `dead` letters may have become fewer."""

    rows: int
    insights: int
    generations: int
    abstained: int
    withheld: int
    dead: int
    deleted: int


def mark(store: Store) -> Mark:
    """Return where a run begins."""
    with store.connection() as connection:
        row = connection.execute(load("insights")["mark"]).fetchone()
    assert row is not None  # noqa: S101 - it always has a row
    return msgspec.convert(row._asdict(), Mark)


def since(store: Store, mark: Mark) -> Totals:
    """Return what was made since a mark."""
    with store.connection() as connection:
        values = msgspec.structs.asdict(mark)
        row = connection.execute(load("insights")["since"], values).fetchone()
    assert row is not None  # noqa: S101 - it always has a row
    return msgspec.convert(row._asdict(), Totals)
