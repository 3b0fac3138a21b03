"""Work and where it ends: claims, leases, insights, and what polls know of rows."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from insights.model import (
    Bookmark,
    Claim,
    Following,
    Gap,
    Horizon,
    Insight,
    LastSweep,
    Lease,
    Mark,
    Outstanding,
    Page,
    Recorded,
    Row,
    Share,
    StreamState,
    SweepState,
    Window,
)


class Work(Protocol):
    """The queue of rows to be done, in the store."""

    def claim(self, shares: Sequence[Share]) -> list[Claim]:
        """Take rows under a lease, as many of each version as its share says, and commit."""
        ...

    def suspects(self) -> set[int]:
        """Return the versions with rows that are due now and must run alone."""
        ...

    def extend(self, claims: Sequence[Claim]) -> set[int]:
        """Prolong leases; return the work ids that are still ours."""
        ...

    def release(
        self, claims: Sequence[Claim], *, delay_s: float, blame: bool, isolate: bool, reason: str
    ) -> set[int]:
        """Give rows back; without blame the attempt is not counted; isolated rows run alone.

        Returns the work ids that had no attempt left and are dead letters now.
        """
        ...

    def bury(self, claim: Claim, reason: str) -> None:
        """Dead-letter one row with its reason."""
        ...

    def missing(self, claims: Sequence[Claim]) -> None:
        """Record that claimed rows are absent from the replica: no attempt, no deletion."""
        ...

    def recorded(self, stream: str) -> tuple[str | None, str | None]:
        """Return the replica's identity and position as the stream's last poll recorded them."""
        ...

    def restamp(self, equal: Sequence[tuple[Claim, Row]]) -> None:
        """Give claimed rows that are equal under the former key their hash under the new one."""
        ...

    def move(self, moved: Sequence[tuple[Claim, Row]]) -> list[Claim]:
        """Move claims to the newer hashes that were read; rows that lost a race are left out."""
        ...

    def expire(self) -> int:
        """Take back leases whose holder died; return how many."""
        ...

    def adopt(self) -> int:
        """At start: take back at once what a former run of this daemon held."""
        ...

    def outstanding(self) -> Outstanding:
        """Count open work."""
        ...


class Leases(Protocol):
    """Who polls, sweeps or publishes what; the store's clock decides."""

    def take(self, name: str) -> Lease | None:
        """Return the lease, or None while somebody else holds it."""
        ...

    def renew(self, lease: Lease) -> bool:
        """Prolong a lease; False means that it is lost."""
        ...


class Insights(Protocol):
    """Where finished rows are written, exactly once."""

    def write(self, finished: Sequence[Insight]) -> int:
        """Write what finished together in one transaction; return how many held their lease."""
        ...


class Ledger(Protocol):
    """One stream's known rows, its place between polls, and what its sweeps saw."""

    def follow(self, lease: Lease) -> Following:
        """Return the versions that follow the stream, and the form of its hashes from now on."""
        ...

    def state(self) -> StreamState:
        """Return what is known of the stream between polls."""
        ...

    def begin_pass(
        self,
        lease: Lease,
        stream_id: int,
        horizon: Horizon,
        mark: Mark | None,
        window: Window | None,
        unchanged: int = 0,
    ) -> None:
        """Note that a pass begins: how far it can see, asked before it, and the mark before it."""
        ...

    def record(
        self,
        lease: Lease,
        stream_id: int,
        page: Page,
        *,
        read_at: float,
        bookmark: bool = True,
        want_ids: bool = False,
        enqueue: bool = True,
        sample: int = 0,
    ) -> Recorded:
        """Record one page, read after `read_at` of the store's clock, and the bookmark behind it.

        `sample` is how many keys of new and changed rows are wanted back. Pages with a bookmark are
        a poll's: where the stream has marks, their rows are marked as pending.
        """
        ...

    def end_pass(
        self,
        lease: Lease,
        stream_id: int,
        passes: Sequence[Mark],
        gaps: Sequence[Gap],
        watermark: str | None,
    ) -> None:
        """Close a complete pass and promote the watermark."""
        ...

    def seen(
        self,
        lease: Lease,
        stream_id: int,
        *,
        identity: str | None,
        position: str | None,
        lag_s: float | None,
        window: Window | None = None,
        unchanged: int = 0,
        complete_s: float | None = None,
    ) -> None:
        """Note which replica a poll spoke to, and the time that it is complete through."""
        ...

    def late(self, stream_id: int, ages_s: Sequence[float]) -> None:
        """Count how old cursors were when their rows were recorded."""
        ...

    def keep_gaps(self, lease: Lease, stream_id: int, gaps: Sequence[Gap]) -> None:
        """Replace the missing identities that are looked for."""
        ...

    def widen(self, lease: Lease, stream_id: int, overlap_s: float, *, rows: int) -> bool:
        """Raise the overlap, because a sweep found rows that came later; True if it was lower."""
        ...

    def new_epoch(self, lease: Lease, stream_id: int, identity: str | None) -> None:
        """Begin again on another replica or another history."""
        ...

    def trouble(self, reason: str) -> None:
        """Note why the stream is not polled at present; the next poll that ends clears it."""
        ...

    def stop(self, stream_id: int, reason: str) -> None:
        """Stop the stream until somebody acts."""
        ...

    def shape(self, stream_id: int, shape: Mapping[str, str]) -> None:
        """Record the columns and types that are read from now on."""
        ...

    def open_sweep(self, lease: Lease, state: StreamState) -> SweepState:
        """Return the unfinished sweep of this epoch, or begin one."""
        ...

    def checkpoint(
        self,
        lease: Lease,
        sweep_id: int,
        blocks: Mapping[int, bytes],
        bookmark: Bookmark | None,
        *,
        rows: int,
        rescued: int,
    ) -> None:
        """Save marks and bookmark together."""
        ...

    def absent(self, sweep_id: int, position: str | None) -> tuple[list[int], int, int]:
        """Return the rows absent twice, how many are absent now, and how many rows are known."""
        ...

    def end_sweep(
        self,
        lease: Lease,
        stream_id: int,
        sweep_id: int,
        *,
        position: str | None,
        gone: Sequence[int],
        absent: int,
        refused: str | None,
        first: bool,
    ) -> int:
        """Close a sweep and tombstone what is gone; return how many rows that were."""
        ...

    def last_sweep(self, stream_id: int) -> LastSweep | None:
        """Return what is known of the last sweep that ended."""
        ...
