"""Polling and sweeping as the daemon's background jobs."""

import structlog

from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper

log = structlog.get_logger(__name__)

_LOOK_S = 60.0  # how often a sweep that runs every few hours is asked whether it is due


class PollJob:
    """Polls one stream at its interval."""

    def __init__(self, stream: str, poller: Poller, every_s: float) -> None:
        self.name = f"poll {stream}"
        self.every_s = every_s
        self._poller = poller

    def run_once(self) -> bool:
        """Poll once."""
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
        return False


class SweepJob:
    """Sweeps one stream when it is due; with `always`, also at the first call."""

    def __init__(
        self, stream: str, sweeper: Sweeper, every_s: float, *, always: bool = False
    ) -> None:
        self.name = f"sweep {stream}"
        self.every_s = min(every_s, _LOOK_S)
        self._sweeper = sweeper
        self._always = always

    def run_once(self) -> bool:
        """Sweep if there is a reason to."""
        wanted = self._always or self._sweeper.due() or self._sweeper.unconfirmed()
        self._always = False
        result = self._sweeper.run_once() if wanted else None
        if result is not None and (result.rescued or result.deleted or result.unconfirmed):
            log.info(
                "swept",
                job=self.name,
                rows=result.rows,
                rescued=result.rescued,
                deleted=result.deleted,
                unconfirmed=result.unconfirmed,
            )
        return False
