"""What publishing needs: sinks, what they still have to be told, and marked rows."""

from collections.abc import Sequence
from typing import Protocol

from insights.model import Outcome, PassingRow, SinkResult, SinkState, Told


class Sink(Protocol):
    """A table in a legacy database, written over ODBC by a child process of its own."""

    def apply(self, states: Sequence[SinkState]) -> list[SinkResult]:
        """Make the sink show these states, each conditional on its revision; idempotent."""
        ...

    def max_revision(self) -> int:
        """Return the highest revision the sink holds, 0 when it is empty."""
        ...


class Outbox(Protocol):
    """What one sink still has to be told, in the store, under the publisher's lease."""

    def hold(self) -> int | None:
        """Take or prolong the lease; return its epoch, None if somebody else has it."""
        ...

    def align(self, sink_revision: int) -> None:
        """Lift revisions above the sink's, and tell it again what it lost."""
        ...

    def take(self, limit: int) -> list[SinkState]:
        """Return up to `limit` states that are due, oldest first."""
        ...

    def settle(self, results: Sequence[SinkResult]) -> None:
        """Record what came of a batch; a state that was replaced meanwhile stays due."""
        ...

    def defer(self, states: Sequence[SinkState]) -> None:
        """Put a batch off, during which the publisher died."""
        ...

    def stop(self, reason: str) -> None:
        """Record why nothing can be published now; `align` clears it."""
        ...


class Requests(Protocol):
    """One stream's marked rows in the store, and what they were told."""

    def hold(self) -> bool:
        """Take or prolong the lease; False if another daemon has it."""
        ...

    def due(self, after: int, window: int) -> tuple[list[Outcome], int | None]:
        """Return what is due in the next window of open requests, and where that ends."""
        ...

    def settle(self, told: Sequence[Told], position: str | None) -> None:
        """Record what a batch of statements did, and the primary's position after them."""
        ...

    def told(self, stream_id: int, limit: int) -> list[str]:
        """Return positions that the replica may not have reached yet, oldest first."""
        ...

    def passing(
        self, stream_id: int, reached: Sequence[str] | None, limit: int, *, overlap_s: float
    ) -> list[PassingRow]:
        """Return rows whose statements the replica has applied; None: it has no position."""
        ...

    def passed(self, rows: Sequence[PassingRow]) -> None:
        """Take marks on these rows for new requests from now on."""
        ...
