"""The daemon around a pipeline that fails, hangs or holds on, without any server."""

import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from insights import errors
from insights.model import Outstanding
from insights.service import daemon as daemons
from insights.service import runner as runners
from insights.service.daemon import Daemon
from insights.service.draining import Draining


class Work:
    """A queue with so many open rows."""

    def __init__(self, left: int = 0) -> None:
        self.left = left
        self.expired: list[float] = []
        self.adopted = 0
        self.freed = 0  # adoptions that an expiry followed

    def expire(self) -> int:
        self.expired.append(time.monotonic())
        self.freed = self.adopted
        return 0

    def adopt(self) -> int:
        self.adopted += 1
        return 0

    def outstanding(self) -> Outstanding:
        return Outstanding(all_open=self.left, next_s=0.0)


class Pipeline:
    """Counts what the daemon's threads call; each may be told what to do in its n-th round."""

    def __init__(self) -> None:
        self.held = 0
        self.progress = 0
        self.waits_for: list[str] = []
        self.failure: errors.InsightsError | None = None
        self.rounds = {"advance": 0, "settle": 0, "extend": 0}
        self.acts: dict[str, Callable[[int], object]] = {}
        self.given_back = threading.Event()

    def _round(self, name: str) -> None:
        self.rounds[name] += 1
        if name in self.acts:
            self.acts[name](self.rounds[name])

    def advance(self) -> int:
        self._round("advance")
        return 0

    def settle(self, timeout_s: float) -> int:
        self._round("settle")
        time.sleep(min(timeout_s, 0.01))
        return 0

    def extend(self) -> None:
        self._round("extend")

    def give_back_all(self) -> int:
        self.given_back.set()
        held, self.held = self.held, 0
        return held


class Job:
    """A job that raises in its first round."""

    name = "poll ticket"
    every_s = 0.02

    def __init__(self) -> None:
        self.rounds = 0

    def run_once(self) -> bool:
        self.rounds += 1
        if self.rounds == 1:
            raise KeyError("a job's")
        return False


@pytest.fixture
def log() -> Iterator[LogCapture]:
    capture = LogCapture()
    former = structlog.get_config()
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    yield capture
    structlog.configure(**former)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(daemons, "IDLE_S", 0.01)
    monkeypatch.setattr(daemons, "TICK_S", 0.05)


def made(
    pipeline: Pipeline,
    work: Work,
    *jobs: Job,
    lease_s: float = 0.1,
    tell: Callable[[Sequence[dict[str, str]]], None] = lambda _: None,
) -> Daemon:
    return Daemon(pipeline, work, jobs, lease_s=lease_s, drain_s=0.5, tell=tell)  # type: ignore[arg-type]


def run(daemon: Daemon, until: Callable[[], object], seconds: float = 20.0) -> float:
    """Run in the main thread until something holds, then stop as systemd does; return how long."""
    sent: list[float] = []

    def stop() -> None:
        deadline = time.monotonic() + seconds
        while not until() and time.monotonic() < deadline:
            time.sleep(0.01)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    former = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop, daemon=True).start()
    try:
        daemon.run()
        return time.monotonic() - sent[0]
    finally:
        signal.signal(signal.SIGTERM, former)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _once(exc: BaseException) -> Callable[[int], object]:
    def act(round_: int) -> object:
        if round_ == 1:
            raise exc
        return None

    return act


@pytest.mark.parametrize(
    ("task", "method"), [("feeder", "advance"), ("writer", "settle"), ("leases", "extend")]
)
def test_a_value_error_once_in_each_thread_is_told_and_outlived(
    log: LogCapture, task: str, method: str
) -> None:
    pipeline = Pipeline()
    pipeline.acts[method] = _once(ValueError("once"))
    run(made(pipeline, Work()), lambda: pipeline.rounds[method] >= 3)
    assert pipeline.rounds[method] >= 3
    told = [entry for entry in log.entries if entry.get("task") == task]
    assert [entry["event"] for entry in told] == ["failed unforeseen"]
    assert isinstance(told[0]["exc_info"], ValueError)


def test_a_key_error_in_a_job_is_told_and_outlived(log: LogCapture) -> None:
    job = Job()
    run(made(Pipeline(), Work(), job), lambda: job.rounds >= 3)
    assert job.rounds >= 3
    told = [entry for entry in log.entries if entry.get("task") == job.name]
    assert [entry["event"] for entry in told] == ["failed unforeseen"]


def test_what_fails_is_told_at_each_change_and_no_oftener(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemons._Tell, "every_s", 0.01)
    told: list[list[str]] = []

    class Failing(Job):
        def run_once(self) -> bool:
            self.rounds += 1
            if not any(told):
                raise errors.SinkUnavailable("the sink is down")
            return False

    def tell(troubles: Sequence[dict[str, str]]) -> None:
        told.append([f"{one['name']}: {one['reason']}" for one in troubles])

    job = Failing()
    run(made(Pipeline(), Work(), job, tell=tell), lambda: any(told) and not told[-1])
    assert [words for words in told if words] == [[f"{job.name}: the sink is down"]]
    assert all(one != other for one, other in itertools.pairwise(told))


def test_a_daemon_that_is_well_is_heard_of_every_half_minute_and_no_oftener(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (daemons.HEARD_S, daemons.WAITS_S) == (30.0, 20.0)  # two intervals, each by its name
    told: list[float] = []
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    telling = daemons._Tell(runners.Runner(), lambda _: told.append(clock[0]))
    for second in range(91):
        clock[0] = float(second)
        telling.run_once()
    assert told == [0.0, 30.0, 60.0, 90.0]


def test_a_thread_that_cannot_go_on_ends_the_daemon_with_a_code() -> None:
    pipeline = Pipeline()

    def broken(_: int) -> None:
        raise AssertionError("each time")

    pipeline.acts["advance"] = broken
    with pytest.raises(errors.InsightsError, match="feeder") as raised:
        made(pipeline, Work()).run()
    assert raised.value.exit_code == 1
    assert pipeline.given_back.is_set()


def test_an_idle_daemon_ends_within_a_second() -> None:
    pipeline = Pipeline()
    assert run(made(pipeline, Work(), lease_s=60), lambda: pipeline.rounds["advance"] > 3) < 1


def test_leases_are_prolonged_only_while_feeder_and_writer_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemons, "IDLE_WORKER_S", 0.3)
    pipeline, hang = Pipeline(), threading.Event()
    pipeline.acts["advance"] = lambda round_: hang.wait(30) if round_ == 5 else None
    seen: list[int] = []

    def holds() -> bool:
        if pipeline.rounds["advance"] == 5 and not hang.is_set():
            time.sleep(0.6)
            seen.append(pipeline.rounds["extend"])
            time.sleep(0.4)
            seen.append(pipeline.rounds["extend"])
            hang.set()
        return hang.is_set() and pipeline.rounds["extend"] > seen[1]

    run(made(pipeline, Work()), holds)
    assert seen[0] == seen[1] > 0
    assert pipeline.rounds["extend"] > seen[1]


def test_what_a_former_self_held_is_taken_back_before_the_first_claim() -> None:
    pipeline, work = Pipeline(), Work()
    freed: list[int] = []
    pipeline.acts["advance"] = lambda _: freed.append(work.freed)
    run(made(pipeline, work), lambda: len(freed) > 3)
    assert set(freed) == {1}


def test_a_dead_daemon_is_noticed_within_its_lease_and_five_seconds() -> None:
    for lease_s in (0.5, 60.0, 600.0):
        assert daemons._Expire(Work(), lease_s).every_s < 5  # type: ignore[arg-type]


def test_the_watchdog_is_fed_while_all_move_and_starved_by_one_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    pipeline, hang, told = Pipeline(), threading.Event(), list[tuple[float, bytes]]()
    hung: list[float] = []

    def advance(round_: int) -> None:
        if round_ == 30:
            hung.append(time.monotonic())
            hang.wait(20)

    pipeline.acts["advance"] = advance
    real = runners.Runner.stuck
    monkeypatch.setattr(runners.Runner, "stuck", lambda self: real(self, 0.5))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0.05)

        def listen() -> None:
            while not hang.is_set():
                try:
                    told.append((time.monotonic(), manager.recv(4096)))
                except TimeoutError:
                    continue

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        run(made(pipeline, Work()), lambda: hung and time.monotonic() - hung[0] > 2)
        hang.set()
        listener.join()
    fed = [at for at, state in told if state == b"WATCHDOG=1"]
    assert [at for at in fed if at < hung[0]]
    assert [at for at in fed if at > hung[0] + 1.2] == []
    assert b"READY=1" in [state for _, state in told]


def test_a_store_that_does_not_answer_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemons, "GIVE_BACK_S", 0.3)
    pipeline, never = Pipeline(), threading.Event()
    pipeline.held = 3

    def silent() -> int:
        never.wait(30)
        return 0

    pipeline.give_back_all = silent  # type: ignore[method-assign]
    assert run(made(pipeline, Work()), lambda: pipeline.rounds["advance"] > 3) < 5
    never.set()


def _report(_: Any) -> None:  # noqa: ANN401
    pass


def test_once_waits_while_rows_are_in_flight_and_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, log: LogCapture
) -> None:
    monkeypatch.setattr(daemons, "STALL_S", 0.3)
    monkeypatch.setattr(daemons, "WAITS_S", 0.2)
    pipeline, work = Pipeline(), Work(left=2)
    pipeline.waits_for = ["triage: 2 rows wait for small, 512 tokens done since it started"]
    pipeline.held = 2  # tokens flow, and no row is finished for longer than that
    pipeline.acts["settle"] = _once(errors.StoreUnavailable("gone for a moment"))
    began = time.monotonic()

    def advance(_: int) -> None:
        if time.monotonic() - began > 1.2:
            pipeline.held = work.left = 0

    pipeline.acts["advance"] = advance
    made(pipeline, work).run_once(_report)
    assert time.monotonic() - began > 1
    told = [entry["reason"] for entry in log.entries if entry["event"] == "waits"]
    assert 0 < len(told) < 8
    assert "512 tokens" in told[0]

    pipeline, work = Pipeline(), Work(left=2)

    def down(_: int) -> None:
        raise errors.SourceUnavailable("the replica is down")

    pipeline.acts["advance"] = down
    with pytest.raises(errors.Overloaded, match=r"2 rows .*feeder: the replica is down"):
        made(pipeline, work).run_once(_report)
    assert log.entries


class Kept(Pipeline):
    """Holds a row until it is told otherwise; knows that it is closed from its next round on."""

    closed = shut = False

    def advance(self) -> int:
        self.shut = self.closed
        return super().advance()

    @property
    def drained(self) -> bool:
        return self.closed and self.shut and not self.held


def test_who_drains_is_not_ready_and_over_once_nothing_is_held_or_about_to_be() -> None:
    pipeline, runner = Kept(), runners.Runner()
    draining = Draining(pipeline, runner)  # type: ignore[arg-type]
    pipeline.held, runner.stage = 1, "running"
    draining.run_once()
    assert not draining.over
    draining.wanted = lambda: True
    draining.run_once()
    assert pipeline.closed
    stage: str = runner.stage
    assert stage == "draining"
    assert [one.name for one in runner.complaints] == ["drain"]
    pipeline.held = 0
    assert not draining.over  # a claim may be under way
    pipeline.advance()
    assert draining.over
    draining.wanted = lambda: False
    draining.run_once()
    assert not draining.over
    assert not pipeline.closed
    assert runner.stage == "running"
    assert not runner.complaints


def test_a_complaint_leaves_others_alone() -> None:
    runner = runners.Runner()
    runner.complain("settings", "refused")
    runner.complain("drain", "asked for")
    runner.complain("drain", "")
    assert [one.name for one in runner.complaints] == ["settings"]
