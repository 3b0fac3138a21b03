"""Read page after page of a stream and record each: what polls, sweeps and probes all do."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import msgspec

from insights import errors
from insights.ground import beats
from insights.model import Bookmark, Gap, Lease, Page, Recorded, StreamSpec, Walk
from insights.polling.courtesy import Courtesy
from insights.ports import Ledger, Source

_AHEAD = 2  # pages: now reading is what takes longer, now recording
_PAUSED = "paused in the store"
_MOST_READINGS = 5  # of one page, while other daemons move its rows on


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How to walk: in which order, between which gaps, and what is wanted of each page.

    `bookmark` saves the place behind each page, `want_ids` returns its row ids, `enqueue` makes
    work of what is new or changed, `sample` is how many keys of that are wanted back in all.
    """

    by: Walk
    within: Sequence[Gap] = ()
    bookmark: bool = False
    want_ids: bool = False
    enqueue: bool = True
    sample: int = 0


class Pages:
    """Walks one stream within its budget, under a lease that each recorded page prolongs.

    Args:
        source: The stream's database.
        ledger: Its rows in the store.
        courtesy: The stream's budget.
    """

    def __init__(self, source: Source, ledger: Ledger, courtesy: Courtesy) -> None:
        self._source = source
        self._ledger = ledger
        self._courtesy = courtesy

    def walk(
        self,
        lease: Lease,
        stream_id: int,
        stream: StreamSpec,
        after: Bookmark | None,
        way: Way,
        *,
        read_at: float,
    ) -> Iterator[tuple[Page, Recorded]]:
        """Yield each page after a bookmark, recorded; the last one is complete.

        While a page is recorded the next ones are read, unless the stream is throttled: two pages
        ahead, no more. Nothing but the bookmark says how far we are, and it is committed with its
        page, so a page that was read ahead and not recorded is read again.

        `read_at` is a time of the store's clock before the first page is read.

        Whether the stream may be read is asked before every page: a first load takes hours, and
        quiet hours begin, a person pauses it or the replica falls behind meanwhile. Whoever walks
        has asked before the first. Each page that is recorded tells whether it is paused by then:
        what was read ahead is left, and read again.

        Raises:
            errors.Fenced: If the lease is lost.
            errors.MustWait: If the source must be left alone; what was yielded is recorded.
        """
        read = partial(self._source.page, stream, by=way.by, within=way.within)
        at, sample, clock = after, way.sample, read_at
        page = read(at)
        with ExitStack() as stack:
            ahead = _Ahead(stack, partial(self._allowed, read))
            while True:
                if not page.complete and not self._courtesy.throttled:
                    ahead.read(page, clock)
                recorded = self._record(lease, stream_id, page, way, read_at, sample)
                found, clock = recorded, recorded.at
                for _ in range(_MOST_READINGS - 1):
                    if not recorded.outdated:
                        break  # else the page may be older than what a claim has moved to
                    ahead.drop()
                    page, read_at = read(at), clock
                    recorded = self._record(lease, stream_id, page, way, read_at, sample)
                    found, clock = _both(found, recorded), recorded.at
                sample = max(0, sample - len(found.stamped))
                yield page, found
                self._courtesy.pay(page.rows)
                if page.complete:
                    return
                at = page.last
                if ahead:
                    if recorded.paused:
                        raise errors.MustWait(_PAUSED)
                    page, read_at = ahead.next()
                else:
                    page, read_at = self._next(read, at), clock

    def _next(self, read: Callable[[Bookmark | None], Page], after: Bookmark | None) -> Page:
        """Read a page that was not read ahead, unless the source must be left alone now."""
        if self._ledger.state().paused:
            raise errors.MustWait(_PAUSED)
        return self._allowed(read, after)

    def _allowed(self, read: Callable[[Bookmark | None], Page], after: Bookmark | None) -> Page:
        """Read a page, unless quiet hours have begun or the replica has fallen behind."""
        if reason := self._courtesy.waits(self._source.fingerprint):
            raise errors.MustWait(reason)
        return read(after)

    def _record(
        self, lease: Lease, stream_id: int, page: Page, way: Way, read_at: float, sample: int
    ) -> Recorded:
        return self._ledger.record(
            lease,
            stream_id,
            page,
            read_at=read_at,
            bookmark=way.bookmark,
            want_ids=way.want_ids,
            enqueue=way.enqueue,
            sample=sample,
        )


class _Ahead:
    """The pages behind one, read one after the other on a thread of its own, with their times.

    Args:
        stack: Ends the thread: what it has begun is waited for, what it has not is left.
        read: Reads the page after a bookmark.
    """

    def __init__(self, stack: ExitStack, read: Callable[[Bookmark | None], Page]) -> None:
        self._stack = stack
        self._read = read
        self._thread: ThreadPoolExecutor | None = None
        self._pages: deque[tuple[Future[Page], float]] = deque()

    def __bool__(self) -> bool:
        return bool(self._pages)

    def read(self, page: Page, clock: float) -> None:
        """See that the pages behind one are read, which is asked for at a time of the store."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "pages")
            self._stack.callback(self._thread.shutdown, cancel_futures=True)
        while len(self._pages) < _AHEAD:
            before = self._pages[-1][0] if self._pages else page
            self._pages.append((self._thread.submit(self._behind, before), clock))

    def next(self) -> tuple[Page, float]:
        """Return the next page, and a time of the store's clock before it was read."""
        read, asked_at = self._pages.popleft()
        return beats.result(read), asked_at

    def drop(self) -> None:
        """Forget what was read; what is being read is waited for by the next reading."""
        for read, _ in self._pages:
            read.cancel()
        self._pages.clear()

    def _behind(self, before: Page | Future[Page]) -> Page:
        page = before.result() if isinstance(before, Future) else before
        return page if page.complete else self._read(page.last)  # nobody asks for it behind that


def _both(first: Recorded, second: Recorded) -> Recorded:
    return msgspec.structs.replace(
        second,
        new=first.new + second.new,
        changed=first.changed + second.changed,
        revived=first.revived + second.revived,
        stamped=first.stamped + second.stamped,
    )
