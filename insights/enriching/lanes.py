"""Lanes: each recipe brings its rows to its model on a thread of its own.

A source that hangs, an embedder that starts, a model that loads for minutes: each holds its own
lane and no other. A lane has a thread only while it has something to do.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

DEPTH = 2  # batches a lane holds: the next is claimed while one is read


class Lanes:
    """Runs what it is given, one thing at a time in each lane.

    Args:
        threads: False runs everything at once, on the caller's thread: for tests.
    """

    def __init__(self, *, threads: bool = True) -> None:
        self._threads = threads
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._at_work: set[str] = set()
        self.turns = 0
        """Grows whenever there may be room."""

    def free(self, lane: str) -> bool:
        """Tell whether a lane takes another batch."""
        with self._changed:
            return len(self._waiting.get(lane, ())) + (lane in self._at_work) < DEPTH

    def run(self, lane: str, work: Callable[[], None]) -> None:
        """Do some work in a lane, after what waits there.

        Raises:
            RuntimeError: If no thread can be started; the work is not done then.
        """
        if not self._threads:
            work()
            return
        with self._changed:
            self._waiting.setdefault(lane, deque()).append(work)
            if lane in self._at_work:
                return
            self._at_work.add(lane)
        try:
            threading.Thread(
                target=self._drive, args=(lane,), name=f"lane {lane}", daemon=True
            ).start()
        except RuntimeError:
            with self._changed:
                self._at_work.discard(lane)
                self._waiting[lane].remove(work)
            raise

    def changed(self) -> None:
        """Wake whoever waits: there may be room."""
        with self._changed:
            self.turns += 1
            self._changed.notify_all()

    def wait(self, since: int, until: float) -> bool:
        """Wait until `turns` is another than it was; False if it is not by then (monotonic)."""
        if not self._threads:
            return False
        with self._changed:
            left = max(0.0, until - time.monotonic())
            return self._changed.wait_for(lambda: self.turns != since, left)

    def _drive(self, lane: str) -> None:
        while True:
            self.changed()
            with self._changed:
                if not self._waiting[lane]:
                    self._at_work.discard(lane)
                    return
                work = self._waiting[lane].popleft()
            try:
                work()
            except Exception:
                log.exception("a lane failed", lane=lane)
