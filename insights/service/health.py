"""Whether the daemon lives, and whether it can do its work: asked of what is known already.

Each check reads a beat, a breaker or the outcome of the last call. None calls anything, so that a
source that hangs makes its own check fail and no answer late.
"""

import time
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec
import structlog

from insights.service.runner import STUCK_S, Runner

log = structlog.get_logger(__name__)

MAIN_STUCK_S = 30.0  # the main loop turns four times a second, and waits a second at most

Status = Literal["ok", "warning", "failed"]


class Check(msgspec.Struct, frozen=True):
    """What one check found. A warning is for a person to see; it makes nothing not ready."""

    name: str
    status: Status
    says: str = ""


Probe = Callable[[], Iterable[Check]]


class Health:
    """Answers from memory; any thread may ask.

    Args:
        runner: The daemon's threads and jobs.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._probes: list[Probe] = []

    def add(self, probe: Probe) -> None:
        """Ask this too, whenever somebody wants to know whether we are ready."""
        self._probes.append(probe)

    @property
    def stage(self) -> str:
        """What the daemon is about: starting, running or draining."""
        return self._runner.stage

    def alive(self) -> list[Check]:
        """Return whether the main loop turns, and each thread is there and was heard of."""
        runner = self._runner
        silent_s = runner.main.age_s()
        within_s = MAIN_STUCK_S if runner.stage == "running" else STUCK_S
        turns = silent_s < within_s
        main = Check("main loop", "ok" if turns else "failed", f"heard of {silent_s:.0f} s ago")
        return [main, *self._threads()]

    def ready(self) -> list[Check]:
        """Return whether everything that this daemon's roles need is there."""
        checks = [self._running()]
        checks += [Check(one.name, "warning", one.reason) for one in self._runner.complaints]
        for probe in list(self._probes):
            try:
                checks.extend(probe())
            except Exception as exc:
                log.exception("a health check failed by itself")
                checks.append(Check("health", "failed", f"internal error: {type(exc).__name__}"))
        return checks

    def _running(self) -> Check:
        runner = self._runner
        if runner.hopeless is not None:
            return Check("daemon", "failed", str(runner.hopeless))
        waits = f": {runner.waits_for}" if runner.waits_for else ""
        return Check(
            "daemon", "ok" if runner.stage == "running" else "failed", runner.stage + waits
        )

    def _threads(self) -> Iterable[Check]:
        for one in self._runner.vitals:
            if not one.alive:
                yield Check(one.name, "failed", "its thread has ended")
            elif one.busy and one.silent_s >= STUCK_S:
                yield Check(one.name, "failed", f"not heard of for {one.silent_s:.0f} s")
            elif one.reason:
                yield Check(one.name, "warning", one.reason)
            else:
                yield Check(one.name, "ok")


class Changes:
    """Says in the log when something that is needed goes down, and when it is back: a line each.

    Down is what fails at two looks in a row: at the start nothing has answered yet.
    """

    name = "changes"
    every_s = 5.0

    def __init__(self, health: Health) -> None:
        self._health = health
        self._failed: set[str] = set()  # at the last look
        self._down: dict[str, float] = {}  # since when, monotonic seconds

    def run_once(self) -> bool:
        """Compare with the last time."""
        failed = {one.name: one.says for one in self._health.ready() if one.status == "failed"}
        now = time.monotonic()
        for name, says in failed.items():
            if name in self._failed and name not in self._down:
                self._down[name] = now
                log.warning("down", part=name, reason=says)
        for name in self._down.keys() - failed.keys():
            log.info("up again", part=name, down_s=round(now - self._down.pop(name)))
        self._failed = set(failed)
        return False


def worst(checks: Iterable[Check]) -> Status:
    """Return the worst of these."""
    found = {check.status for check in checks}
    return "failed" if "failed" in found else "warning" if "warning" in found else "ok"
