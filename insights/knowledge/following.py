"""Keeping one collection in step with its documents, as one background job of the daemon.

A folder is compared as a whole at every round: hashing its files is cheap. A stream is read by its
cursor, and compared as a whole at longer intervals, which also finds what is gone, as sweeps do. A
lease keeps daemons that share a store from doing the same work twice.
"""

import time
from collections.abc import Callable

import structlog

from insights import errors
from insights.knowledge.indexer import Indexer, Progress, SyncReport
from insights.knowledge.stream import StreamDocuments
from insights.ports import Leases

log = structlog.get_logger(__name__)


class Following:
    """Synchronises one collection at an interval.

    Args:
        name: The collection's name.
        indexer: Synchronises it.
        leases: Where the lease `collection <name>` is taken.
        every_s: Seconds between rounds.
        stream: Its documents, if they are a stream's rows.
        compare_s: Seconds between comparisons of all rows of a stream.
        wait: Says why the source must be left alone now; empty when it need not.
        clock: Monotonic seconds; tests replace it.
    """

    def __init__(
        self,
        name: str,
        indexer: Indexer,
        leases: Leases,
        every_s: float,
        *,
        stream: StreamDocuments | None = None,
        compare_s: float = 0.0,
        wait: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = f"sync {name}"
        self.every_s = every_s
        self._lease_name = f"collection {name}"
        self._indexer = indexer
        self._leases = leases
        self._stream = stream
        self._compare_s = compare_s
        self._wait = wait
        if stream is not None:
            stream.waits = wait
        self._clock = clock
        self._compared: float | None = None
        self._epoch: int | None = None
        self._reported: dict[str, str] = {}

    def run_once(self) -> bool:
        """Do one round; there is never more to do at once.

        Raises:
            errors.KnowledgeError: If the documents cannot be listed.
            errors.Transient: If source, store or embedder does not answer.
        """
        lease = self._leases.take(self._lease_name)
        if lease is None:
            self._compared = None
            return False
        if lease.epoch != self._epoch:  # another daemon went on from where we were
            self._epoch, self._compared = lease.epoch, None
        if reason := self._wait():
            log.debug("not synchronised", job=self.name, reason=reason)
            return False

        def still_ours(_: Progress) -> None:
            if not self._leases.renew(lease):
                raise errors.Fenced("the lease was lost while synchronising", where=lease.name)

        began = self._clock()
        try:
            if self._stream is None or self._due(began):
                report = self._indexer.sync(still_ours, cautious=True)
                self._compared = began
            elif self._stream.has_cursor:
                report = self._indexer.follow(self._stream.changes(), still_ours)
            else:
                return False
        except errors.MustWait as exc:
            log.debug("left off", job=self.name, reason=exc.what)
            return False
        if self._stream is not None:
            self._stream.settle()
        self._tell(report)
        return False

    def _due(self, now: float) -> bool:
        return self._compared is None or now - self._compared >= self._compare_s

    def _tell(self, report: SyncReport) -> None:
        if report.changes:
            log.info(
                "synchronised",
                job=self.name,
                added=report.added,
                changed=report.changed,
                moved=report.moved,
                deleted=report.deleted,
                passages=report.embedded,
            )
        for uri, reason in report.problems.items():
            if self._reported.get(uri) != reason:
                log.warning("document left out", job=self.name, reason=reason)
        self._reported = dict(report.problems)
