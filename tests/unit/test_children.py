"""Children: what they inherit, when their calls are late, and that nobody waits for their start."""

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from insights import errors
from insights.workers.process import Worker
from tests.echo_child import Ask, Init, Told

ROOT = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' own child is no part of the installed package."""
    monkeypatch.setenv("PYTHONPATH", f":{ROOT}")  # the empty one would be the working directory


@contextmanager
def _worker(init: Init | None = None, *, in_place: bool = False) -> Iterator[Worker]:
    worker = Worker("tests.echo_child", init or Init(), name="echo", in_place=in_place)
    with closing(worker):
        yield worker


def _told(worker: Worker) -> Told:
    return worker.call("tell", Ask(), Told, deadline_s=30)


def test_no_secret_is_in_a_childs_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "only-for-the-supervisor"
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_ERP_PASSWORD", secret)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", f"/run/{secret}")
    monkeypatch.setenv("INSIGHTS_STORE__URL", f"postgresql://insights:{secret}@db/insights")
    monkeypatch.setenv("PGPASSWORD", secret)
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    monkeypatch.setenv("ODBCSYSINI", "/opt/drivers")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    with _worker(Init(secret=secret)) as worker:
        environment = _told(worker).environment
        assert worker.pid is not None
        process = psutil.Process(worker.pid)
        assert secret not in " ".join(process.cmdline())
        with contextlib.suppress(PermissionError):  # its own user may not read it: root may
            assert secret.encode() not in Path(f"/proc/{worker.pid}/environ").read_bytes()
    assert secret not in str(environment)
    assert environment["ODBCSYSINI"] == "/opt/drivers"
    assert environment["LC_ALL"] == "C.UTF-8"
    assert "PATH" in environment


def test_nothing_in_the_working_directory_runs_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("msgspec", "pyodbc", "insights"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    for in_place in (False, True):  # a reader's connection string may name a file from here
        with _worker(in_place=in_place) as worker:
            told = _told(worker)
            assert told.folder == (str(tmp_path) if in_place else "/")
            assert not {"", ".", str(tmp_path)} & set(told.path)


def test_a_child_leaves_no_core_and_cannot_be_looked_into() -> None:
    with _worker() as worker:
        assert _told(worker).dumpable == 0


def test_a_slow_call_makes_no_call_behind_it_late() -> None:
    with _worker() as worker:
        _told(worker)
        pid = worker.pid
        calls = [worker.submit("sleep", Ask(0.7), Ask, deadline_s=1.2) for _ in range(4)]
        assert [call.result(20).seconds for call in calls] == [0.7] * 4
        assert worker.pid == pid


def test_a_cancelled_call_is_waited_for_by_those_behind_it() -> None:
    with _worker() as worker:
        _told(worker)
        pid = worker.pid
        first = worker.submit("sleep", Ask(1.0), Ask, deadline_s=5)
        second = worker.submit("sleep", Ask(0.1), Ask, deadline_s=0.6)
        time.sleep(0.1)
        assert first.cancel()
        assert second.result(20).seconds == 0.1
        assert worker.pid == pid


def test_a_hung_call_is_killed_and_takes_those_behind_it_along() -> None:
    with _worker() as worker:
        _told(worker)
        hung = worker.submit("sleep", Ask(60), Ask, deadline_s=0.5)
        behind = worker.submit("sleep", Ask(0), Ask, deadline_s=30)
        for call in (hung, behind):
            with pytest.raises(errors.WorkerDied, match="did not answer sleep in time"):
                call.result(10)
        assert worker.last_end is not None
        assert worker.last_end.ours
        assert worker.call("sleep", Ask(0), Ask, deadline_s=30).seconds == 0


def test_a_child_that_answers_many_at_once_is_held_to_each_deadline() -> None:
    with _worker(Init(polls=True)) as worker:
        first = worker.submit("sleep", Ask(0.5), Ask, deadline_s=30)
        first.result(20)
        worker.submit("sleep", Ask(1.5), Ask, deadline_s=30)
        late = worker.submit("sleep", Ask(0), Ask, deadline_s=0.5)
        with pytest.raises(errors.WorkerDied, match="in time"):
            late.result(10)


def test_submitting_never_waits_for_a_load_and_closing_ends_it() -> None:
    with _worker(Init(load_s=60)) as worker:
        began = time.monotonic()
        calls = [worker.submit("sleep", Ask(0), Ask, deadline_s=1) for _ in range(3)]
        assert time.monotonic() - began < 1
        assert not wait(calls, 1.5).done  # the deadline is not for the load
        began = time.monotonic()
        worker.close(drain_s=30)
        assert time.monotonic() - began < 2
        for call in calls:
            with pytest.raises(errors.WorkerDied):
                call.result(5)


def test_what_is_submitted_in_a_load_is_answered_after_it() -> None:
    with _worker(Init(load_s=0.8)) as worker:
        given_up = worker.submit("sleep", Ask(0), Ask, deadline_s=0.5)
        assert given_up.cancel()
        assert worker.submit("sleep", Ask(0), Ask, deadline_s=0.5).result(20).seconds == 0


def test_a_child_that_dies_in_its_load_fails_each_call_and_backs_off() -> None:
    worker = Worker("insights.no_such_module", Init(), name="missing")
    with closing(worker):
        for deaths in (1, 2):
            with pytest.raises(errors.WorkerDied):
                worker.call("sleep", Ask(), Ask, deadline_s=30)
            until = time.monotonic() + 30
            while worker.deaths < deaths and time.monotonic() < until:
                time.sleep(0.01)  # a call that finds it dead fails before the end is counted
            assert worker.deaths == deaths
        assert worker.last_end is not None
        assert not worker.last_end.ready


def test_a_child_that_refuses_to_start_says_why_and_backs_off() -> None:
    with _worker(Init(refuses="the file is damaged")) as worker:
        for deaths in (1, 2, 3):
            with pytest.raises(errors.ModelError, match="the file is damaged"):
                worker.call("sleep", Ask(), Ask, deadline_s=30)
            assert worker.deaths == deaths
        began = time.monotonic()
        with pytest.raises(errors.ModelError):
            worker.call("sleep", Ask(), Ask, deadline_s=30)
        assert time.monotonic() - began > 1  # of 2, with jitter


def test_a_child_that_cannot_be_watched_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, others = threading.Thread.start, set(psutil.Process().children())
    spawned: list[psutil.Process] = []

    def fail(thread: threading.Thread) -> None:
        if thread.name == "echo deadlines":
            spawned.extend(set(psutil.Process().children()) - others)  # servers of other tests
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    with _worker() as worker, pytest.raises(errors.WorkerDied, match="can't start new thread"):
        worker.call("sleep", Ask(), Ask, deadline_s=30)
    assert spawned
    psutil.wait_procs(spawned, 5)
    assert not [process for process in spawned if process.is_running()]


def test_a_start_returns_when_the_child_is_ready() -> None:
    with _worker(Init(load_s=0.5)) as worker:
        worker.start()
        pid = worker.pid
        assert pid is not None
        worker.start()
        assert worker.pid == pid


def test_a_child_that_ends_fails_what_is_in_flight_and_the_next_starts_anew() -> None:
    with _worker() as worker:
        with pytest.raises(errors.WorkerDied, match="ended with 3"):
            worker.call("die", Ask(), Ask, deadline_s=30)
        assert worker.call("sleep", Ask(0), Ask, deadline_s=30).seconds == 0


def test_no_child_can_be_spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with _worker() as worker, pytest.raises(errors.WorkerDied, match="could not be started"):
        worker.call("sleep", Ask(), Ask, deadline_s=30)
