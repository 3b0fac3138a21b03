"""Who may claim how much: no recipe starves another, whatever its rows or its source do."""

import threading
import time

import pytest

from insights import errors
from tests.desk import Desk, Source


def test_a_long_queue_leaves_room_for_rows_of_another_recipe() -> None:
    desk = Desk(batch=32, in_flight=64)
    slow, quick = desk.recipe(1), desk.recipe(2)
    desk.queue.add(1, *["slow"] * 300)
    for _ in range(4):
        desk.pipeline.advance()  # nothing of it finishes
    assert len(slow.flight) == 48
    desk.queue.add(2, *["quick"] * 19)
    for _ in range(3):
        desk.pipeline.advance()
        quick.work()
        desk.pipeline.settle(0.0)
    assert desk.queue.states(2) == {"done": 19}


def test_a_recipe_that_is_quick_holds_more_rows_and_a_slow_one_does_not() -> None:
    desk = Desk(batch=32, in_flight=64, ample=320)
    model = desk.recipe(1)
    deadline_s = desk.recipes[1].deadline_s
    desk.queue.add(1, *["row"] * 4_000)

    def most_held(pause_s: float, rounds: int) -> int:
        held = 0
        for _ in range(rounds):
            while desk.pipeline.advance():
                held = max(held, len(model.flight))
            desk.clock.now += pause_s
            model.work(8)
            desk.pipeline.settle(0.0)
        return held

    assert most_held(0.0, 7) == 64  # a pace is known from 64 rows on
    assert most_held(deadline_s, 20) == 64
    # Rows end in bursts, which makes them a little quicker than they are.
    assert most_held(8 * deadline_s / 3 / 200, 40) == pytest.approx(200, abs=30)
    assert most_held(0.1, 60) == 320
    model.work(300)
    desk.pipeline.settle(0.0)
    desk.clock.now += 9 * deadline_s  # as over a night: what it does then is not known
    assert most_held(deadline_s, 20) == 64


@pytest.mark.parametrize(("batch", "least", "most"), [(None, 80, 160), (32, 32, 32), (8, 8, 8)])
def test_a_recipe_that_ends_many_rows_in_a_moment_claims_more_at_once(
    batch: int | None, least: int, most: int
) -> None:
    desk = Desk(batch=batch, in_flight=64, ample=320)
    model = desk.recipe(1)
    desk.queue.add(1, *["row"] * 9_000)

    def claimed(pause_s: float, ends: int) -> int:
        rows = 0
        for _ in range(16):
            desk.clock.now += pause_s
            while at_once := desk.pipeline.advance():
                rows = max(rows, at_once)
            model.work(ends)
            desk.pipeline.settle(0.0)
        return rows

    assert claimed(5.0, 64) == min(most, 32)  # in bursts
    assert least <= claimed(0.0, 300) <= most
    assert claimed(5.0, 64) == min(most, 32)


def test_rows_of_a_quick_recipe_leave_room_for_another() -> None:
    desk = Desk(batch=32, in_flight=64, ample=320)
    quick, other = desk.recipe(1), desk.recipe(2)
    desk.queue.add(1, *["row"] * 4_000)
    for _ in range(60):
        while desk.pipeline.advance():
            pass
        quick.work(8)
        desk.pipeline.settle(0.0)
    assert len(quick.flight) > 200
    desk.queue.add(2, *["row"] * 100)
    desk.pipeline.advance()
    desk.pipeline.advance()
    assert len(other.flight) == 32


def test_slow_rows_stop_nobody() -> None:
    desk = Desk()
    slow, quick = desk.recipe(1), desk.recipe(2)
    desk.queue.add(1, *["slow"] * 3)
    desk.queue.add(2, *["quick"] * 40)
    for _ in range(20):
        desk.round(quick, pause_s=20.0)
    assert (len(slow.flight), desk.queue.states(2)) == (3, {"done": 40})


def test_recipes_with_work_share_what_is_in_flight() -> None:
    desk = Desk(batch=32, in_flight=64)
    models = [desk.recipe(version) for version in (1, 2)]
    for version in (1, 2):
        desk.queue.add(version, *["row"] * 300)
    for _ in range(5):
        desk.pipeline.advance()
    assert [len(model.flight) for model in models] == [32, 32]


def test_a_source_that_hangs_holds_its_own_lane_only() -> None:
    desk = Desk(threads=True, in_flight=32)
    hung, release = threading.Event(), threading.Event()
    asked = []

    def hang(bodies: list[str | None]) -> None:
        asked.append(bodies)
        hung.set()
        release.wait(60.0)
        raise errors.WorkerDied("did not answer fetch in time and was killed")

    desk.recipe(1, source=Source(desk.queue, breaks=hang))
    other = desk.recipe(2)
    desk.queue.add(1, *"abcdefgh")
    desk.queue.add(2, *"abcdefgh")
    until = time.monotonic() + 60.0
    try:
        while desk.queue.states(2)["done"] < 8 and time.monotonic() < until:
            desk.pipeline.advance()
            other.work()
            desk.pipeline.settle(0.01)
        assert hung.is_set()
        assert desk.queue.states(2) == {"done": 8}
    finally:
        release.set()
    while desk.pipeline.held and time.monotonic() < until:
        desk.pipeline.settle(0.01)
    assert desk.queue.states(1) == {"pending": 8}
    assert desk.queue.charged() == {}
    assert len(asked) == 1  # the batch that waited behind it was given back, unread
