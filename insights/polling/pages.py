"""Read page after page of a stream and record each: what polls, sweeps and probes all do."""

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

        While a page is recorded the next one is read, unless the stream is throttled: one page
        ahead, no more. Nothing but the bookmark says how far we are, and it is committed with its
        page, so a page that was read ahead and not recorded is read again.

        `read_at` is a time of the store's clock before the first page is read.

        Whether the stream may be read is asked before every page: a first load takes hours, and
        quiet hours begin, a person pauses it or the replica falls behind meanwhile. Whoever walks
        has asked before the first.

        Raises:
            errors.Fenced: If the lease is lost.
            errors.MustWait: If the source must be left alone; what was yielded is recorded.
        """
        read = partial(self._source.page, stream, by=way.by, within=way.within)
        at, sample, clock = after, way.sample, read_at
        page = read(at)
        with ExitStack() as stack:
            reader: ThreadPoolExecutor | None = None
            while True:
                ahead: Future[Page] | None = None
                asked_at = clock
                if not page.complete and not self._courtesy.throttled:
                    reader = reader or stack.enter_context(ThreadPoolExecutor(1, "pages"))
                    ahead = reader.submit(self._next, read, page.last)
                recorded = self._record(lease, stream_id, page, way, read_at, sample)
                found, clock = recorded, recorded.at
                for _ in range(_MOST_READINGS - 1):
                    if not recorded.outdated:
                        break  # else the page may be older than what a claim has moved to
                    page, ahead, read_at = read(at), None, clock
                    recorded = self._record(lease, stream_id, page, way, read_at, sample)
                    found, clock = _both(found, recorded), recorded.at
                sample = max(0, sample - len(found.stamped))
                yield page, found
                self._courtesy.pay(page.rows)
                if page.complete:
                    return
                at = page.last
                if ahead is None:
                    page, read_at = self._next(read, at), clock
                else:
                    page, read_at = beats.result(ahead), asked_at

    def _next(self, read: Callable[[Bookmark | None], Page], after: Bookmark | None) -> Page:
        """Read a page that is not the first, unless the source must be left alone now."""
        reason = "paused in the store" if self._ledger.state().paused else ""
        reason = reason or self._courtesy.waits(self._source.fingerprint)
        if reason:
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


def _both(first: Recorded, second: Recorded) -> Recorded:
    return msgspec.structs.replace(
        second,
        new=first.new + second.new,
        changed=first.changed + second.changed,
        revived=first.revived + second.revived,
        stamped=first.stamped + second.stamped,
    )
