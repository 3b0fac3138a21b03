"""One sweep of one stream: a walk over the key that compares every row with the ledger.

It finds what polls missed (rows committed late, backdated, with NULL cursors) and what is gone. A
row is gone when two sweeps in a row did not see it, on the same replica, which has moved on in
between; and never when a large share would vanish at once, which is what a lost grant looks like.
"""

import sys
import time

import msgspec
import structlog

from insights import errors
from insights.model import Lease, Recorded, StreamSpec, StreamState, SweepState
from insights.polling.courtesy import Courtesy
from insights.polling.lateness import Watch
from insights.polling.pages import Pages, Way
from insights.ports import Leases, Ledger, Source

log = structlog.get_logger(__name__)

CHECKPOINT_PAGES = 20  # pages between saved marks; a crash repeats at most these
LARGEST_LOSS = 0.1  # share of the known rows that one sweep may declare gone …
ALWAYS_ALLOWED = 20  # … though a few rows always may
CONFIRM_SHARE = 0.1  # of the time between sweeps, until absences are confirmed
_BLOCK = 8_192  # bytes of a block: 65,536 row ids


class SweepResult(msgspec.Struct, frozen=True):
    """What a sweep saw. `unconfirmed` rows were absent for the first time."""

    rows: int = 0
    rescued: int = 0
    deleted: int = 0
    unconfirmed: int = 0
    refused: str | None = None
    finished: bool = True


class Sweeper:
    """Sweeps one stream, under the same lease as its polls.

    Args:
        stream: The stream; one that names its rows by a `pending` predicate is never swept.
        source: Its database.
        ledger: Its rows in the store.
        leases: Where the lease `stream <name>` is taken.
        courtesy: The stream's budget.
        every_s: Seconds between sweeps.
    """

    def __init__(
        self,
        stream: StreamSpec,
        source: Source,
        ledger: Ledger,
        leases: Leases,
        courtesy: Courtesy,
        every_s: float,
    ) -> None:
        self._stream = stream
        self._source = source
        self._ledger = ledger
        self._leases = leases
        self._courtesy = courtesy
        self._every_s = every_s
        self._pages = Pages(source, ledger, courtesy)
        self._watch = Watch(stream, source, ledger)

    def due(self) -> bool:
        """Tell whether a sweep is due: never swept, too long ago, asked for, or to be confirmed."""
        if self._stream.pending is not None:
            return False
        state = self._ledger.state()
        last = self._ledger.last_sweep(state.stream_id)
        return state.sweep_due or last is None or last.age_s >= self._every_s

    def unconfirmed(self, *, at_once: bool = False) -> bool:
        """Tell whether the last sweep missed rows that the next one may declare gone.

        That next one comes early, but not at once: the replica has to move on in between. Where it
        tells its position and stands still, nothing could be confirmed, and nothing is read.
        """
        state = self._ledger.state()
        last = self._ledger.last_sweep(state.stream_id)
        if self._stream.pending is not None or last is None or not last.unconfirmed:
            return False
        if last.position is not None and last.position == state.reached:
            return False
        return at_once or last.age_s >= self._every_s * CONFIRM_SHARE

    def run_once(self, budget_s: float | None = None) -> SweepResult | None:
        """Sweep, or go on with a sweep that was cut off; None if it cannot be done now.

        Args:
            budget_s: After this many seconds leave off at a checkpoint, so that polls go on.
        """
        if self._stream.pending is not None:
            return None  # rows that are not marked are not absent
        lease = self._leases.take(f"stream {self._stream.name}")
        state = self._ledger.state()
        if lease is None or state.paused or state.stopped_reason or self._courtesy.waits():
            return None
        replica = self._source.fingerprint()
        if state.identity not in (None, replica.identity) or self._courtesy.lags(replica.lag_s):
            return None  # the next poll opens a new epoch, or the replica has caught up
        if self._source.is_behind(state.identity, state.reached, replica):
            return None  # a stale copy: what it shows was so once
        first = self._ledger.last_sweep(state.stream_id) is None
        sweep = self._ledger.open_sweep(lease, state)
        rows, rescued, finished = self._walk(lease, state, sweep, budget_s)
        if not finished:
            return SweepResult(rows, 0 if first else rescued, finished=False)
        gone, absent, known = self._ledger.absent(sweep.sweep_id, replica.position)
        refused = None
        if len(gone) > max(ALWAYS_ALLOWED, LARGEST_LOSS * known):
            refused = (
                f"{len(gone)} of {known} rows would vanish at once; check the login's grants and "
                "the stream's filter"
            )
            log.error("deletion refused", stream=self._stream.name, reason=refused)
            gone = []
        deleted = self._ledger.end_sweep(
            lease,
            state.stream_id,
            sweep.sweep_id,
            position=replica.position,
            gone=gone,
            absent=absent,
            refused=refused,
            first=first,
        )
        return SweepResult(rows, 0 if first else rescued, deleted, absent - deleted, refused)

    def _walk(
        self, lease: Lease, state: StreamState, sweep: SweepState, budget_s: float | None
    ) -> tuple[int, int, bool]:
        """Read on in key order, marking each row's bit; tell rows, rescued and whether it ended."""
        stream, enqueue = self._scope(state)
        marks = _Marks(sweep.blocks)
        last = self._ledger.last_sweep(state.stream_id)
        began = time.monotonic()
        rows = rescued = saved_rows = saved_rescued = pages = 0
        at = sweep.bookmark
        walk = self._pages.walk(
            lease,
            state.stream_id,
            stream,
            at,
            Way(
                by="key",
                want_ids=True,
                enqueue=enqueue,
                sample=sys.maxsize if last is not None else 0,
            ),
            read_at=state.now,
        )
        while True:
            try:
                page, found = next(walk)
            except errors.MustWait as exc:
                log.debug("sweep left off", stream=self._stream.name, reason=exc.what)
                complete, cut_off = False, True
            else:
                marks.set(found.row_ids)
                rows += page.rows
                if last is not None:
                    rescued += self._rescued(lease, state, found, sweep.sweep_id, last.began_s)
                pages, at = pages + 1, page.last or at
                complete = page.complete
                cut_off = budget_s is not None and time.monotonic() - began >= budget_s
            if complete or cut_off or pages % CHECKPOINT_PAGES == 0:
                self._ledger.checkpoint(
                    lease,
                    sweep.sweep_id,
                    marks.take(),
                    at,
                    rows=rows - saved_rows,
                    rescued=rescued - saved_rescued,
                )
                saved_rows, saved_rescued = rows, rescued
            if complete or cut_off:
                return rows, rescued, complete

    def _rescued(
        self, lease: Lease, state: StreamState, found: Recorded, sweep_id: int, before_s: float
    ) -> int:
        """Return how many rows of a page polls had missed, learning from those that came late."""
        if self._stream.cursor is None:
            return found.new + found.changed
        late = self._watch.swept(lease, state, found.stamped, sweep_id=sweep_id, before_s=before_s)
        return found.new + found.changed - len(found.stamped) + late

    def _scope(self, state: StreamState) -> tuple[StreamSpec, bool]:
        """Return what the sweep reads, and whether what it finds becomes work.

        With a start policy the first sweep takes down what is there already, without work: all of
        it for `now`, for a date what is older or has no cursor.
        """
        if state.baselined or self._stream.start == "beginning":
            return self._stream, True
        if self._stream.start == "now" or self._stream.cursor is None:
            return self._stream, False
        return msgspec.structs.replace(self._stream, before=self._stream.start), False


class _Marks:
    """Presence of row ids as bits, in blocks of 65,536; one bit a row, whatever the key order."""

    def __init__(self, blocks: dict[int, bytes]) -> None:
        self._blocks = {at: bytearray(block.ljust(_BLOCK, b"\0")) for at, block in blocks.items()}
        self._touched: set[int] = set()

    def set(self, row_ids: tuple[int, ...]) -> None:
        """Mark rows as present; bit 0 is the lowest bit of the first byte, as get_bit counts."""
        blocks = self._blocks
        for row_id in row_ids:
            at = row_id >> 16
            block = blocks.get(at)
            if block is None:
                block = blocks[at] = bytearray(_BLOCK)
            block[(row_id & 0xFFFF) >> 3] |= 1 << (row_id & 7)
        self._touched.update({row_id >> 16 for row_id in row_ids})

    def take(self) -> dict[int, bytes]:
        """Return the blocks touched since the last call."""
        touched = {at: bytes(self._blocks[at]) for at in self._touched}
        self._touched.clear()
        return touched
