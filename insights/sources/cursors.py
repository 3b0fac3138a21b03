"""Columns that cannot be a cursor or a key: in no order, without bounds, not found again."""

import sqlalchemy as sa

from insights import errors
from insights.model import StreamSpec
from insights.odbc import door
from insights.sources import shape
from insights.sources.casts import Casts
from insights.sources.statements import Statements


def refuse(link: sa.Connection, stream: StreamSpec, statements: Statements) -> None:
    """Refuse a cursor that no watermark can be taken of.

    Raises:
        errors.StreamError: With its type and what to do.
    """
    if stream.cursor is None:
        return
    why = "new values do not come last in the order of that type"
    if statements.may_be_cursor():
        try:
            link.execute(statements.window(None, None).where(sa.false())).first()
        except sa.exc.DBAPIError as exc:
            if isinstance(door.translate(exc), errors.Transient):
                raise
            why = "the database tells no least and no greatest of its values"
        else:
            return
    type_ = shape.type_text(statements.column(stream.cursor).type)
    raise errors.StreamError(
        f"{stream.cursor} cannot be a cursor: it is of type {type_}, and {why}",
        where=shape.place(stream),
        fix="name a time, a number or a text; or read a query that casts it to one; or leave "
        "`cursor` out: sweeps then find new and changed rows",
    )


def refuse_changed(
    link: sa.Connection, stream: StreamSpec, statements: Statements, casts: Casts
) -> None:
    """Refuse a query's bytes that are a number to its engine (MariaDB's BIT): none is past another.

    Raises:
        errors.StreamError: With the column and what to do.
    """
    names = [*stream.key, *([stream.cursor] if stream.cursor else [])]
    if stream.table is not None or all(statements.kind(name) != "binary" for name in names):
        return
    row = link.execute(statements.bare_sample()).first()
    for name, raw in zip(names, row or (), strict=False):
        value = casts.decoded(raw)
        if statements.kind(name) != "binary" or value is None:
            continue
        text = value.decode() if isinstance(value, bytes) else str(value)
        if link.execute(statements.found_again(name, text)).first() is None:
            raise errors.StreamError(
                f"values of {name} are not found again by their own text",
                where=shape.place(stream),
                fix=f"cast it in the query, to a number or a text: CAST({name} AS …) AS {name}",
            )
