"""What a trace shows of a row on its way: each step from claim to publish, never the row's text.

A row version has one trace in every daemon, named by what the store calls it (`trace_of`). Of all
of them a share is followed, the same ones everywhere. Until somebody takes spans (`follow`),
nothing is kept and every call returns at once.
"""

import hashlib
import threading
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

_MOST = 10_000  # attempts that are followed at once; those of rows that were lost are forgotten
_WHOLE = 1 << 64


class Span(NamedTuple):
    """One step, or one attempt from claim to write: times in seconds since 1970.

    `own` and `parent` are span ids, 0 for none. `failed` says in a word what went wrong.
    """

    trace: str
    name: str
    began: float
    ended: float
    own: int = 0
    parent: int = 0
    attributes: Mapping[str, str | float] = {}
    failed: str = ""


class Taker(Protocol):
    """Takes spans away without waiting."""

    def take(self, span: Span) -> None:
        """Take one; never raises."""


class Attempt(NamedTuple):
    """One claim of one row: `token` is its lease's, another one at every claim."""

    trace: str
    token: str

    @property
    def span(self) -> int:
        """The id of the attempt's own span."""
        return int.from_bytes(hashlib.blake2b(self.token.encode(), digest_size=8).digest(), "big")


def trace_of(row_id: int, version_id: int, input_hash: bytes) -> str:
    """Return the trace id of a row version in one pipeline version, 32 hexadecimal digits.

    The hash is keyed: nobody who has not the key finds a row's text by it.
    """
    whole = b"%d/%d/%b" % (row_id, version_id, input_hash)
    return hashlib.blake2b(whole, digest_size=16).hexdigest()


class Spans:
    """Follows a share of the rows from step to step: each span begins where the last one ended."""

    def __init__(self) -> None:
        self._taker: Taker | None = None
        self._below = 0
        self._lock = threading.Lock()
        self._at: dict[Attempt, tuple[float, float]] = {}  # when it was claimed, and its last step

    def follow(self, taker: Taker | None, share: float = 1.0) -> None:
        """Give spans to somebody from now on, of this share of all rows (0 to 1); None: nobody."""
        self._taker, self._below = taker, int(share * _WHOLE)
        with self._lock:
            self._at.clear()

    @property
    def followed(self) -> bool:
        """Whether any row is."""
        return self._taker is not None

    def claimed(self, attempts: Iterable[Attempt]) -> None:
        """Rows were claimed."""
        if self._taker is None:
            return
        now = time.time()
        with self._lock:
            self._at.update((one, (now, now)) for one in attempts if self._is_followed(one.trace))
            while len(self._at) > _MOST:
                del self._at[next(iter(self._at))]

    def passed(self, step: str, attempts: Iterable[Attempt]) -> None:
        """Rows have passed a step."""
        if self._taker is None:
            return
        now = time.time()
        for one in attempts:
            with self._lock:
                claimed, last = self._at.get(one, (0.0, 0.0))
                if not claimed:
                    continue
                self._at[one] = claimed, now
            self._taker.take(Span(one.trace, step, last, now, 0, one.span))

    def ended(
        self,
        attempts: Iterable[Attempt],
        told: Mapping[str, str | float] | None = None,
        *,
        failed: str = "",
    ) -> None:
        """Rows were written, given back or buried: their attempts are over."""
        if self._taker is None:
            return
        now = time.time()
        for one in attempts:
            with self._lock:
                claimed, _ = self._at.pop(one, (0.0, 0.0))
            if claimed:
                self._taker.take(
                    Span(one.trace, "enrich", claimed, now, one.span, 0, told or {}, failed)
                )

    def published(self, trace: str, began: float, *, sink: str, failed: str = "") -> None:
        """A row was told to a sink, by whichever daemon publishes."""
        if self._taker is not None and trace and self._is_followed(trace):
            told = {"insights.sink": sink}
            self._taker.take(Span(trace, "publish", began, time.time(), 0, 0, told, failed))

    def _is_followed(self, trace: str) -> bool:
        return int(trace[16:], 16) < self._below  # as OpenTelemetry's TraceIdRatioBased samples


SPANS = Spans()
"""This process's."""
