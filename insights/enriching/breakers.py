"""What rows share (a source, a model, a template …): whether it works, and its pause if not.

A pause belongs to the part that failed. After it one row tries (half-open); any row that passes
closes the breaker. A state change is one log line, however many rows meet it.
"""

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Literal

import structlog

from insights import errors
from insights.enriching.blame import Part

log = structlog.get_logger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
# What is finished is kept in memory until the store takes it, and holds up all that comes after.
_LONGEST: dict[Part, float] = {"store": 5.0}
# Deaths or outages in a row, with no row that passes between, before a model is stopped: one
# alone is a poison row, or a server that limits one request of many.
_ALLOWED: dict[Part, int] = {"model": 3}

Admission = Literal["all", "one", "none"]
Key = tuple[Part, str]


class Breaker:
    """One part: what passed, what failed in a row, and until when it is left alone.

    Args:
        part: What kind of thing it is.
        name: Which one.
        clock: Monotonic seconds.
    """

    def __init__(self, part: Part, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.part = part
        self.name = name
        self.worked = False
        self.error: errors.InsightsError | None = None
        self.lasting = False
        self._allowed = _ALLOWED.get(part, 1)
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._failed_at = float("-inf")
        self._rows = 0
        self._strangers: set[int] = set()
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it is stopped, or tried by one row."""
        return self._failures >= self._allowed

    @property
    def reason(self) -> str:
        """What was wrong the last time."""
        return "" if self.error is None else str(self.error)

    def failed_since(self, moment: float) -> bool:
        """Tell whether it failed after a moment (monotonic seconds)."""
        return self._failed_at > moment

    def admits(self) -> Admission:
        """Return how many rows may go there now."""
        if not self.is_open:
            return "all"
        return "none" if self._clock() < self._until else "one"

    def trying(self) -> None:
        """A row goes there to try: the next does after another pause, unless this one passes."""
        with self._lock:
            if self.is_open:
                self._until = self._clock() + self._pause()

    def accuse(self, rows: Collection[int], *, since: float, alone: bool) -> tuple[int, bool]:
        """Count rows that failed there.

        Returns how many times, since one passed, it has failed now, and whether one of these was
        among those times. Rows count each by itself where nothing else was beside them, else the
        occasion counts.
        """
        with self._lock:
            again = not self._strangers.isdisjoint(rows)
            if alone:
                self._strangers.update(rows)
            occasions = self._failures + (since > self._failed_at)
            return max(1, len(self._strangers), occasions), again

    def passed(self) -> None:
        """A row passed: it works."""
        self.worked = True
        if not self._failures and not self._strangers:
            return
        with self._lock:
            was_open, failures, rows = self.is_open, self._failures, self._rows
            self._failures = self._rows = 0
            self._strangers.clear()
            self.error, self.lasting = None, False
        if was_open:
            log.info("works again", part=self.part, name=self.name, failures=failures, rows=rows)

    def failed(
        self,
        exc: errors.InsightsError,
        *,
        since: float,
        rows: int,
        lasting: bool,
        at_once: bool = False,
    ) -> None:
        """It failed for rows that were given to it at `since` (monotonic seconds).

        Rows that were there already when it failed the last time belong to that failure.

        Args:
            exc: What was wrong.
            since: When the rows were given to it.
            rows: How many.
            lasting: It will not pass by itself.
            at_once: It opens now, however few failures there were.
        """
        with self._lock:
            self._rows += rows
            if since <= self._failed_at:
                return
            was_open = self.is_open
            self._failures = max(self._failures + 1, self._allowed if at_once else 0)
            self._failed_at = self._clock()
            self.error, self.lasting = exc, lasting
            opened = self.is_open and not was_open
            pause = self._pause()
            self._until = self._failed_at + pause
        if opened:
            log.warning(
                "stopped",
                part=self.part,
                name=self.name,
                reason=str(exc),
                rows=self._rows,
                tried_again_in_s=round(pause, 1),
            )

    def _pause(self) -> float:
        over = min(10, max(0, self._failures - self._allowed))
        longest = min(_LONGEST.get(self.part, LONGEST_PAUSE_S), FIRST_PAUSE_S * float(1 << over))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


class Breakers:
    """All of them, each made when it is first asked for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[Key, Breaker] = {}

    def of(self, key: Key) -> Breaker:
        """Return one."""
        with self._lock:
            if key not in self._all:
                self._all[key] = Breaker(*key, self._clock)
            return self._all[key]

    def admit(self, keys: Iterable[Key]) -> Admission:
        """Return how many rows may go where all these are needed."""
        found = {self.of(key).admits() for key in keys}
        return "none" if "none" in found else "one" if "one" in found else "all"

    def trying(self, keys: Iterable[Key]) -> None:
        """A row goes there to try those that are open."""
        for key in keys:
            self.of(key).trying()

    def failed_since(self, keys: Iterable[Key], moment: float) -> bool:
        """Tell whether any of these was stopped after a moment (monotonic seconds)."""
        return any(breaker.failed_since(moment) for breaker in self.open(keys))

    @property
    def states(self) -> list[tuple[Part, str, bool]]:
        """All there are, and whether they are open."""
        return [(*key, one.is_open) for key, one in list(self._all.items())]

    def open(self, keys: Iterable[Key]) -> list[Breaker]:
        """Return those that are stopped."""
        return [breaker for key in keys if (breaker := self.of(key)).is_open]
