"""Polling and sweeping one stream, as one background job of the daemon.

Polls and sweeps of a stream take turns under one lease and never run side by side: a sweep's page,
read before a poll and recorded after it, would put an older copy of a row back into the ledger.
"""

import structlog

from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper

log = structlog.get_logger(__name__)


class StreamJob:
    """Polls at an interval; in between it sweeps when a sweep is due.

    Args:
        stream: The stream's name.
        poller: Its polls.
        sweeper: Its sweeps.
        every_s: Seconds between polls; a longer sweep leaves off as often for a poll.
        once: Sweep to the end at the first call, whether due or not.
    """

    def __init__(
        self, stream: str, poller: Poller, sweeper: Sweeper, every_s: float, *, once: bool = False
    ) -> None:
        self.name = f"poll {stream}"
        self.every_s = every_s
        self._poller = poller
        self._sweeper = sweeper
        self._once = once
        self._forced = once

    def run_once(self) -> bool:
        """Poll, then sweep if there is a reason to; True while a sweep goes on."""
        result = self._poller.run_once()
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
        if not (
            self._forced or self._sweeper.due() or self._sweeper.unconfirmed(at_once=self._once)
        ):
            return False
        self._forced = False
        return self._sweep()

    def _sweep(self) -> bool:
        result = self._sweeper.run_once(None if self._once else self.every_s)
        if result is None:
            return False
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
