"""A sink's table: checked once, then told states, each on condition that it is newer.

Every write is plain SQL that all engines share, so that SQL Server, Oracle and DB2 take the path
that this project's tests run: one SELECT says what stands, then `INSERT … VALUES` for rows that the
table lacks (its unique key refuses a second one) and `UPDATE … WHERE revision < ours`. Repeating
them, or doing them late, changes nothing.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import sqlalchemy as sa

from insights import errors
from insights.governance.seal import Seal
from insights.model import SinkResult, SinkSpec, SinkState
from insights.odbc import door
from insights.sinks import ddl, looking, values
from insights.sinks.columns import rooms
from insights.sinks.messages import Holds
from insights.sinks.statements import Statements
from insights.sinks.table import checked, legacy
from insights.sinks.values import parameter

CHUNK_ROWS = 100  # rows a transaction: a lock held for milliseconds; 5 key parts stay within 2,100
# MySQL and MariaDB clip what does not fit, in silence, unless told otherwise.
_STRICT = "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_ALL_TABLES')"

_Rows = dict[int, values.Row]  # by row id


class SinkTable:
    """The table of one sink, over one ODBC connection at a time.

    Args:
        spec: Which table, key and columns.
        odbc: The connection string of a login that may write that table.
        timeout_s: Seconds that a statement may take.
        credential: What holds the password, for messages.
        seal: Opens what placeholders stand for; None shows the placeholders.
    """

    def __init__(
        self,
        spec: SinkSpec,
        odbc: str,
        *,
        timeout_s: float,
        credential: str = "",
        seal: Seal | None = None,
    ) -> None:
        self._spec = spec
        self._odbc = odbc
        self._timeout_s = timeout_s
        self._credential = credential
        self._seal = seal
        self._opened: sa.Engine | None = None
        self._place = f"sink {spec.name}"
        self._statements: Statements | None = None
        self._rooms: values.Rooms = {}

    def apply(self, states: Sequence[SinkState]) -> list[SinkResult]:
        """Make the table show these states where they are newer than what stands there.

        Raises:
            errors.SinkUnavailable: The database does not answer now; nothing is known of the rest.
            errors.SinkError: The table, a column, its key or a right is missing.
        """
        results: list[SinkResult] = []
        for start in range(0, len(states), CHUNK_ROWS):
            results += self._chunk(states[start : start + CHUNK_ROWS])
        return results

    def max_revision(self) -> int:
        """Return the highest revision that stands in the table, 0 when it is empty."""
        table = self._known().table
        with self._begin() as connection:
            return int(connection.execute(sa.select(sa.func.max(table.c.revision))).scalar() or 0)

    def check(self) -> None:
        """Look at the table, its key, its columns and our rights on it, and change nothing.

        Raises:
            errors.SinkUnavailable: The database does not answer now.
            errors.SinkError: Naming the first thing missing, and the statement that gives it.
        """
        with self._begin() as connection:
            table = checked(connection, self._spec)
            self._rooms = rooms(connection, table, self._spec.text)
            self._statements = Statements(self._spec, table)

    def holds(self, row_key: str | None, texts: Sequence[str]) -> Holds:
        """Return what stands in the table of a row, and in how many rows one of the texts does.

        Texts are looked for in every text column of every row: it takes as long as the table is.

        Raises:
            errors.SinkUnavailable: The database does not answer now.
            errors.RowError: If the row's key does not fit the table's.
        """
        table = self._known().table
        found = Holds()
        with self._begin() as connection:
            if row_key is not None:
                found = self._held(connection, table, row_key)
            some = looking.any_text(table, texts)
            count = 0 if some is None else int(connection.execute(some).scalar() or 0)
        return msgspec.structs.replace(found, texts=count)

    def _held(self, connection: sa.Connection, table: sa.Table, row_key: str) -> Holds:
        try:
            statement, values_ = looking.one_row(self._spec, table, row_key)
        except ValueError as exc:
            raise errors.RowError(str(exc), where=self._place) from None
        rows = connection.execute(statement, values_).mappings().all()
        emptied = sum(looking.is_emptied(self._spec, dict(row)) for row in rows)
        return Holds(rows=len(rows) - emptied, emptied=emptied)

    def dialect(self) -> str:
        """Return the name of the engine's dialect.

        Raises:
            errors.SinkUnavailable: The database does not answer now.
        """
        with self._begin() as connection:
            return connection.dialect.name

    def ddl(self, dialect: str | None) -> str:
        """Return the script that makes the sink, for this engine or the one named.

        Raises:
            errors.SinkError: If the legacy table cannot be seen.
            errors.SettingsError: If the dialect is unknown, or names clash.
        """
        with self._begin() as connection:
            home = connection.dialect
            target = home if dialect is None else ddl.dialect(dialect)
            return ddl.script(self._spec, legacy(connection, self._spec), target, home.name)

    def close(self) -> None:
        """Close the connection."""
        if self._opened is not None:
            self._opened.dispose()

    def _chunk(self, states: Sequence[SinkState]) -> list[SinkResult]:
        table = self._known().table
        rows: _Rows = {}
        noted: dict[int, tuple[str, ...]] = {}
        results: dict[int, SinkResult] = {}
        for state in states:
            try:
                one = values.row(self._spec, table, self._rooms, self._restored(state))
            except ValueError as exc:
                results[state.row_id] = _refused(state, str(exc))
            else:
                rows[state.row_id], noted[state.row_id] = one
        made = [state for state in states if state.row_id in rows]
        gone = [state for state in made if state.shows == "tombstoned"]
        live = [state for state in made if state.shows != "tombstoned"]
        # First what lives: a key that changed in case alone is one row where a collation says so.
        for result in self._write(live, rows) + self._write(gone, rows):
            results[result.row_id] = msgspec.structs.replace(result, notes=noted[result.row_id])
        return [results[state.row_id] for state in states]

    def _restored(self, state: SinkState) -> SinkState:
        """Return a state as the sink shows it, with what its placeholders stand for."""
        if self._seal is None or not state.sealed:
            return state
        made = self._seal.restored(state.values, state.sealed, state.row_key)
        return msgspec.structs.replace(state, values=made)

    def _write(
        self, states: Sequence[SinkState], rows: _Rows, *, again: bool = True
    ) -> list[SinkResult]:
        """Write in one transaction; halve what the database refuses, down to the row at fault."""
        if not states:
            return []
        try:
            return self._transaction(states, rows)
        except errors.SinkError as exc:
            error = exc
        self.check()  # raises where the table or a right is to blame rather than a row
        if len(states) > 1:
            half = len(states) // 2
            return self._write(states[:half], rows) + self._write(states[half:], rows)
        if again:  # somebody may have inserted the same key between our SELECT and our INSERT
            return self._write(states, rows, again=False)
        return [_refused(states[0], error.what)]

    def _transaction(self, states: Sequence[SinkState], rows: _Rows) -> list[SinkResult]:
        statements = self._known()
        with self._begin() as connection:
            asked = {
                f"{name}_{number}": rows[state.row_id][name]
                for number, state in enumerate(states)
                for name in statements.key
            }
            standing = {
                int(number): (
                    (int(revision), insight and int(insight), str(status).strip()),
                    tuple(map(_unpadded, texts)),
                )
                for number, revision, insight, status, *texts in connection.execute(
                    statements.look(len(states)), asked
                )
            }
            missing, older, results = [], [], []
            for number, state in enumerate(states):
                held, owner = standing.get(number, (None, ()))
                ahead = None
                ours = rows[state.row_id]
                named = tuple(_unpadded(ours[parameter(name)]) for name in statements.texts)
                if held is None:
                    missing.append(ours)
                elif state.shows == "tombstoned" and owner != named:
                    pass  # another row's by now, whose key the collation takes for this one
                elif held[0] < state.revision:
                    older.append(ours)
                elif held != (state.revision, state.insight_id, values.status(state)):
                    ahead = held[0]
                results.append(
                    SinkResult(row_id=state.row_id, revision=state.revision, standing=ahead)
                )
            if missing:
                connection.execute(statements.insert, missing)
            if older:
                connection.execute(statements.update, older)
        return results

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine().begin() as connection, warnings.catch_warnings():
                # Of types that SQLAlchemy does not know: the engine does.
                warnings.simplefilter("ignore", sa.exc.SAWarning)
                if connection.dialect.name in {"mysql", "mariadb"}:
                    connection.exec_driver_sql(_STRICT)
                yield connection
        except (errors.SourceUnavailable, errors.StreamError, sa.exc.SQLAlchemyError) as exc:
            raise self._judge(exc) from None

    def _engine(self) -> sa.Engine:
        """Connect at the first use: with the database down the child still starts."""
        if self._opened is None:
            self._opened = door.engine(
                self._odbc,
                read_only=False,
                timeout_s=self._timeout_s,
                credential=self._credential,
            )
        return self._opened

    def _known(self) -> Statements:
        if self._statements is None:
            self.check()
        assert self._statements is not None  # noqa: S101 - check raises or sets it
        return self._statements

    def _judge(self, exc: Exception) -> errors.InsightsError:
        """Return what an error means for the sink; forget the table, which may have changed."""
        self._statements = None
        found = door.translate(exc)
        if isinstance(found, errors.Transient):
            fix = found.fix or "start it; or correct the connection string of the sink's source"
            return errors.SinkUnavailable(found.what, where=self._place, fix=fix)
        return errors.SinkError(found.what, where=self._place, fix=found.fix)


def _unpadded(text: object) -> str:
    """Return a key's text as it was before a CHAR padded it."""
    return str(text).rstrip(" ")


def _refused(state: SinkState, reason: str) -> SinkResult:
    return SinkResult(row_id=state.row_id, revision=state.revision, error=reason)
