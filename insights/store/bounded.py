"""A connection that does not wait for ever: bounded on our side, whatever the network does.

Keepalives and TCP_USER_TIMEOUT see a peer that is gone. They do not see one that acknowledges and
says nothing: a firewall or a proxy that forgot the connection. So whoever waits long for an answer
asks the server over a new connection whether it still works on the statement. If it does, we go on
waiting; if it does not, or cannot be reached, the answer will never come.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen, Query

from insights.ground import metrics
from insights.store import queries

RV = TypeVar("RV")

QUIET_S = 10.0  # without a byte, before the server is asked
LONGEST_S = 3_600.0  # of one statement, however busy the server says it is
_HURRIED_S = 2.0  # for the answer to an empty statement
_CONNECT_S = 5
_GRACE_S = 1.0  # for an answer that was on its way while we asked
# It works on our statement, and does not wait for us: then both sides would wait.
_WORKS = """
SELECT state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'
FROM pg_stat_activity WHERE pid = %s
"""


class _Cursor(psycopg.Cursor[Any]):
    """Notes what is asked, so that silence has a name."""

    def execute(self, query: Query, *args: Any, **kwargs: Any) -> "_Cursor":  # noqa: ANN401 - psycopg's
        if isinstance(self.connection, BoundedConnection):
            self.connection.asked = query
        began = time.monotonic()
        try:
            super().execute(query, *args, **kwargs)
        finally:
            name = queries.name(query)
            known = name if "." in name and " " not in name else "other"
            metrics.STATEMENTS.labels(known).observe(time.monotonic() - began)
        return self


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose every wait ends; a statement that gets no answer raises.

    Raises:
        psycopg.OperationalError: Where the answer will not come; the connection is closed then.
    """

    ask_on: str | None = None
    """The URL on which the server is asked; None gives up without asking."""
    asked: Query | None = None
    """The last statement."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - psycopg's own
        super().__init__(*args, **kwargs)
        self.cursor_factory = _Cursor
        self.made = self.heard = time.monotonic()
        self._quiet_s = QUIET_S
        self._asks = True

    def silent_s(self) -> float:
        """Return the seconds since its last answer."""
        return time.monotonic() - self.heard

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Expect answers within seconds, and ask nobody."""
        self._quiet_s, self._asks = _HURRIED_S, False
        try:
            yield
        finally:
            self._quiet_s, self._asks = QUIET_S, True

    def wait(self, gen: PQGen[RV], *args: Any, **kwargs: Any) -> RV:  # noqa: ANN401 - psycopg's own
        """Wait for a generator of psycopg's, which is woken every tenth of a second."""
        answer = super().wait(self._listening(gen), *args, **kwargs)
        self.heard = time.monotonic()
        return answer

    def _listening(self, gen: PQGen[RV]) -> PQGen[RV]:
        began = quiet = time.monotonic()
        patience = self._quiet_s
        try:
            state = next(gen)
            while True:
                ready = yield state
                if ready:
                    quiet = time.monotonic()
                elif (now := time.monotonic()) - quiet > patience:
                    if now - began > LONGEST_S:
                        self._give_up(now - began)
                    if self._works():
                        quiet, patience = now, self._quiet_s
                    elif patience == _GRACE_S:
                        self._give_up(now - began)
                    else:
                        quiet, patience = now, _GRACE_S
                state = gen.send(ready)
        except StopIteration as end:
            value: RV = end.value
            return value

    def _works(self) -> bool:
        """Ask the server, over a new connection, whether it works on our statement."""
        if self.ask_on is None or not self._asks:
            return False
        try:
            other = BoundedConnection.connect(
                self.ask_on,
                autocommit=True,
                connect_timeout=_CONNECT_S,
                application_name="insights: is it there?",
            )
            with closing(other), other.hurried():
                row = other.execute(_WORKS, (self.info.backend_pid,)).fetchone()
        except psycopg.Error:
            return False
        return row is not None and bool(row[0])

    def _give_up(self, after_s: float) -> None:
        self.pgconn.finish()
        asked = queries.name(self.asked)
        raise psycopg.OperationalError(
            f"no answer within {after_s:.0f} s"
            + (f" to {asked}" if asked else "")
            + "; connection closed"
        )
