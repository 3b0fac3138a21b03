"""Rules say what Prometheus' say; a fault is told once when it begins and once when it is over."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from insights import errors
from insights.service import rules
from insights.service.alerts import Alert, Alerts, News, Telling
from insights.service.samples import summed
from tests.symptoms import FAULTS, OF_DOORS, QUIET

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "insights.rules.yml"
RUNBOOKS = RULES.parents[2] / "docs" / "operations.md"
STEP_S = 15.0


class Shown(NamedTuple):
    name: str
    value: float
    labels: dict[str, str]


def _values(series: str) -> Iterator[float]:
    """Yield what a series of promtool's notation is at each step."""
    for part in series.split():
        found = re.fullmatch(r"(\d+)(?:\+(\d+))?(?:x(\d+))?", part)
        assert found is not None, series
        for step in range(int(found[3] or 0) + 1):
            yield float(found[1]) + step * float(found[2] or 0)


def _samples(at: int, series: Mapping[str, str]) -> list[Shown]:
    found = []
    for written, values in series.items():
        name, _, labels = written.partition("{")
        told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        value = next(islice(_values(values if "x" in values else f"{values}x400"), at, None))
        if name == "up":
            name, told = "insights_daemon_silent_seconds", {"daemon": "i"}
            value = 5.0 if value else 500.0
        found.append(Shown(name, value, told))
    return found


class Watched:
    """A daemon whose measures follow series, looked at every 15 seconds."""

    def __init__(self, series: Mapping[str, str] = QUIET, hold_s: float = 60.0) -> None:
        self.series = dict(series)
        self.step = 0
        self.taken: list[str] = []
        self.ours = True
        self.alerts = Alerts(
            self.read,
            instance="i",
            take=self.take,
            counted=lambda: summed((one.name, one.labels, one.value) for one in self.read()),
            hold_s=hold_s,
            clock=lambda: self.step * STEP_S,
        )

    def read(self) -> list[Shown]:
        return _samples(self.step, self.series)

    def take(self, name: str) -> bool:
        self.taken.append(name)
        return self.ours

    def look(self, seconds: float) -> list[str]:
        for _ in range(round(seconds / STEP_S)):
            self.alerts.run_once()
            self.step += 1
        return sorted(alert.name for alert in self.alerts.firing.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_one_alert_within_two_minutes(fault: str) -> None:
    alert, series = FAULTS[fault]
    assert Watched({**QUIET, **series}).look(120) == [alert]


def test_a_quiet_hour_has_no_alert() -> None:
    watched = Watched()
    assert not any(watched.look(60) for _ in range(60))


def test_rows_that_wait_for_an_hour_have_one() -> None:
    series = {'insights_oldest_pending_seconds{stream="s",pipeline="p"}': "7200"}
    watched = Watched({**QUIET, **series})
    assert watched.look(240) == []
    assert watched.look(120) == ["InsightsBehind"]
    (alert,) = watched.alerts.firing.values()
    assert alert.summary == "The oldest row of pipeline p waits for 2 h 0 min"


def test_rules_say_what_prometheus_says() -> None:
    text = RULES.read_text()
    alone = {alert for alert, _ in OF_DOORS.values()}
    named = {one.partition("\n")[0].strip(): one for one in re.split(r"- alert: ", text)[1:]}
    assert alone <= set(named)
    theirs = [one for name, one in named.items() if name not in alone]
    assert [one.partition("\n")[0].strip() for one in theirs] == [one.name for one in rules.RULES]
    for one, rule in zip(theirs, rules.RULES, strict=True):
        waits = re.search(r"for: (\d+)m", one)
        assert rule.for_s == (int(waits[1]) * 60 if waits else 0), rule.name
        assert f"severity: {rule.severity}" in one
        assert f"runbook_url: docs/operations.md#{rule.name.lower()}" in one
        assert f"\n### {rule.name}\n\n" in RUNBOOKS.read_text("utf-8")
        for ours, key in ((rule.summary, "summary"), (rule.description, "description")):
            (said,) = re.findall(rf'{key}: "(.*)"', one)
            said = re.sub(r"{{ \$value \| humanizeDuration }}", "{duration}", said)
            said = said.replace("{{ $value }}", "{value}")
            if rule.name != "InsightsDown":  # there the instance is the case
                said = said.replace("{{ $labels.instance }}", "{instance}")
            assert re.sub(r"{{ \$labels\.\w+ }}", "{name}", said) == ours


# --- when it begins, and when it is over ----------------------------------------------------------

_SOURCE = FAULTS["a replica is down or hangs"][1]
_LAGS = FAULTS["a replica lags"][1]


def test_what_comes_and_goes_is_one_alert_that_ends_after_two_quiet_minutes() -> None:
    watched = Watched({**QUIET, **_LAGS})
    assert watched.look(120) == ["InsightsReplicaLags"]
    (first,) = watched.alerts.firing.values()
    for _ in range(6):  # a minute well, a minute not: it never held for long
        watched.series = dict(QUIET)
        assert watched.look(60) == ["InsightsReplicaLags"]
        watched.series = {**QUIET, **_LAGS}
        assert watched.look(75) == ["InsightsReplicaLags"]
    assert next(iter(watched.alerts.firing.values())) is first
    watched.series = dict(QUIET)
    assert watched.look(105) == ["InsightsReplicaLags"]
    assert watched.look(30) == []


@pytest.mark.parametrize("hold_s", [30.0, 60.0, 300.0])
def test_a_fault_is_told_when_it_has_held_and_is_over_after_twice_as_long(hold_s: float) -> None:
    watched = Watched({**QUIET, **_LAGS}, hold_s)
    assert watched.alerts.every_s <= STEP_S
    assert watched.look(hold_s) == []
    assert watched.look(STEP_S) == ["InsightsReplicaLags"]
    watched.series = dict(QUIET)
    assert watched.look(2 * hold_s - STEP_S) == ["InsightsReplicaLags"]
    assert watched.look(STEP_S) == []


def test_what_every_daemon_sees_is_told_by_the_one_that_has_its_lease() -> None:
    watched = Watched({**QUIET, **_SOURCE})
    watched.ours = False
    assert watched.look(120) == []
    assert set(watched.taken) == {"alert InsightsSourceDown erp"}
    watched.ours = True
    assert watched.look(15) == ["InsightsSourceDown"]

    def gone(_: str) -> bool:
        raise errors.StoreUnavailable("the store does not answer")

    alone = Watched({**QUIET, **_SOURCE})
    alone.alerts._take = gone
    assert alone.look(120) == ["InsightsSourceDown"]


def test_a_store_that_hangs_is_waited_for_once_a_look_however_much_fires() -> None:
    asked = []

    def hangs(name: str) -> bool:
        asked.append(name)
        raise errors.StoreUnavailable("the store does not answer")

    lags = {f'insights_replica_lag_seconds{{stream="s{n}"}}': "90" for n in range(50)}
    watched = Watched({**QUIET, **lags})
    watched.alerts._take = hangs
    assert len(watched.look(75)) == 50
    assert len(asked) == 1
    watched.look(15)
    assert len(asked) == 2


def test_a_daemon_that_is_killed_is_told_by_another_within_two_minutes() -> None:
    silent = 'insights_daemon_silent_seconds{daemon="erp2"}'
    beats = Watched({**QUIET, silent: " ".join(["0 15 30"] * 40)})
    assert not any(beats.look(15) for _ in range(100))
    killed = Watched({**QUIET, silent: "0+15x400"})  # at the worst: it had just been heard of
    assert killed.look(135) == ["InsightsDown"]  # the look at 120 s is the ninth
    assert [one.key for one in killed.alerts.firing.values()] == ["InsightsDown erp2"]


# --- who is told ----------------------------------------------------------------------------------


class Kept:
    """A receiver that keeps what it was told, or takes nothing."""

    name = kept_as = "kept"

    def __init__(self) -> None:
        self.news: list[News] = []
        self.ids: list[str] = []
        self.down = False

    def send(self, news: News) -> None:
        self.ids.append(news.id)
        if self.down:
            raise errors.ReceiverUnavailable("it takes no alerts")
        self.news.append(news)


class Desk:
    """A receiver, what fires, and a clock."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        self.watched = Watched()
        self.kept = Kept()
        self.file = folder / "alerts.kept.json"
        monkeypatch.setattr("insights.service.alerts.time.time", lambda: self.now)
        self.start()

    def start(self) -> None:
        self.telling = Telling(
            self.watched.alerts, self.kept, self.file, digest_s=300, repeat_s=86_400
        )

    def fires(self, *found: str) -> None:
        self.watched.alerts.firing = {
            one.lower(): Alert(
                key=one.lower(),
                name=one,
                severity="critical" if one.isupper() else "warning",
                summary=f"{one} happened",
                description="Fix: mend it.",
                since="2026-01-01T00:00:00+00:00",
                runbook="docs/operations.md#x",
            )
            for one in found
        }

    def told(self, after_s: float = 0.0) -> list[str]:
        """Return what the next round tells: `+` fired, `=` fires still, `-` is over."""
        self.now += after_s
        before = len(self.kept.news)
        self.telling.run_once()
        return [
            sign + alert.key
            for news in self.kept.news[before:]
            for sign, found in (("+", news.fired), ("=", news.still), ("-", news.resolved))
            for alert in found
        ]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_an_alert_is_told_once_when_it_begins_and_once_when_it_is_over(desk: Desk) -> None:
    assert desk.told() == []
    desk.fires("Lags")
    assert desk.told(5) == ["+lags"]
    assert desk.told(600) == []
    desk.fires()
    assert desk.told(600) == ["-lags"]
    assert desk.told(600) == []


def test_a_bad_hour_is_a_few_messages_and_what_is_critical_waits_for_none(desk: Desk) -> None:
    desk.fires("First")
    assert desk.told() == ["+first"]
    desk.fires("First", "Second")
    assert desk.told(60) == []
    desk.fires("First", "Second", "Third")
    assert desk.told(60) == []
    assert desk.told(200) == ["+second", "+third"]
    desk.fires("First", "Second", "Third", "STORE")
    assert desk.told(5) == ["+store"]
    assert "critical: STORE happened" in desk.kept.news[-1].title


def test_what_goes_on_is_told_again_after_a_day(desk: Desk) -> None:
    desk.fires("Lags")
    desk.told()
    assert desk.told(86_000) == []
    assert desk.told(500) == ["=lags"]
    assert desk.kept.news[-1].text.startswith("still warning: Lags happened")


def test_a_receiver_that_was_down_is_told_what_is_so_when_it_is_back(desk: Desk) -> None:
    desk.kept.down = True
    desk.fires("Lags", "STORE")
    with pytest.raises(errors.ReceiverUnavailable):
        desk.told()
    desk.kept.down = False
    desk.fires("STORE")
    assert desk.told(5) == ["+store"]


def test_what_is_sent_again_has_the_same_id_and_what_is_told_again_another(desk: Desk) -> None:
    desk.fires("STORE")
    desk.kept.down = True  # it may have been taken: only the answer is missing
    for _ in range(2):
        with pytest.raises(errors.ReceiverUnavailable):
            desk.told(30)
    desk.kept.down = False
    assert desk.told(30) == ["+store"]
    assert desk.told(90_000) == ["=store"]
    assert desk.told(90_000) == ["=store"]
    first, second, third, fourth, fifth = desk.kept.ids
    assert first == second == third
    assert len({third, fourth, fifth}) == 3


def test_a_daemon_that_begins_anew_repeats_nothing_and_ends_what_it_knows_is_over(
    desk: Desk,
) -> None:
    desk.fires("Lags", "STORE")
    assert desk.told() == ["+lags", "+store"]
    desk.watched = Watched()  # another process: nothing fires yet
    desk.start()
    assert desk.told(600) == []
    desk.fires("STORE")
    assert desk.told(10) == []
    desk.watched.step = 100  # it has looked for 25 minutes
    assert desk.told(300) == ["-lags"]
    desk.file.write_text("half a li")
    desk.start()
    assert desk.told(10) == ["+store"]


def test_what_another_daemon_tells_by_now_is_not_told_as_over(desk: Desk) -> None:
    desk.watched = Watched({**QUIET, **_SOURCE})
    desk.start()
    desk.watched.look(120)
    assert desk.told() == ["+InsightsSourceDown erp"]
    desk.watched.ours = False  # the store was away: each told, and one of them has the lease now
    desk.watched.look(300)
    assert desk.told(600) == []
    desk.watched.series = dict(QUIET)  # over: that one says so
    desk.watched.look(300)
    assert desk.told(600) == []


def test_a_disk_that_is_full_keeps_nobody_from_being_told(desk: Desk) -> None:
    desk.file.with_suffix(".new").mkdir()
    desk.fires("STORE")
    assert desk.told() == ["+store"]
    assert desk.told(5) == []


def test_a_clock_that_is_set_back_silences_nothing(desk: Desk) -> None:
    desk.fires("Lags")
    assert desk.told() == ["+lags"]
    desk.fires("Lags", "Other")
    assert "+other" in desk.told(-7200)
