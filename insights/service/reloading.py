"""SIGHUP: read the settings again, beside the work; go on with the former ones if they are wrong.

What can be applied at once is applied. For all else the daemon drains as at SIGTERM, and the same
process then begins anew (execve(2)): nothing of the former settings is left, and nothing happens
that a restart of the unit would not do.
"""

import threading
import time
from collections.abc import Callable

import structlog

from insights import errors
from insights.service import signals, systemd
from insights.service.runner import Runner

log = structlog.get_logger(__name__)

NAME = "settings"  # what refused ones are called in `status` and health


class Reloading:
    """Looks at the settings whenever it was asked to.

    Args:
        apply: Reads, checks and applies them; True where the daemon has to begin anew.
        runner: Tells whoever asks that settings were refused, and why.
    """

    def __init__(self, apply: Callable[[], bool], runner: Runner) -> None:
        self._apply = apply
        self._runner = runner
        self._thread: threading.Thread | None = None
        self.anew = False
        """Whether the daemon has to drain and begin anew."""

    def turn(self) -> None:
        """Begin to look if we were asked to; the main thread calls it, and goes on watching."""
        looking = self._thread is not None and self._thread.is_alive()
        if looking or self.anew or not signals.reload_asked():
            return
        # systemd.service(5), Type=notify-reload; other types show it as reloading, too.
        systemd.tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._thread = threading.Thread(target=self._look, name="reload", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            self.anew = self._apply()
            self._runner.complain(NAME, "")
        except errors.InsightsError as exc:
            self._refused(str(exc))
        except BaseException as exc:
            log.exception("settings could not be looked at")
            self._refused(f"internal error: {type(exc).__name__}")
        if not self.anew:
            systemd.tell("READY=1")

    def _refused(self, reason: str) -> None:
        log.error("settings refused: the former ones stay", reason=reason)
        self._runner.complain(NAME, f"the changed ones are refused, the former stay: {reason}")
