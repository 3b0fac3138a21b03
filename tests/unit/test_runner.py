"""The runner: whatever a thread or a job raises is told once, outlived, and ends nothing else."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from insights import errors
from insights.ground import beats
from insights.service import runner as runners
from insights.service.runner import Runner


class Job:
    """Does what it is told, and counts."""

    def __init__(self, name: str, act: Callable[[int], object], every_s: float = 0.02) -> None:
        self.name = name
        self.every_s = every_s
        self.rounds = 0
        self._act = act

    def run_once(self) -> bool:
        self.rounds += 1
        return bool(self._act(self.rounds))


@pytest.fixture
def log() -> Iterator[LogCapture]:
    capture = LogCapture()
    former = structlog.get_config()
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    yield capture
    structlog.configure(**former)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    monkeypatch.setattr(runners, "FIRST_BACKOFF_S", 0.01)
    made = Runner()
    yield made
    made.end()


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def _raise_first(exc: BaseException, times: int = 1) -> Callable[[int], object]:
    def act(round_: int) -> object:
        if round_ <= times:
            raise exc
        return False

    return act


@pytest.mark.parametrize("exc", [KeyError("a key"), ValueError("once"), SystemExit(3)])
def test_a_job_that_raises_is_told_once_with_its_traceback_and_goes_on(
    runner: Runner, log: LogCapture, exc: BaseException
) -> None:
    job = Job("poll ticket", _raise_first(exc, times=3))
    runner.schedule(job)
    runner.begin()
    until(lambda: job.rounds >= 5)
    told = [entry for entry in log.entries if entry.get("task") == job.name]
    assert [entry["event"] for entry in told] == [
        "failed unforeseen",
        "failed again",
        "failed again",
    ]
    assert told[0]["exc_info"] is exc
    assert type(exc).__name__ in told[0]["reason"]
    assert "test_runner.py" in told[0]["reason"]
    assert [entry["again_in_s"] for entry in told] == [0.01, 0.02, 0.04]
    assert runner.troubles == []
    assert runner.hopeless is None


def test_a_job_in_trouble_says_why_while_it_lasts(runner: Runner, log: LogCapture) -> None:
    down = errors.StoreUnavailable("the store does not answer")
    job = Job("publish desk", _raise_first(down, times=10**6), every_s=3600)
    runner.schedule(job)
    runner.begin()
    until(lambda: job.rounds >= 3)  # a job that comes once an hour is tried again at once
    (trouble,) = runner.troubles
    assert trouble.name == job.name
    assert trouble.reason == str(down)
    assert {entry["event"] for entry in log.entries} == {"failed"}


def test_jobs_that_never_end_keep_no_other_from_its_turn(runner: Runner) -> None:
    end = threading.Event()
    for number in range(15):  # more than APScheduler's own pool has threads
        runner.schedule(Job(f"first load {number}", lambda _: end.wait(60)))
    other = Job("expire", lambda _: False)
    runner.schedule(other)
    runner.begin()
    try:
        until(lambda: other.rounds >= 3)
    finally:
        end.set()


@pytest.mark.parametrize("name", ["feeder", "writer", "leases"])
def test_a_thread_that_raises_once_is_told_and_goes_on(
    runner: Runner, log: LogCapture, name: str
) -> None:
    job, stop = Job(name, _raise_first(ValueError("once"))), threading.Event()

    def turn() -> float:
        job.run_once()
        return 0.01

    runner.thread(name, turn, stop)
    until(lambda: job.rounds >= 4)
    stop.set()
    told = [entry for entry in log.entries if entry.get("task") == name]
    assert [entry["event"] for entry in told] == ["failed unforeseen"]
    assert isinstance(told[0]["exc_info"], ValueError)
    assert runner.hopeless is None


def test_a_thread_that_cannot_go_on_ends_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "FIRST_BACKOFF_S", 0.01)
    woken = threading.Event()
    runner, stop = Runner(woken.set), threading.Event()

    def turn() -> float:
        raise KeyError("each time")

    runner.thread("feeder", turn, stop)
    assert woken.wait(20)
    stop.set()
    assert runner.hopeless is not None
    assert "feeder" in str(runner.hopeless)
    assert runner.hopeless.exit_code != 0


def test_outages_alone_end_no_thread(runner: Runner) -> None:
    stop, rounds = threading.Event(), []

    def turn() -> float:
        rounds.append(1)
        raise errors.StoreUnavailable("is down")

    runner.thread("writer", turn, stop, longest_s=0.02)
    until(lambda: len(rounds) > 3 * runners.HOPELESS)
    stop.set()
    assert runner.hopeless is None


def test_who_waits_for_something_bounded_beats_and_who_hangs_does_not(runner: Runner) -> None:
    stop, hang = threading.Event(), threading.Event()

    def waits() -> float:
        beats.sleep(2.5)
        return 0.0

    def hangs() -> float:
        hang.wait(60)
        return 0.0

    runner.thread("feeder", waits, stop)
    runner.thread("writer", hangs, stop)
    try:
        until(lambda: runner.stuck(1.5) == ["writer"], 10)
        time.sleep(0.5)
        assert runner.stuck(1.5) == ["writer"]
        assert runner.beating(("feeder",), 1.5)
        assert not runner.beating(("feeder", "writer"), 1.5)
    finally:
        hang.set()
        stop.set()


def test_a_job_that_rests_is_not_stuck(runner: Runner) -> None:
    job = Job("sweep", lambda _: False, every_s=3600)
    runner.schedule(job)
    runner.begin()
    until(lambda: job.rounds == 1)
    time.sleep(0.3)
    assert runner.stuck(0.1) == []
