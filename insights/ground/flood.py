"""One line an event: what repeats within a minute is counted, and told once with its number.

A model server that is away gives ten thousand rows back, and each is the same event to whoever
reads the log in the night. Two events are the same where level, name and words are; numbers do not
tell them apart, nor what names a row.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog
from structlog.typing import EventDict

WINDOW_S = 60.0
MOST = 500  # events that are remembered
OF_A_NAME = 8  # different ones with one name in a minute; the others are counted together
_LONGEST = 200  # characters of a word that are compared
_ROW = frozenset({"work_id", "row_id", "row", "row_key", "key", "insight_id", "trace", "timestamp"})
_NUMBER = re.compile(r"\d+")

Key = tuple[str, ...]


class _Seen:
    def __init__(self, until: float, method: str, event: EventDict) -> None:
        self.until = until
        self.method = method
        self.event = event
        self.repeated = 0


class Flood:
    """A processor of structlog's: drops what was said within the last minute, and counts it.

    Args:
        clock: Monotonic seconds; replaceable for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[Key, _Seen] = OrderedDict()
        self._names: dict[Key, int] = {}

    def __call__(self, _logger: object, method: str, event: EventDict) -> EventDict:
        """Let a new event pass.

        Raises:
            structlog.DropEvent: It was said already; it is counted.
        """
        if event.pop("_told", False):
            return event
        name = (method, str(event.get("event", "")))
        words = sorted(
            f"{field}={_NUMBER.sub('#', value[:_LONGEST])}"
            for field, value in event.items()
            if isinstance(value, str) and field not in _ROW and field != "event"
        )
        with self._lock:
            now = self._clock()
            over = self._over(now)
            key = (*name, *words)
            if key not in self._seen and self._names.get(name, 0) >= OF_A_NAME:
                key = (*name, "…")
            seen = self._seen.get(key)
            if seen is None:
                kept = {field: value for field, value in event.items() if field not in _ROW}
                self._seen[key] = _Seen(now + WINDOW_S, method, kept)
                self._names[name] = self._names.get(name, 0) + 1
            else:
                seen.repeated += 1
        self._tell(over)
        if seen is not None:
            raise structlog.DropEvent
        return event

    def flush(self, *, all_: bool = False) -> None:
        """Tell how often was repeated what is over; with `all_`, everything."""
        with self._lock:
            over = self._over(float("inf") if all_ else self._clock())
        self._tell(over)

    def forget(self) -> None:
        """Begin anew; what was counted is not told."""
        with self._lock:
            self._seen.clear()
            self._names.clear()

    def _over(self, now: float) -> list[_Seen]:
        """Take out what is over, and the oldest where there is too much; the lock is held."""
        over = []
        while self._seen:
            key, oldest = next(iter(self._seen.items()))
            if oldest.until > now and len(self._seen) < MOST:
                break
            over.append(self._seen.pop(key))
            left = self._names.get(key[:2], 1) - 1
            if left:
                self._names[key[:2]] = left
            else:
                self._names.pop(key[:2], None)
        return over

    def _tell(self, over: list[_Seen]) -> None:
        for one in over:
            if one.repeated:
                fields: dict[str, Any] = {k: v for k, v in one.event.items() if k != "level"}
                event = fields.pop("event", "")
                for dropped in ("exc_info", "exception", "timestamp"):
                    fields.pop(dropped, None)
                log = structlog.get_logger()
                getattr(log, one.method)(event, _told=True, repeated=one.repeated, **fields)
