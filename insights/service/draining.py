"""A daemon that is asked to finish what it holds, and to end: see `insights drain`."""

from collections.abc import Callable

import structlog

from insights.pipeline import Pipeline
from insights.service.runner import Runner

log = structlog.get_logger(__name__)

Wanted = Callable[[], bool]


class Draining:
    """Lets the daemon claim nothing more for as long as it is asked to drain.

    Args:
        pipeline: What holds rows; None where nothing does.
        runner: Says that the daemon is not ready meanwhile.
    """

    name = "drain"
    every_s = 2.0

    def __init__(self, pipeline: Pipeline | None, runner: Runner) -> None:
        self._pipeline = pipeline
        self._runner = runner
        self._wanted = False
        self.wanted: Wanted = lambda: False
        """Asked every two seconds whether it shall finish what it holds, and end."""

    @property
    def over(self) -> bool:
        """Whether it was asked to, and holds nothing any more."""
        return self._wanted and (self._pipeline is None or self._pipeline.drained)

    def run_once(self) -> bool:
        """Look whether it is asked to."""
        wanted = self.wanted()
        if wanted != self._wanted:
            held = self._pipeline.held if self._pipeline else 0
            log.info("finishes what it holds, and ends" if wanted else "goes on", rows=held)
            self._runner.stage = "draining" if wanted else "running"
            self._runner.complain("drain", "`insights drain` asked for it" if wanted else "")
        if self._pipeline is not None:
            self._pipeline.closed = wanted
        self._wanted = wanted
        return False
