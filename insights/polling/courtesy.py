"""The replica must not feel us: rows per second, quiet hours, back-off when it lags."""

import datetime as dt
import re
import time
from collections.abc import Callable

from insights import errors
from insights.ground import beats
from insights.model import Fingerprint

LAG_BACKOFF_S = 30.0  # a replica this far behind has enough to do without us
_HOURS = re.compile(r"^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$")


class Courtesy:
    """The budget of one stream.

    Args:
        rows_per_second: Most rows read a second; None for no bound.
        quiet_hours: Local time in which nothing is read, such as `08:00-10:30`.
        clock: Monotonic seconds; tests replace it.
        sleep: How to wait; tests replace it.
    """

    def __init__(
        self,
        rows_per_second: int | None = None,
        quiet_hours: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = beats.sleep,
    ) -> None:
        self._rate = rows_per_second
        self._quiet: tuple[dt.time, dt.time] | None = None
        self.keep_quiet(quiet_hours)
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0

    def keep_quiet(self, hours: str | None) -> None:
        """Have other quiet hours from now on; any thread may call it.

        Raises:
            errors.SettingsError: If it is no span of hours.
        """
        self._quiet = _parse(hours) if hours else None

    @property
    def throttled(self) -> bool:
        """Whether rows per second are bounded: then nothing is read before it is paid for."""
        return self._rate is not None

    def quiet(self, now: dt.time) -> bool:
        """Tell whether `now` is in the quiet hours, which may span midnight."""
        if self._quiet is None:
            return False
        begin, end = self._quiet
        return begin <= now < end if begin <= end else now >= begin or now < end

    def waits(self, replica: Callable[[], Fingerprint] | None = None) -> str:
        """Say why nothing may be read now, of this replica if one is given; empty: it may."""
        if self.quiet(dt.datetime.now(dt.UTC).astimezone().time()):
            return "quiet hours"
        lag_s = replica().lag_s if replica is not None else None
        return f"the replica lags by {lag_s:.0f} s" if lag_s and self.lags(lag_s) else ""

    def pay(self, rows: int) -> None:
        """Wait until `rows` that were just read fit the budget."""
        if self._rate is None:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now) + rows / self._rate
        self._sleep(self._free_at - now)

    def lags(self, lag_s: float | None) -> bool:
        """Tell whether the replica is so far behind that we wait."""
        return lag_s is not None and lag_s > LAG_BACKOFF_S


def _parse(hours: str) -> tuple[dt.time, dt.time]:
    match = _HOURS.match(hours)
    parts = [int(part) for part in match.groups()] if match else [99, 0, 0, 0]
    try:
        return dt.time(parts[0], parts[1]), dt.time(parts[2], parts[3])
    except ValueError as exc:
        raise errors.SettingsError(
            f"quiet_hours = {hours!r} is no span of hours", fix="write it as 08:00-10:30"
        ) from exc
