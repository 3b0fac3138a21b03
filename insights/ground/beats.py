"""Signs of life of the daemon's threads: who waits for something bounded says so while it waits.

A thread that works beats whenever a bounded call returns: a statement of the store, a call of a
child. What has no beat for minutes hangs, and systemd's watchdog then ends the daemon. Threads that
nobody watches (commands, tests) beat into the air.
"""

import contextlib
import threading
import time
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

_SLICE_S = 1.0  # between two beats of a thread that waits for a future


class Pulse:
    """When one thread was last heard of, in monotonic seconds."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def age_s(self) -> float:
        """Return the seconds since the last beat."""
        return time.monotonic() - self.last


class _Current(threading.local):
    pulse: Pulse | None = None


_current = _Current()


def carry(pulse: Pulse | None) -> None:
    """Make `pulse` the one that this thread beats from now on."""
    _current.pulse = pulse


def beat() -> None:
    """Note that this thread lives."""
    if _current.pulse is not None:
        _current.pulse.last = time.monotonic()


def result(future: Future[T]) -> T:
    """Wait for a future that somebody else bounds, beating meanwhile; return its result."""
    while not future.done():
        with contextlib.suppress(TimeoutError):
            future.exception(timeout=_SLICE_S)
        beat()
    return future.result()


def sleep(seconds: float) -> None:
    """Sleep, beating meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _SLICE_S))
        beat()
