"""One poll of one stream: what is new or changed, at the least cost for the replica.

Reads are at-least-once, work is unique: the ledger drops what is known. The watermark is a hint
that keeps polls cheap; it never passes a row that could still be on its way (see `_promote`). What
it misses all the same, the sweep finds.
"""

import datetime as dt
from typing import Literal

import msgspec
import structlog

from insights import errors
from insights.model import Bookmark, Fingerprint, Lease, StreamSpec, StreamState, Window
from insights.polling.courtesy import Courtesy
from insights.ports import Leases, Ledger, Source

log = structlog.get_logger(__name__)

MOST_PASSES = 64  # marks kept until they are old enough; more than overlap ÷ poll interval merges
LONGEST_SKIP = 64  # polls for which an unchanged window is left unread


def start_cursor(stream: StreamSpec) -> str | None:
    """Return the cursor a stream starts at, where its start policy names one."""
    return stream.start if stream.start not in ("beginning", "now") else None


class PollResult(msgspec.Struct, frozen=True):
    """What one poll did. `outcome` says why it read nothing, where it did not."""

    outcome: Literal["complete", "unchanged", "skipped", "held"]
    pages: int = 0
    rows: int = 0
    new: int = 0
    changed: int = 0
    revived: int = 0
    reason: str = ""


class Poller:
    """Polls one stream, under its lease.

    Args:
        stream: The stream.
        source: Its database.
        ledger: Its rows in the store.
        leases: Where the lease `stream <name>` is taken.
        courtesy: The stream's budget.
    """

    def __init__(
        self,
        stream: StreamSpec,
        source: Source,
        ledger: Ledger,
        leases: Leases,
        courtesy: Courtesy,
    ) -> None:
        self._stream = stream
        self._source = source
        self._ledger = ledger
        self._leases = leases
        self._courtesy = courtesy
        self._inspected = False
        self._baselines = stream.start != "beginning" and stream.pending is None

    def run_once(self) -> PollResult:
        """Poll once.

        Raises:
            errors.StreamError: If the stream cannot go on; it is stopped in the store.
            errors.Transient: If the source or the store does not answer.
        """
        lease = self._leases.take(f"stream {self._stream.name}")
        if lease is None:
            return PollResult("held", reason="another daemon polls this stream")
        state = self._ledger.state()
        reason = self._must_wait(state)
        if reason:
            return PollResult("skipped", reason=reason)
        try:
            return self._poll(lease, state)
        except errors.StreamError as exc:
            self._inspected = False
            self._ledger.stop(state.stream_id, str(exc))
            raise

    def _must_wait(self, state: StreamState) -> str:
        if state.paused:
            return "paused in the store"
        if self._courtesy.quiet(dt.datetime.now(dt.UTC).astimezone().time()):
            return "quiet hours"
        if self._baselines and not state.baselined:
            return "its first sweep takes down what is there already"
        return ""

    def _poll(self, lease: Lease, state: StreamState) -> PollResult:
        self._check_shape(state)
        replica = self._source.fingerprint()
        if self._courtesy.lags(replica.lag_s):
            self._note(lease, state, replica, complete=False)
            return PollResult("skipped", reason=f"the replica lags by {replica.lag_s:.0f} s")
        if self._diverged(state, replica):
            log.warning("another replica", stream=self._stream.name, identity=replica.identity)
            self._ledger.new_epoch(lease, state.stream_id, replica.identity, replica.position)
            state = self._ledger.state()
        elif state.position is not None and replica.position != state.position:
            if self._source.is_behind(state.identity, state.position):
                log.warning("the replica went back in time", stream=self._stream.name)
                return PollResult("skipped", reason="the replica went back in time")
        elif state.position is not None and state.bookmark is None and state.began is None:
            self._note(lease, state, replica)
            return PollResult("unchanged")
        if self._stream.cursor is None and self._stream.pending is None:
            self._note(lease, state, replica)
            return PollResult("skipped", reason="no cursor: sweeps find its rows")
        return self._read(lease, state, replica)

    def _read(self, lease: Lease, state: StreamState, replica: Fingerprint) -> PollResult:
        """Read one pass: from where a crash left it, or a fresh one if the window changed."""
        window: Window | None = None
        if state.began is None:
            if self._stream.cursor is not None:
                low = state.watermark or start_cursor(self._stream)
                window = self._source.window(self._stream, low)
                if self._read_before(state, window):
                    self._note(lease, state, replica, window=window, skipped=state.skipped + 1)
                    return PollResult("unchanged")
            self._ledger.begin_pass(lease, state, window)
            state = self._ledger.state()
        result = self._walk(lease, state)
        passes, watermark = self._promote(state, replica)
        self._ledger.end_pass(lease, state.stream_id, passes, watermark)
        self._note(lease, state, replica)
        return result

    def _walk(self, lease: Lease, state: StreamState) -> PollResult:
        """Read and record pages until the pass is complete."""
        by: Literal["cursor", "key"] = "cursor" if self._stream.cursor else "key"
        at = state.bookmark
        low = state.watermark or start_cursor(self._stream)
        if at is None and by == "cursor" and low is not None:
            at = Bookmark(key=(), cursor=low)
        pages = rows = new = changed = revived = 0
        while True:
            page = self._source.page(self._stream, at, by=by)
            recorded = self._ledger.record(lease, state.stream_id, page)
            pages, rows = pages + 1, rows + page.rows
            new, changed = new + recorded.new, changed + recorded.changed
            revived += recorded.revived
            if page.complete:
                return PollResult("complete", pages, rows, new, changed, revived)
            at = page.last
            self._courtesy.pay(page.rows)
            if not self._leases.renew(lease):
                raise errors.Fenced("the lease was lost in the middle of a pass", where=lease.name)

    def _read_before(self, state: StreamState, window: Window) -> bool:
        """Tell whether this window was read as it is, and may stay unread for now.

        One UPDATE may stamp a million rows alike; they would be read at every poll until they leave
        the overlap. Count and bounds being equal, they are read again at doubling intervals only,
        and one last time before the watermark passes them.
        """
        if state.window is None or window != state.window:
            return False
        if not state.passes:
            return True
        due = state.skipped & (state.skipped + 1) == 0  # 0, 1, 3, 7, 15, …
        leaving = state.now - state.passes[0][0] >= state.overlap_s
        return not due and not leaving and state.skipped < LONGEST_SKIP

    def _promote(
        self, state: StreamState, replica: Fingerprint
    ) -> tuple[list[tuple[float, str]], str | None]:
        """Return the marks still waiting, and the watermark to be set.

        A pass's mark is the highest safe cursor *before* it began. A row with a cursor at or below
        that mark was stamped before; if no transaction lasts longer than the overlap, it has been
        committed, and applied by a replica that lags by L, once overlap + L have gone by. So when a
        later pass has begun after that, it has read the row, and the mark becomes the watermark.
        The cursors themselves are never compared here.
        """
        assert state.began is not None  # noqa: S101 - a pass is under way
        marks = list(state.passes)
        applied = state.began - (replica.lag_s or 0.0)
        ripe = [mark for mark in marks if applied - mark[0] >= state.overlap_s]
        marks = marks[len(ripe) :]
        if state.mark is not None and (not marks or marks[-1][1] != state.mark):
            if len(marks) >= MOST_PASSES:
                marks.pop()  # the newer mark takes its place and only ripens later
            marks.append((state.began, state.mark))
        return marks, ripe[-1][1] if ripe else None

    def _diverged(self, state: StreamState, replica: Fingerprint) -> bool:
        return state.identity is not None and replica.identity != state.identity

    def _check_shape(self, state: StreamState) -> None:
        """Compare columns and types with those recorded; once a start, and after an error."""
        if self._inspected:
            return
        columns = self._source.inspect(self._stream).columns
        for name, was in (state.shape or {}).items():
            if columns.get(name, was) != was:
                raise errors.StreamError(
                    f"column {name} was {was} and is {columns[name]} now",
                    where=f"stream {self._stream.name}",
                    fix="if that is meant, clear the stream's shape in store.stream",
                )
        if columns != state.shape or state.stopped_reason:
            self._ledger.shape(state.stream_id, columns)
        self._inspected = True

    def _note(
        self,
        lease: Lease,
        state: StreamState,
        replica: Fingerprint,
        *,
        window: Window | None = None,
        skipped: int = 0,
        complete: bool = True,
    ) -> None:
        self._ledger.seen(
            lease,
            state.stream_id,
            identity=replica.identity,
            position=replica.position,
            lag_s=replica.lag_s,
            window=window,
            skipped=skipped,
            complete=complete,
        )
