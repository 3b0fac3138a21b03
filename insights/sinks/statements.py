"""What a publisher runs on a sink's table, built once: the same text each time, for any engine."""

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from insights.model import SinkSpec
from insights.sinks.values import columns, parameter


class Statements:
    """The three statements of a sink; parameters are named as `values.row` names them.

    Args:
        spec: The sink.
        table: Its table, as it is in the database.
    """

    def __init__(self, spec: SinkSpec, table: sa.Table) -> None:
        self.table = table
        self.key = tuple(parameter(name) for name in spec.key)
        self._spec = spec
        names = (*spec.key, *columns(spec, table))
        bound = {name: self._bound(name, parameter(name)) for name in names}
        # Keys that a collation takes for one may differ in case: then the row says whose it is.
        self.texts = tuple(name for name in spec.key if isinstance(table.c[name].type, sa.String))
        # Without its primary key, so that SQLAlchemy asks no driver for a generated one.
        plain = sa.table(table.name, *map(sa.column, names), schema=table.schema)
        self.insert = sa.insert(plain).values(bound)
        match = [table.c[name] == bound[name] for name in spec.key]
        for name in set(spec.key).difference(self.texts):
            del bound[name]
        newer = table.c.revision < bound["revision"]
        self.update = sa.update(table).where(*match, newer).values(bound)
        self.look = cache(self._look)

    def _look(self, rows: int) -> sa.CompoundSelect[Any]:
        """Return the look-up of so many rows: number, revision, insight, status, texts of the key.

        The database compares the keys; its answer says which by number. Key parameters are those
        of a row with `_<number>` appended.
        """
        table = self.table
        return sa.union_all(
            *(
                sa.select(
                    sa.literal_column(str(number)).label("number"),
                    table.c.revision,
                    table.c.insight_id,
                    table.c.status,
                    *(table.c[name] for name in self.texts),
                ).where(
                    *(
                        table.c[name] == self._bound(name, f"{parameter(name)}_{number}")
                        for name in self._spec.key
                    )
                )
                for number in range(rows)
            )
        )

    def _bound(self, name: str, as_: str) -> sa.ColumnElement[Any]:
        return bound(self.table.c[name].type, as_, key=name in self._spec.key)


def bound(type_: sa.types.TypeEngine[Any], as_: str, *, key: bool) -> sa.ColumnElement[Any]:
    """Return a bound parameter; a key neither text, integer nor bytes is cast by the server."""
    if key and isinstance(type_, sa.types._Binary):  # noqa: SLF001 - the one base of BINARY, BLOB, BYTEA
        return sa.bindparam(as_, type_=sa.LargeBinary())
    if isinstance(type_, sa.types.NullType):  # that of the engine's own: it takes its text
        return sa.bindparam(as_, type_=sa.String())
    text = isinstance(type_, sa.String)
    cast = key and not text and not isinstance(type_, sa.Integer)
    given = sa.bindparam(as_, type_=sa.String() if text or cast else type_)
    if isinstance(type_, mysql.FLOAT | mysql.DOUBLE | mysql.REAL):  # no server casts to FLOAT(7, 2)
        type_ = mysql.DOUBLE()
    if isinstance(type_, mysql.DECIMAL | mysql.NUMERIC):  # nor to one UNSIGNED or ZEROFILL
        type_ = mysql.DECIMAL(type_.precision, type_.scale)
    return sa.cast(given, type_) if cast else given
