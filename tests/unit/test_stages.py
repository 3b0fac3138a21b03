"""A stage works off what is put into it, whatever its work raises, and rests when there is none."""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from insights.doors import stages
from insights.doors.stages import Stage


class Kept:
    """What became of items, once all that were put are through."""

    def __init__(self, most: int = 7) -> None:
        self.most = most
        self.done: list[int] = []
        self.failed: list[tuple[int, str]] = []
        self.through = threading.Semaphore(0)
        self.name = f"stage {id(self)}"  # those of other tests rest for a while
        self.stage = Stage(self.name, self.take, self.work, self.fail)

    def take(self, queue: deque[int]) -> list[int]:
        return [queue.popleft() for _ in range(min(self.most, len(queue)))]

    def work(self, some: Sequence[int]) -> None:
        assert 0 < len(some) <= self.most
        if any(one < 0 for one in some):
            raise SystemExit("ends")
        self.done += some
        self.through.release(len(some))

    def fail(self, some: Sequence[int], exc: BaseException) -> None:
        self.failed += [(one, str(exc)) for one in some]
        self.through.release(len(some))

    def wait(self, items: int) -> None:
        for _ in range(items):
            assert self.through.acquire(timeout=60)

    def threads(self) -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == self.name]


def test_all_that_is_put_is_worked_off_once_by_one_thread() -> None:
    kept = Kept()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: kept.stage.put([10 * n, 10 * n + 1]), range(200)))
        assert len(kept.threads()) == 1
    kept.wait(400)
    assert sorted(kept.done) == sorted(m for n in range(200) for m in (10 * n, 10 * n + 1))


def test_what_work_raises_is_told_to_whoever_waits_and_the_next_go_on() -> None:
    kept = Kept(most=1)
    kept.stage.put([1, -2, 3])
    kept.wait(3)
    assert (kept.done, kept.failed) == ([1, 3], [(-2, "ends")])


def test_a_thread_that_has_nothing_to_do_ends_and_the_next_item_starts_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stages, "_QUIET_S", 0.01)
    kept = Kept()
    for number in range(3):
        kept.stage.put([number])
        kept.wait(1)
        for one in kept.threads():
            one.join(60)
        assert kept.threads() == []
    assert kept.done == [0, 1, 2]


def test_items_fail_where_no_thread_can_be_started_and_the_next_ones_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Kept()

    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", full)
        kept.stage.put([1])
    ((number, why),) = kept.failed
    assert number == 1
    assert "no thread: can't start" in why
    kept.stage.put([2])
    kept.wait(2)
    assert kept.done == [2]
