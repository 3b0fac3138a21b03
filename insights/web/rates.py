"""How many rows a client may send to a pipeline: a bucket that fills by the clock, in memory.

Several processes with the door have buckets of their own.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping

import msgspec

_MINUTE_S = 60.0
_MANY = 10_000  # buckets; those that are full again are as good as new ones


class Room(msgspec.Struct, frozen=True):
    """What a client may still send: `left` rows of `most` a minute, all of them in `full_s`.

    `again_s` is 0 if the rows that were asked for were taken, else when it is worth another try.
    """

    most: int
    left: int
    full_s: int
    again_s: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 writes it, and `Retry-After` if refused."""
        told = {
            "RateLimit-Policy": f'"rows";q={self.most};w={_MINUTE_S:.0f}',
            "RateLimit": f'"rows";r={self.left};t={self.full_s}',
        }
        return told | ({"Retry-After": str(self.again_s)} if self.again_s else {})


class Rates:
    """Buckets, one for each client and pipeline; safe for threads.

    Rows that come together are taken together while there is room for one: a bucket may owe, and
    fills before the next are taken. So no number of rows is too large for ever.

    Args:
        usual: Rows a minute; None for as many as they like.
        others: Of clients by name, where it is not the usual number.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        usual: int | None,
        others: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._usual = usual
        self._others = others
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}  # rows left, and when

    def take(self, client: str, pipeline: str, rows: int) -> Room | None:
        """Take rows if there is room, and return what is left; None where nothing bounds them."""
        most = self._others.get(client, self._usual)
        if most is None:
            return None
        with self._lock:
            left = self._left(client, pipeline, most)
            if left < 1:
                again_s = math.ceil((1 - left) * _MINUTE_S / most)
                return Room(most, 0, _full_s(most, left), again_s)
            self._buckets[client, pipeline] = left - rows, self._clock()
            if len(self._buckets) > _MANY:
                self._forget()
        return Room(most, max(0, math.floor(left - rows)), _full_s(most, left - rows))

    def give_back(self, client: str, pipeline: str, rows: int) -> None:
        """Undo `take`: the rows were refused for another reason than their client's pace."""
        with self._lock:
            if (found := self._buckets.get((client, pipeline))) is not None:
                self._buckets[client, pipeline] = found[0] + rows, found[1]

    def _left(self, client: str, pipeline: str, most: int) -> float:
        left, at = self._buckets.get((client, pipeline), (float(most), self._clock()))
        return min(float(most), left + (self._clock() - at) * most / _MINUTE_S)

    def _forget(self) -> None:
        for client, pipeline in list(self._buckets):
            most = self._others.get(client, self._usual)
            if most is None or self._left(client, pipeline, most) >= most:
                del self._buckets[client, pipeline]


def _full_s(most: int, left: float) -> int:
    return math.ceil((most - left) * _MINUTE_S / most)
