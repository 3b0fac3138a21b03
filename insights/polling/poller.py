"""One poll of one stream: what is new or changed, at the least cost for the replica.

Reads are at-least-once, work is unique: the ledger drops what is known. The watermark is a hint
that keeps polls cheap; it never passes a row that could still be on its way (see `watermark`). What
it misses all the same, the sweep finds.
"""

import time
from typing import Literal

import msgspec
import structlog

from insights import errors
from insights.model import (
    Bookmark,
    Fingerprint,
    Grade,
    Horizon,
    Lease,
    Mark,
    StreamSpec,
    StreamState,
    Walk,
    Window,
)
from insights.polling import watermark
from insights.polling.courtesy import Courtesy
from insights.polling.gaps import Gaps
from insights.polling.lateness import Watch
from insights.polling.pages import Pages, Way
from insights.polling.requests import AppliedMarks
from insights.ports import Leases, Ledger, Source

log = structlog.get_logger(__name__)

LONGEST_SKIP = 64  # polls after which an unchanged window is read again at the latest


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
        applied: What its marked rows were told; None where they are not told anything.
    """

    def __init__(
        self,
        stream: StreamSpec,
        source: Source,
        ledger: Ledger,
        leases: Leases,
        courtesy: Courtesy,
        applied: AppliedMarks | None = None,
    ) -> None:
        self._stream = stream
        self._source = source
        self._ledger = ledger
        self._leases = leases
        self._courtesy = courtesy
        self._pages = Pages(source, ledger, courtesy)
        self._gaps = Gaps(stream, source, ledger, self._pages)
        self._watch = Watch(stream, source, ledger)
        self._grade: Grade | None = None  # known once the stream was inspected
        self._applied = applied
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
        except errors.MustWait as exc:  # in the middle: the bookmark knows where
            return PollResult("skipped", reason=exc.what)
        except errors.StreamError as exc:
            self._grade = None
            self._ledger.stop(state.stream_id, str(exc))
            raise

    def _must_wait(self, state: StreamState) -> str:
        if state.paused:
            return "paused in the store"
        if waits := self._courtesy.waits():
            return waits
        if self._baselines and not state.baselined:
            return "its first sweep takes down what is there already"
        return ""

    def _poll(self, lease: Lease, state: StreamState) -> PollResult:
        began = time.monotonic()
        grade = self._inspected(state)
        replica = self._source.fingerprint()
        if self._courtesy.lags(replica.lag_s):
            self._note(lease, state, replica, complete=False)
            return PollResult("skipped", reason=f"the replica lags by {replica.lag_s:.0f} s")
        if self._diverged(state, replica):
            log.warning("another replica", stream=self._stream.name, identity=replica.identity)
            self._ledger.new_epoch(lease, state.stream_id, replica.identity)
            state = self._ledger.state()
        elif state.reached != replica.position:
            if self._source.is_behind(state.identity, state.reached, replica):
                log.warning("the replica went back in time", stream=self._stream.name)
                return PollResult("skipped", reason="the replica went back in time")
        elif state.reached is not None and state.bookmark is None and state.horizon is None:
            self._follow(lease, state, replica)
            self._note(lease, state, replica)
            return PollResult("unchanged")
        self._follow(lease, state, replica)
        if self._stream.cursor is None and self._stream.pending is None:
            self._note(lease, state, replica)
            return PollResult("skipped", reason="no cursor: sweeps find its rows")
        new, changed = self._beside(lease, state)
        horizon = self._horizon(state, replica)
        window: Window | None = None
        if state.horizon is None:
            if self._stream.cursor is not None:
                low = state.watermark or start_cursor(self._stream)
                window = self._source.window(self._stream, low)
                if self._read_before(state, window, horizon, grade):
                    self._note(lease, state, replica, window=window)
                    outcome: Literal["complete", "unchanged"] = (
                        "complete" if new or changed else "unchanged"
                    )
                    return PollResult(outcome, new=new, changed=changed)
            told = replica.applied_s is not None or replica.oldest is not None
            spent_s = time.monotonic() - began
            self._begin(lease, state, horizon, window, spent_s, told=told)
        found = self._read(lease, grade, replica)
        return msgspec.structs.replace(found, new=found.new + new, changed=found.changed + changed)

    def _follow(self, lease: Lease, state: StreamState, replica: Fingerprint) -> None:
        if self._applied is not None:
            self._applied.follow(lease, state, replica)

    def _begin(
        self,
        lease: Lease,
        state: StreamState,
        horizon: Horizon,
        window: Window | None,
        spent_s: float,
        *,
        told: bool,
    ) -> None:
        """Begin a pass: its mark has the time after the window, its horizon that before it."""
        mark: Mark | None = None
        if window is not None and window.safe_high is not None:
            at, unborn = state.now + spent_s, None
            if told:
                after = self._source.fingerprint()
                at, unborn = after.applied_s or at, after.next
            mark = Mark(at=at, cursor=window.safe_high, horizon=unborn)
        unchanged = _unchanged(state, window)
        self._ledger.begin_pass(lease, state.stream_id, horizon, mark, window, unchanged)

    def _horizon(self, state: StreamState, replica: Fingerprint) -> Horizon:
        """Return how far what is read from now on can see."""
        applied_s = replica.applied_s
        if applied_s is None:  # the store's clock, with the lag taken off
            applied_s = state.now - (replica.lag_s or 0.0)
        return Horizon(applied_s=applied_s, oldest=replica.oldest, position=replica.position)

    def _read(self, lease: Lease, grade: Grade, replica: Fingerprint) -> PollResult:
        """Read one pass, from where a crash left it, and promote."""
        state = self._ledger.state()
        result = self._walk(lease, state)
        passes, promoted = watermark.promoted(state, self._stream, grade)
        gaps = self._gaps.below(state, promoted) if grade == "L3" else ()
        self._ledger.end_pass(lease, state.stream_id, passes, gaps, promoted)
        self._note(lease, state, replica)
        return result

    def _walk(self, lease: Lease, state: StreamState) -> PollResult:
        """Read and record pages until the pass is complete."""
        by: Walk = "cursor" if self._stream.cursor else "key"
        at = state.bookmark
        low = state.watermark or start_cursor(self._stream)
        if at is None and by == "cursor" and low is not None:
            at = Bookmark(key=(), cursor=low)
        pages = rows = new = changed = revived = 0
        stamped: list[str] = []
        for page, recorded in self._pages.walk(
            lease,
            state.stream_id,
            self._stream,
            at,
            Way(by=by, bookmark=True, sample=self._watch.sample(state)),
            read_at=state.now,
        ):
            pages, rows = pages + 1, rows + page.rows
            new, changed = new + recorded.new, changed + recorded.changed
            revived += recorded.revived
            stamped += recorded.stamped
        self._watch.polled(state, stamped)
        return PollResult("complete", pages, rows, new, changed, revived)

    def _beside(self, lease: Lease, state: StreamState) -> tuple[int, int]:
        """Look for what no window shows: missing identities and, where allowed, NULL cursors."""
        new, changed = self._gaps.probe(lease, state) if state.gaps else (0, 0)
        if self._stream.poll_null_cursors and self._stream.cursor is not None:
            for _page, recorded in self._pages.walk(
                lease, state.stream_id, self._stream, None, Way(by="null"), read_at=state.now
            ):
                new, changed = new + recorded.new, changed + recorded.changed
        return new, changed

    def _read_before(
        self, state: StreamState, window: Window, horizon: Horizon, grade: Grade
    ) -> bool:
        """Tell whether this window was read as it is, and may stay unread for now.

        One UPDATE may stamp a million rows alike; they would be read at every poll until they leave
        the overlap. Count and bounds being equal, they are read again at doubling intervals only,
        and one last time before the watermark passes them.
        """
        if window != state.window:
            return False
        if not state.passes:
            return True
        polls = state.unchanged + 1  # 1, 2, 4, 8, …: how many have found it like this
        due = polls % LONGEST_SKIP == 0 if polls > LONGEST_SKIP else polls & (polls - 1) == 0
        mark = state.passes[0]
        return not due and not watermark.ripe(mark, horizon, state.overlap_s, self._stream, grade)

    def _diverged(self, state: StreamState, replica: Fingerprint) -> bool:
        return state.identity is not None and replica.identity != state.identity

    @property
    def grade(self) -> Grade | None:
        """The cursor's grade; None: not looked at yet."""
        return self._grade

    def _inspected(self, state: StreamState) -> Grade:
        """Return the cursor's grade, having compared columns and types with those recorded.

        Looked at once a start, and after an error.
        """
        if self._grade is not None:
            return self._grade
        found = self._source.inspect(self._stream)
        for name, was in (state.shape or {}).items():
            if found.columns.get(name, was) != was:
                raise errors.StreamError(
                    f"column {name} was {was} and is {found.columns[name]} now",
                    where=f"stream {self._stream.name}",
                    fix=f"check what reads it, then `insights resume {self._stream.name}`",
                )
        if found.columns != state.shape or state.stopped_reason:
            self._ledger.shape(state.stream_id, found.columns)
        self._grade = found.grade
        return found.grade

    def _note(
        self,
        lease: Lease,
        state: StreamState,
        replica: Fingerprint,
        *,
        window: Window | None = None,
        complete: bool = True,
    ) -> None:
        self._ledger.seen(
            lease,
            state.stream_id,
            identity=replica.identity if complete else None,  # what was not read is not noted
            position=replica.position if complete else None,
            lag_s=replica.lag_s,
            window=window,
            unchanged=_unchanged(state, window),
            complete_s=state.now - (replica.lag_s or 0.0) if complete else None,
        )


def _unchanged(state: StreamState, window: Window | None) -> int:
    """Return how many polls in a row will have found this window."""
    return state.unchanged + 1 if window is not None and window == state.window else 0
