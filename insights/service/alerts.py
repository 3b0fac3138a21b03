"""Who is told what is wrong: a fault once when it begins, and once when it is over.

`Alerts` finds what fires: a rule's case that held for as long as the rule waits, until it has not
held for two minutes. `Telling` sends to one receiver the difference between what fires and what it
was told: a receiver that was down, and a daemon that began anew, tell the rest and repeat nothing.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import structlog

from insights import errors
from insights.service.rules import RULES, Found, Rule, Severity
from insights.service.samples import Growth, Look, Sample, totals

log = structlog.get_logger(__name__)

EVERY_S = 15.0
HOLD_S = 60.0  # as Prometheus' rules have it; a rule that waits longer does so in proportion
CLEAR_S = 120.0
_LONGEST_S = max(rule.for_s for rule in RULES)


class Alert(msgspec.Struct, frozen=True):
    """Something that a person should know. No data of any row is in it.

    Attributes:
        key: Tells it from all others: the rule's name, and the case's.
        since: When it began, ISO 8601, UTC.
        runbook: The section of the documentation that says what to do.
    """

    key: str
    name: str
    severity: Severity
    summary: str
    description: str
    since: str
    runbook: str


class News(NamedTuple):
    """What one receiver is told at once; `after` is when it was told something last."""

    instance: str
    fired: Sequence[Alert] = ()
    resolved: Sequence[Alert] = ()
    still: Sequence[Alert] = ()
    after: float = 0.0

    @property
    def id(self) -> str:
        """Its name: the same one where it is sent again because nobody knows whether it arrived."""
        return f"msg_{blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()}"

    @property
    def title(self) -> str:
        """One line."""
        at, *others = [*self.fired, *self.still, *self.resolved]
        word = at.severity if self.fired or self.still else "resolved"
        more = f" (and {len(others)} more)" if others else ""
        return f"[{self.instance}] {word}: {at.summary}{more}"

    @property
    def text(self) -> str:
        """All of it, for people."""
        parts = [_told(alert.severity, alert) for alert in self.fired]
        parts += [_told(f"still {alert.severity}", alert) for alert in self.still]
        parts += [f"resolved: {alert.summary} (since {alert.since})" for alert in self.resolved]
        return "\n\n".join(parts)


class Receiver(Protocol):
    """Where alerts go.

    Attributes:
        name: What logs and health call it.
        kept_as: The file that keeps what it was told is named so.
    """

    name: str
    kept_as: str

    def send(self, news: News) -> None:
        """Send it, within some seconds.

        Raises:
            errors.ReceiverUnavailable: If it was not taken.
        """
        ...


class Alerts:
    """Finds what fires.

    Args:
        read: Returns what is measured now; asks nobody.
        instance: This daemon's name.
        take: Takes or prolongs a lease by name, or tells that another daemon has it.
        counted: Returns what was counted, as `samples.totals` does.
        hold_s: Seconds that a fault holds before it is told; twice so long it is gone when it ends.
        clock: Seconds that only grow.
    """

    name = "alerts"

    def __init__(
        self,
        read: Callable[[], Iterable[Sample]],
        *,
        instance: str,
        take: Callable[[str], bool],
        counted: Callable[[], Mapping[tuple[str, str], float]] = totals,
        hold_s: float = HOLD_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self.instance = instance
        self._take = take
        self._counted = counted
        self._clock = clock
        self._pace = hold_s / HOLD_S
        self.every_s = EVERY_S * min(1.0, self._pace)
        self._growth = Growth()
        self._alone = False  # the store did not answer in this look: it is not asked again
        self._held: dict[str, float] = {}  # since when a case holds
        self._seen: dict[str, float] = {}  # when a case that fires held last
        self._began = clock()
        self.firing: dict[str, Alert] = {}
        """What fires, by key; another one at each look."""
        self.elsewhere: frozenset[str] = frozenset()
        """Keys of what holds and another daemon tells; another one at each look."""

    @property
    def settled(self) -> bool:
        """Whether it has looked for so long that what does not fire is over."""
        return self._clock() - self._began >= (CLEAR_S + _LONGEST_S) * self._pace

    def run_once(self) -> bool:
        """Look once."""
        now = self._clock()
        self._growth.at(now, self._counted())
        look = Look(self._read(), self._growth.grown)
        self._alone = False
        firing = {}
        held = {}
        elsewhere = set()
        for rule in RULES:
            for found in rule.ask(look):
                key = f"{rule.name} {found.name}".strip()
                held[key] = self._held.get(key, now)
                long = key in self.firing or now - held[key] >= rule.for_s * self._pace
                if long and self._ours(rule, key):
                    self._seen[key] = now
                    firing[key] = self.firing.get(key) or self._alert(rule, found, key)
                elif long:
                    elsewhere.add(key)
        clear_s = CLEAR_S * self._pace
        for key, alert in self.firing.items():
            if key not in firing and key not in elsewhere and now - self._seen[key] < clear_s:
                firing[key] = alert
        self._held = held
        self.elsewhere = frozenset(elsewhere)  # first: what leaves `firing` for it is not over
        self.firing = firing
        return False

    def _ours(self, rule: Rule, key: str) -> bool:
        """Tell whether this daemon is the one to tell; without the store, each is."""
        if not rule.shared or self._alone:
            return True
        try:
            return self._take(f"alert {key}")
        except errors.InsightsError:
            self._alone = True
            return True

    def _alert(self, rule: Rule, found: Found, key: str) -> Alert:
        began = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=rule.for_s * self._pace)
        words = {
            "name": found.name,
            "value": f"{found.value:.0f}",
            "duration": _duration(found.value),
            "instance": self.instance,
        }
        return Alert(
            key=key,
            name=rule.name,
            severity=rule.severity,
            summary=rule.summary.format_map(words),
            description=rule.description.format_map(words),
            since=began.isoformat(timespec="seconds"),
            runbook=f"docs/operations.md#{rule.name.lower()}",
        )


class _Told(msgspec.Struct):
    alert: Alert
    at: float  # seconds since 1970: it outlives this process


class Telling:
    """Tells one receiver what it does not know yet.

    What is critical is told at once. Other news waits until `digest_s` have passed since the last
    message, so that a bad hour is a few messages and not hundreds.

    Args:
        alerts: What fires.
        receiver: Who is told.
        file: Keeps what it was told, over restarts.
        digest_s: Seconds between messages that nothing critical is in.
        repeat_s: After so many seconds what still fires is told again.
    """

    def __init__(
        self, alerts: Alerts, receiver: Receiver, file: Path, *, digest_s: float, repeat_s: float
    ) -> None:
        self.name = f"alerts {receiver.name}"
        self.every_s = min(5.0, alerts.every_s)
        self._alerts = alerts
        self._receiver = receiver
        self._file = file
        self._digest_s = digest_s
        self._repeat_s = repeat_s
        self._told = _read(file)
        self._inherited = set(self._told)
        self._last = max((one.at for one in self._told.values()), default=0.0)

    def run_once(self) -> bool:
        """Send what is new, if it is time to."""
        firing, now = self._alerts.firing, time.time()
        elsewhere = self._alerts.elsewhere
        for key in self._told.keys() & elsewhere:
            del self._told[key]  # it goes on, and another daemon tells when it is over
        fired = [one for key, one in firing.items() if key not in self._told.keys() | elsewhere]
        over = [
            one.alert
            for key, one in self._told.items()
            if key not in firing and (key not in self._inherited or self._alerts.settled)
        ]
        still = [
            alert
            for key, alert in firing.items()
            if key in self._told and not 0 <= now - self._told[key].at < self._repeat_s
        ]
        urgent = any(alert.severity == "critical" for alert in fired)
        waited = not 0 <= now - self._last < self._digest_s  # the clock may be set back
        if not (fired or over or still) or not (urgent or waited):
            return False
        self._receiver.send(News(self._alerts.instance, fired, over, still, self._last))
        log.info(
            "alerts told",
            to=self._receiver.name,
            fired=[one.key for one in fired],
            resolved=[one.key for one in over],
        )
        for alert in over:
            del self._told[alert.key]
        self._told.update({alert.key: _Told(alert, now) for alert in (*fired, *still)})
        self._inherited &= self._told.keys()
        self._last = now
        _write(self._file, self._told)
        return False


def _told(word: str, alert: Alert) -> str:
    return f"{word}: {alert.summary}\n{alert.description}\nsince {alert.since}; {alert.runbook}"


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _read(file: Path) -> dict[str, _Told]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, _Told])
    except (OSError, msgspec.MsgspecError):  # none yet, or cut: told once more
        return {}


def _write(file: Path, told: Mapping[str, _Told]) -> None:
    """Keep it; where the disk is full it is told once more after a restart."""
    made = file.with_suffix(".new")
    try:
        made.write_bytes(msgspec.json.encode(told))
        made.replace(file)
    except OSError as exc:
        log.warning("what was told is not kept", file=str(file), reason=exc.strerror)
