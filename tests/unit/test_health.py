"""Health asks what is known: beats, breakers, the last call. Nothing here has a server."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
import structlog

from insights import errors
from insights.service import daemon as daemons
from insights.service import health as healths
from insights.service import runner as runners
from insights.service import systemd
from insights.service.daemon import Daemon
from insights.service.health import Changes, Check, Health, worst
from insights.service.runner import Runner
from insights.wiring.health import reached
from insights.workers.process import Standing
from tests.unit.test_daemon import Work


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    monkeypatch.setattr(runners, "FIRST_BACKOFF_S", 0.001)
    made = Runner()
    yield made
    made.end()


def _until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def _failed(checks: Iterable[Check]) -> dict[str, str]:
    return {check.name: check.says for check in checks if check.status == "failed"}


def test_a_main_loop_that_does_not_turn_is_no_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setattr(daemons, "TICK_S", 0.02)
    monkeypatch.setattr(healths, "MAIN_STUCK_S", 0.5)
    hang, seen = threading.Event(), list[dict[str, str]]()
    monkeypatch.setattr(systemd, "tell", lambda state: hang.wait(20) if "WATCH" in state else None)
    runner = Runner()
    health = Health(runner)
    daemon = Daemon(None, Work(), [], lease_s=60, drain_s=1, runner=runner)  # type: ignore[arg-type]

    def look() -> None:
        _until(lambda: runner.stage == "running")
        seen.append(_failed(health.alive()))
        _until(lambda: _failed(health.alive()))
        seen.append(_failed(health.alive()))
        hang.set()
        _until(lambda: not _failed(health.alive()))
        os.kill(os.getpid(), signal.SIGTERM)

    looking = threading.Thread(target=look)
    looking.start()
    former = signal.getsignal(signal.SIGTERM)
    try:
        daemon.run()
    finally:
        hang.set()
        looking.join()
        signal.signal(signal.SIGTERM, former)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert seen[0] == {}
    assert set(seen[1]) == {"main loop"}
    assert runner.stage == "draining"
    assert _failed(health.ready()) == {"daemon": "draining"}


def test_a_thread_that_ended_or_hangs_is_no_life(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    until, hang = threading.Event(), threading.Event()

    def broken() -> float:
        raise ValueError

    def hangs() -> float:
        hang.wait(20)
        return 0.0

    health = Health(runner)
    runner.thread("feeder", broken, until, longest_s=0.001)
    _until(lambda: "feeder" in _failed(health.alive()))
    assert _failed(health.alive()) == {"feeder": "its thread has ended"}
    monkeypatch.setattr(healths, "STUCK_S", 0.2)
    runner.main.last = time.monotonic()
    runner.thread("writer", hangs, until)
    _until(lambda: "writer" in _failed(health.alive()))
    assert "not heard of" in _failed(health.alive())["writer"]
    until.set()
    hang.set()
    assert "feeder" in _failed(health.ready()).get("daemon", "")


def test_a_thread_that_the_daemon_can_do_without_ends_nothing(runner: Runner) -> None:
    until, rounds = threading.Event(), list[int]()

    def broken() -> float:
        rounds.append(1)
        raise ValueError

    runner.thread("http", broken, until, longest_s=0.001, vital=False)
    _until(lambda: len(rounds) > 2 * runners.HOPELESS)
    assert runner.hopeless is None
    assert _failed(Health(runner).alive()) == {}
    until.set()
    _until(lambda: not next(iter(runner.vitals)).busy)
    assert _failed(Health(runner).alive()) == {}  # it was asked to end


def test_a_daemon_that_waits_at_its_start_says_for_what(runner: Runner) -> None:
    health = Health(runner)
    runner.waiting("the store does not answer")
    assert _failed(health.ready()) == {"daemon": "starting: the store does not answer"}
    assert _failed(health.alive()) == {}
    runner.stage = "running"
    runner.waiting("")
    assert _failed(health.ready()) == {}


def test_a_check_that_fails_by_itself_is_no_readiness_and_hides_no_other(runner: Runner) -> None:
    def broken() -> Iterable[Check]:
        raise KeyError

    health = Health(runner)
    runner.stage = "running"
    health.add(broken)
    health.add(lambda: [Check("disk", "warning", "half full")])
    found = health.ready()
    assert _failed(found) == {"health": "internal error: KeyError"}
    assert found[-1].name == "disk"
    assert worst(found) == "failed"
    assert worst(found[-1:]) == "warning"


def test_what_goes_down_is_one_line_and_its_end_another(runner: Runner) -> None:
    health, found = Health(runner), [Check("source erp", "ok")]
    runner.stage = "running"
    health.add(lambda: found)
    changes = Changes(health)
    with structlog.testing.capture_logs() as lines:
        changes.run_once()
        found[:] = [Check("source erp", "failed", "not asked yet")]
        changes.run_once()
        found[:] = [Check("source erp", "ok")]
        changes.run_once()
        found[:] = [Check("source erp", "failed", "SQLSTATE 08001")]
        for _ in range(3):
            changes.run_once()
        found[:] = [Check("source erp", "warning")]
        for _ in range(3):
            changes.run_once()
    assert [(one["log_level"], one["event"], one.get("reason")) for one in lines] == [
        ("warning", "down", "SQLSTATE 08001"),
        ("info", "up again", None),
    ]
    assert {one["part"] for one in lines} == {"source erp"}


def test_what_stands_behind_a_child_is_known_by_its_last_call() -> None:
    now = time.monotonic()
    down = errors.SourceUnavailable("refused, SQLSTATE 08001")
    for standing, status, says in (
        (Standing(), "ok", "nothing was asked"),
        (Standing(asked_at=now - 40), "failed", "asked 40 s ago, no answer yet"),
        (Standing(asked_at=now, answered_at=now - 5), "ok", "answered 5 s ago"),
        (Standing(asked_at=now, answered_at=now, trouble=down), "failed", "08001"),
    ):
        check = reached("source erp", standing)
        assert (check.status, says in check.says) == (status, True), check
    assert reached("source erp", Standing(), untried=True).status == "failed"


def test_what_a_foreign_exception_says_is_in_no_answer(runner: Runner) -> None:
    """It may quote a row."""

    class Polls:
        name, every_s = "poll ticket", 3600.0

        def run_once(self) -> bool:
            raise KeyError("Anna Meier, anna@example.com")

    runner.schedule(Polls())
    runner.begin()
    _until(lambda: worst(Health(runner).alive()) == "warning")
    said = " ".join(check.says for check in Health(runner).alive())
    assert "internal error: KeyError" in said
    assert "Anna" not in said
