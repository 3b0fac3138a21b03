"""A queue and the thread that works it off: what comes while it works is taken together next."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from insights import errors

T = TypeVar("T")

_QUIET_S = 5.0  # a thread that had nothing to do for so long ends; the next item starts another


class Stage(Generic[T]):
    """Takes items from any thread, and never makes one wait for another's turn.

    Args:
        name: Of the thread.
        take: Takes the next items off the queue, at least one.
        work: Works them off. What it raises is told to `fail`, and ends nothing.
        fail: Is told of items that `work` raised over.
    """

    def __init__(
        self,
        name: str,
        take: Callable[[deque[T]], Sequence[T]],
        work: Callable[[Sequence[T]], None],
        fail: Callable[[Sequence[T], BaseException], None],
    ) -> None:
        self._name = name
        self._take, self._work, self._fail = take, work, fail
        self._queue: deque[T] = deque()
        self._changed = threading.Condition()
        self._runs = False

    def put(self, items: Sequence[T]) -> None:
        """Add items to the end of the queue; if no thread can be started they fail."""
        with self._changed:
            self._queue.extend(items)
            if self._runs:
                self._changed.notify()
                return
            self._runs = True
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as exc:  # no memory for a thread, or too many
            with self._changed:
                self._runs = False
                left = list(self._queue)
                self._queue.clear()
            self._fail(left, errors.Overloaded(f"no thread: {exc}", where=self._name))

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._changed.wait(_QUIET_S)
                if not self._queue:
                    self._runs = False
                    return
                some = self._take(self._queue)
            try:
                self._work(some)
            except BaseException as exc:  # noqa: BLE001 - whoever waits is told, and the next go on
                self._fail(some, exc)
