"""A circuit breaker: what does not answer is left alone for a while, then tried by one request."""

import random
import threading
import time
from collections.abc import Callable

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class Breaker:
    """Counts failures in a row; pauses double, with jitter.

    Args:
        failures: In a row before it opens.
        clock: Monotonic seconds.
    """

    def __init__(self, failures: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowed = failures
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0
        self._trying = False

    @property
    def works(self) -> bool:
        """Whether a request would pass now."""
        if self._failures < self._allowed:
            return True
        return not self._trying and self._clock() >= self._until

    def admit(self) -> bool:
        """Return whether a request may pass; once open, one at a time, after the pause."""
        with self._lock:
            admitted = self.works
            self._trying = self._trying or (admitted and self._failures >= self._allowed)
            return admitted

    def withdraw(self) -> None:
        """Take an admitted request back: it was given up and says nothing; another may try."""
        with self._lock:
            self._trying = False

    def record(self, *, answered: bool) -> None:
        """Record how a request ended; any answer closes the breaker."""
        with self._lock:
            self._trying = False
            if answered:
                self._failures = 0
                return
            self._failures += 1
            over = self._failures - self._allowed
            if over >= 0:
                longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(over, 10))
                self._until = self._clock() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
