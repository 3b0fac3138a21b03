"""The door to psycopg: a pool of connections, and the only place that knows psycopg's errors.

Every adapter of this room takes a `Store` and runs named statements on `Store.transaction()`.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import psycopg_pool
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import namedtuple_row

from insights import errors
from insights.ground import beats
from insights.store.bounded import BoundedConnection

Connection = psycopg.Connection[Any]
NO_WRITES = "takes no writes"  # of a store that answers: its disk is full, or it is a standby

# A cut network must not hang a thread for the kernel's two hours: libpq's own keepalives, in
# seconds, and TCP_USER_TIMEOUT in milliseconds (libpq manual, "Parameter Key Words").
_NETWORK = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# A transaction of a daemon that is cut off would hold its row locks, for which others wait, and the
# vacuum horizon of the whole store. None of ours does anything between two statements.
# A statement that fails is logged by the server without what it was given: quotes, keys.
_SESSION = (
    "-c lock_timeout=10s -c idle_in_transaction_session_timeout=20s -c timezone=UTC"
    " -c log_parameter_max_length_on_error=0"
)
# libpq keeps no error code of a connection that failed. In another language than English such a
# refusal reads as an outage: it is waited for, with its words in the log.
_REFUSED = re.compile(
    r"password authentication failed|no password supplied|no pg_hba\.conf entry"
    r'|(?:database|role) "[^"]*" does not exist'
)
_POOL_WAIT_S = 15.0
# Attempts to connect again are 1, 2, 4, … seconds apart: begun anew after so long, or an outage of
# minutes would be felt for as many minutes after its end.
_RECONNECT_S = 4.0
_IDLE_S = 30.0  # a connection heard of within this is lent without a question


def _again(pool: psycopg_pool.ConnectionPool[Any]) -> None:
    """Let a pool that has no connection, and gave up making one, begin again."""
    if not pool.get_stats()["pool_available"]:
        pool.check()


class Store:
    """Connections to the store, shared by the supervisor's threads.

    Args:
        url: A libpq connection URL.
        connections: Most connections held at once.
    """

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self._url = url
        self._renewing = threading.Lock()
        self._renewed = 0.0  # connections that were made before are replaced
        self._pool = psycopg_pool.ConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            connection_class=BoundedConnection,
            timeout=_POOL_WAIT_S,
            reconnect_timeout=_RECONNECT_S,
            reconnect_failed=_again,
            open=False,
            kwargs={
                **_NETWORK,
                "options": _SESSION,
                "autocommit": True,
                "application_name": "insights",
                "row_factory": namedtuple_row,
            },
            configure=self._bound,
            check=self._check,
            name="store",
        )

    def open(self) -> "Store":
        """Connect.

        Raises:
            errors.StoreUnavailable: If the server does not answer.
        """
        with _translated(self._url):
            try:
                self._pool.open(wait=True, timeout=_POOL_WAIT_S)
            except psycopg_pool.PoolTimeout:
                self._pool.close()
                reach(self._url)  # the pool hides why it cannot: this raises the real reason
                raise
        return self

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection in autocommit mode: each statement is a transaction."""
        with self._lent() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection inside one transaction, committed at the end, rolled back on error."""
        with self._lent() as connection, connection.transaction():
            yield connection

    @contextmanager
    def beginning(
        self, *statements: tuple[str, Mapping[str, Any]]
    ) -> Iterator[tuple[Connection, list[list[Any]]]]:
        """Lend as `transaction` does, with the rows of its first statements, in one round trip.

        Each sees what was committed before it began, as statements that are sent one by one do.
        """
        with self._lent() as connection, ExitStack() as stack:
            with connection.pipeline():
                # `connection.transaction()` would stay in the pipeline, and COPY is not for that.
                stack.enter_context(psycopg.Transaction(connection))
                asked = [connection.execute(*one, prepare=True) for one in statements]
            yield connection, [one.fetchall() for one in asked]

    @contextmanager
    def patient(self, seconds: float) -> Iterator[Connection]:
        """Lend as `transaction` does, for statements that each give up after so long."""
        limit = (str(round(seconds * 1_000)),)
        with self.transaction() as connection:
            connection.execute("SELECT set_config('statement_timeout', %s, true)", limit)
            yield connection

    @contextmanager
    def _lent(self) -> Iterator[BoundedConnection]:
        with _translated(self._url), self._pool.connection() as connection:
            connection.asked = None
            try:
                yield connection
            finally:
                if connection.closed:
                    self._renew(connection)
        beats.beat()

    def _bound(self, connection: BoundedConnection) -> None:
        connection.ask_on = self._url

    def _check(self, connection: BoundedConnection) -> None:
        """Ask a connection before it is lent, if it was not heard of for a while."""
        if connection.silent_s() < _IDLE_S:
            return
        try:
            with connection.hurried():
                psycopg_pool.ConnectionPool.check_connection(connection)
        except psycopg.Error:
            self._renew(connection)
            raise

    def _renew(self, broken: BoundedConnection) -> None:
        """Replace every connection of the broken one's age: what cut it has cut them too.

        Asked one after the other instead, with the pool's pauses between, eight mute ones would
        keep everybody waiting for half a minute.
        """
        with self._renewing:
            if broken.made <= self._renewed:
                return
            self._renewed = time.monotonic()
        self._pool.drain()


def reach(url: str) -> None:
    """Connect once and hang up.

    Raises:
        errors.StoreUnavailable: If the server does not answer.
        errors.StoreError: If it refuses us.
    """
    with _translated(url):
        psycopg.connect(url, connect_timeout=_NETWORK["connect_timeout"]).close()


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        raise translate(exc, _place(url), _login(url)) from exc


def _place(url: str) -> str:
    """Return where a store is, for people: no login, no password."""
    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return ""
    host, port, name = (str(known.get(part) or "") for part in ("host", "port", "dbname"))
    return f"{host or 'the local socket'}{port and f':{port}'}{name and f'/{name}'}"


def _login(url: str) -> str:
    """Return who logs in there; empty where the URL does not say."""
    try:
        return str(conninfo_to_dict(url).get("user") or "")
    except psycopg.ProgrammingError:
        return ""


def translate(exc: psycopg.Error, place: str = "", login: str = "") -> errors.InsightsError:
    """Return the error that psycopg's means to us, without any value a statement carried.

    Args:
        exc: What psycopg raised.
        place: Where the store is.
        login: Who logged in there.
    """
    problem = exc.diag.message_primary or str(exc).strip().split("\n")[0]
    match exc:
        case psycopg.errors.InsufficientPrivilege():
            return errors.AccessDenied(
                f"the store's login lacks a right: {problem}",
                where="store",
                fix="run sql/grants/store_daemon.sql as the owner of the schema",
                login=login,
            )
        case _ if _refuses(exc, problem):
            return errors.StoreError(problem, where="store.url", fix="correct the setting")
        case (
            psycopg.errors.UndefinedTable()
            | psycopg.errors.UndefinedColumn()
            | psycopg.errors.InvalidSchemaName()
            | psycopg.errors.UndefinedObject()
        ):
            return errors.StoreError(
                f"the store's schema does not fit this program: {problem}",
                where="store",
                fix="run `insights migrate`",
            )
        # Class 22 and limits of a value: what a row brought, whatever is wrong with the store.
        case psycopg.DataError() | psycopg.errors.ProgramLimitExceeded():
            return errors.RowError(
                f"the store cannot hold a value of it ({exc.sqlstate}, {type(exc).__name__})",
                where="store",
            )
        case (
            psycopg.OperationalError()
            | psycopg.InterfaceError()
            | psycopg.errors.ReadOnlySqlTransaction()
            | psycopg.errors.ForeignKeyViolation()  # a passage vanished meanwhile: try again
        ):
            return _unavailable(exc, f" at {place}" if place else "", problem)
        case _:
            return errors.StoreError(f"the store refused a statement: {problem}", where="store")


def _unavailable(exc: psycopg.Error, at: str, problem: str) -> errors.StoreUnavailable:
    """Say what is the matter with a store that will be back."""
    what, fix = "does not answer", "start it, or correct store.url"
    if isinstance(exc, psycopg.errors.DiskFull):
        what, fix = NO_WRITES, "free space on its server"
    elif isinstance(exc, psycopg.errors.ReadOnlySqlTransaction):
        what, fix = NO_WRITES, "point store.url at the primary"
    return errors.StoreUnavailable(
        f"the store{at} {what}: {problem}",
        where="store",
        fix=f"{fix}; a daemon goes on by itself",
    )


def _refuses(exc: psycopg.Error, problem: str) -> bool:
    """Return whether the server answers and does not let us in."""
    if isinstance(exc, psycopg.errors.InvalidPassword | psycopg.errors.InvalidCatalogName):
        return True
    return isinstance(exc, psycopg.OperationalError) and _REFUSED.search(problem) is not None
