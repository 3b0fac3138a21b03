"""Polling and sweeping one stream, as one background job of the daemon.

Polls and sweeps of a stream take turns under one lease and never run side by side: a sweep's page,
read before a poll and recorded after it, would put an older copy of a row back into the ledger.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from insights import errors
from insights.ground import metrics
from insights.model import StreamSpec
from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper
from insights.ports import Leases, Ledger

log = structlog.get_logger(__name__)

Build = Callable[[StreamSpec], tuple[Poller, Sweeper]]


class StreamJob:
    """Polls at an interval; in between it sweeps when a sweep is due.

    What is read follows the versions that are deployed: they are looked at before each round.

    Args:
        stream: The stream, without what its versions read.
        ledger: Its rows in the store.
        leases: Where the lease `stream <name>` is taken.
        build: Makes its polls and sweeps, for what its versions read now.
        every_s: Seconds between polls; a longer sweep leaves off as often for a poll.
        once: Sweep to the end at the first call, whether due or not.
    """

    def __init__(
        self,
        stream: StreamSpec,
        ledger: Ledger,
        leases: Leases,
        build: Build,
        every_s: float,
        *,
        once: bool = False,
    ) -> None:
        self.name = f"poll {stream.name}"
        self.every_s = every_s
        self._stream = stream
        self._ledger = ledger
        self._leases = leases
        self._build = build
        self._built: tuple[StreamSpec, Poller, Sweeper] | None = None
        self._once = once
        self._forced = once

    def run_once(self) -> bool:
        """Poll, then sweep if there is a reason to; True while a sweep goes on."""
        try:
            return self._poll_and_sweep()
        except errors.StoreUnavailable:
            raise  # where it would be noted is what is down
        except Exception as exc:
            foreseen = isinstance(exc, errors.InsightsError)
            reason = str(exc) if foreseen else f"internal error: {type(exc).__name__}, see the log"
            with suppress(errors.InsightsError):  # what failed is what is raised
                self._ledger.trouble(reason)
            raise

    def _poll_and_sweep(self) -> bool:
        lease = self._leases.take(f"stream {self._stream.name}")
        if lease is None:
            log.debug("not polled", job=self.name, reason="another daemon polls this stream")
            return False
        following = self._ledger.follow(lease)
        if not following.versions:
            log.debug("not polled", job=self.name, reason="no pipeline follows it")
            return False
        spec = following.spec(self._stream)
        if self._built is None or self._built[0] != spec:
            self._built = (spec, *self._build(spec))
        return self._round(self._built[1], self._built[2])

    def _round(self, poller: Poller, sweeper: Sweeper) -> bool:
        began = time.monotonic()
        result = poller.run_once()
        stream = self._stream.name
        metrics.POLLS.labels(stream).observe(time.monotonic() - began)
        metrics.POLLED.labels(stream).inc(result.rows)
        for change, rows in (("new", result.new), ("changed", result.changed)):
            metrics.CHANGES.labels(stream, change).inc(rows)
        if result.new or result.changed:
            log.info(
                "polled",
                job=self.name,
                rows=result.rows,
                new=result.new,
                changed=result.changed,
                revived=result.revived,
            )
        elif result.outcome in ("skipped", "held"):
            log.debug("not polled", job=self.name, reason=result.reason)
        if not (self._forced or sweeper.due() or sweeper.unconfirmed(at_once=self._once)):
            return False
        self._forced = False
        return self._sweep(sweeper)

    def _sweep(self, sweeper: Sweeper) -> bool:
        began = time.monotonic()
        result = sweeper.run_once(None if self._once else self.every_s)
        if result is None:
            return False
        stream = self._stream.name
        metrics.SWEEPS.labels(stream).observe(time.monotonic() - began)
        metrics.SWEPT.labels(stream).inc(result.rows)
        metrics.RESCUED.labels(stream).inc(result.rescued)
        metrics.CHANGES.labels(stream, "deleted").inc(result.deleted)
        if result.rescued or result.deleted or result.unconfirmed:
            log.info(
                "swept",
                job=self.name,
                rows=result.rows,
                rescued=result.rescued,
                deleted=result.deleted,
                unconfirmed=result.unconfirmed,
            )
        return not result.finished
