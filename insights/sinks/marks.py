"""Marks: telling the legacy application that a marked row is done, by changing one column of it.

Each statement is an UPDATE of the mark's column alone, restricted to the row's key and to the
mark's old value. It is built from the settings' names and values: there is no text of SQL that
would have to be checked. A repeat finds another value and changes nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from insights import errors
from insights.ground import failpoints, keys
from insights.model import MarkSpec, Outcome, Told, Verb
from insights.odbc import door, positions
from insights.odbc.described import described
from insights.sinks.statements import bound
from insights.sinks.table import login, reflected
from insights.sinks.values import key_part, parameter


class MarkTable:
    """The marks of one stream's rows, over one ODBC connection at a time.

    Args:
        spec: Which table and columns, and which values.
        odbc: The connection string of a login that may change that column.
        timeout_s: Seconds that a statement may take.
    """

    def __init__(self, spec: MarkSpec, odbc: str, *, timeout_s: float) -> None:
        self._spec = spec
        self._odbc = odbc
        self._timeout_s = timeout_s
        self._place = f"marks of stream {spec.stream}"
        self._opened: sa.Engine | None = None
        self._table: sa.Table | None = None

    def tell(self, outcomes: Sequence[Outcome]) -> tuple[list[Told], str | None]:
        """Tell outcomes; return what changed, and the position after that.

        The position is read after the COMMIT: a replica that has reached it has applied them, or
        whatever had changed those marks before. A row that the database refuses stands alone.

        Raises:
            errors.SinkUnavailable: The database does not answer now; nothing is known of any.
            errors.SinkError: The table, a column or a right is missing.
        """
        told = self._told(outcomes)
        with self._begin() as connection:
            return told, positions.primary(connection)

    def _told(self, outcomes: Sequence[Outcome]) -> list[Told]:
        """Run the statements in one transaction; halve what the database refuses."""
        try:
            return self._transaction(outcomes)
        except errors.SinkError as exc:
            error = exc
        self.check()  # raises where the table or a right is to blame rather than a row
        if len(outcomes) > 1:
            half = len(outcomes) // 2
            return self._told(outcomes[:half]) + self._told(outcomes[half:])
        return [_told(outcomes[0], changed=False, error=error.what)]

    def _transaction(self, outcomes: Sequence[Outcome]) -> list[Told]:
        if self._table is None:
            self.check()
        table = self._table
        assert table is not None  # noqa: S101 - check raises or sets it
        told = []
        with self._begin() as connection:
            for outcome in outcomes:
                done = connection.execute(
                    self._statement(table, outcome.verb, also_rejected=outcome.mark_rejected),
                    self._values(table, outcome),
                )
                told.append(_told(outcome, changed=done.rowcount > 0))
            failpoints.reach("before-acknowledge-commit")
        failpoints.reach("after-acknowledge-commit")
        return told

    def check(self) -> None:
        """Look at the table, its columns and our rights on them, and change nothing.

        Raises:
            errors.SinkUnavailable: The database does not answer now.
            errors.SinkError: Naming the first thing missing, and the statement that gives it.
        """
        with self._begin() as connection:
            self._table = self._checked(connection)

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.dispose()

    def _checked(self, connection: sa.Connection) -> sa.Table:
        spec = self._spec
        name = f"{spec.schema}.{spec.table}" if spec.schema else spec.table
        grant = self._remedy(connection, name)
        look = described if connection.dialect.name in {"mysql", "mariadb"} else reflected
        table = look(connection, spec.table, spec.schema)
        if table is None:
            raise errors.SinkError(
                f"table {name} does not exist, or our login cannot see it",
                where=self._place,
                fix=grant,
            )
        for column in (*spec.key, *self._columns()):
            if column not in table.c:
                raise errors.SinkError(
                    f"table {name} has no column {column}, or our login cannot see it",
                    where=self._place,
                    fix=f"correct the setting; or {grant}",
                )
        for column in spec.key:
            if isinstance(table.c[column].type, sa.types._Binary | sa.Float):  # noqa: SLF001
                raise errors.SinkError(
                    f"rows cannot be found by key column {column}: it is binary or inexact",
                    where=self._place,
                    fix="name another unique key for the stream",
                )
        for right, statement in self._probes(table):
            try:
                connection.execute(*statement)
            except sa.exc.SQLAlchemyError as exc:
                found = door.translate(exc)
                if isinstance(found, errors.Transient):
                    raise
                raise errors.SinkError(
                    f"our login may not {right} table {name} ({found.what})",
                    where=self._place,
                    fix=grant,
                ) from None
        return table

    def _probes(self, table: sa.Table) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Yield statements that need each right and touch no row."""
        never = sa.literal_column("1") == sa.literal_column("0")
        columns = ", ".join((*self._spec.key, *self._columns()))
        seen = [table.c[name] for name in (*self._spec.key, *self._columns())]
        yield f"SELECT {columns} of", (sa.select(*seen).where(never),)
        for column in self._columns():
            change = sa.update(table).where(never).values({column: table.c[column]})
            yield f"UPDATE column {column} of", (change,)

    def _columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(change.column for change in self._spec.changes.values()))

    def _statement(self, table: sa.Table, verb: Verb, *, also_rejected: bool) -> sa.Update:
        change = self._spec.changes[verb]
        mark = table.c[change.column]
        olds = [change.old]
        reject = self._spec.reject
        if verb == "acknowledge" and also_rejected and reject and reject.column == change.column:
            olds.append(reject.new)
        match = [
            table.c[name] == bound(table.c[name].type, parameter(name), key=True)
            for name in self._spec.key
        ]
        still = sa.or_(*(mark == _value(mark, old) for old in olds))
        return sa.update(table).where(*match, still).values({mark: _value(mark, change.new)})

    def _values(self, table: sa.Table, outcome: Outcome) -> dict[str, object]:
        names = self._spec.key
        parts = keys.split(outcome.row_key, len(names))
        try:
            return {
                parameter(name): key_part(table.c[name], part)
                for name, part in zip(names, parts, strict=True)
            }
        except ValueError as exc:
            raise errors.SinkError(str(exc), where=self._place) from None

    def _remedy(self, connection: sa.Connection, table: str) -> str:
        """Return what gives our login its rights."""
        name = connection.dialect.name
        if name == "sqlite":
            return "let the daemon's user write the database file and its folder"
        who = login(connection) or "<the login>"
        return grants(self._spec, table, who, name)

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            if self._opened is None:
                self._opened = door.engine(self._odbc, read_only=False, timeout_s=self._timeout_s)
            with self._opened.begin() as connection:
                yield connection
        except (errors.SourceUnavailable, errors.StreamError, sa.exc.SQLAlchemyError) as exc:
            self._table = None
            found = door.translate(exc)
            if isinstance(found, errors.Transient):
                raise errors.SinkUnavailable(
                    found.what, where=self._place, fix=found.fix or "start it"
                ) from None
            raise errors.SinkError(found.what, where=self._place, fix=found.fix) from None


def _told(outcome: Outcome, *, changed: bool, error: str | None = None) -> Told:
    return Told(
        row_id=outcome.row_id,
        verb=outcome.verb,
        requests=outcome.requests,
        changed=changed,
        error=error,
    )


def grants(spec: MarkSpec, table: str, who: str, dialect: str) -> str:
    """Return the statements that give a login what it needs: to find rows, to change one column."""
    columns = ", ".join(dict.fromkeys(change.column for change in spec.changes.values()))
    seen = ", ".join(
        dict.fromkeys((*spec.key, *(change.column for change in spec.changes.values())))
    )
    if dialect == "oracle":  # which grants SELECT on whole tables only
        return f"GRANT SELECT ON {table} TO {who}; GRANT UPDATE ({columns}) ON {table} TO {who};"
    return f"GRANT SELECT ({seen}), UPDATE ({columns}) ON {table} TO {who};"


def _value(mark: sa.Column[Any], value: str | int) -> sa.ColumnElement[Any]:
    """Return a value of the settings as a bound parameter of the mark's own type."""
    type_ = sa.String() if isinstance(mark.type, sa.String) else mark.type
    given = str(value) if isinstance(mark.type, sa.String) else value
    return sa.bindparam(None, given, type_=type_, unique=True)
