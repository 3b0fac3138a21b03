"""A person who waits goes before a backlog, and a backlog never starves."""

from collections import Counter

import pytest

from insights.inference.turns import Turns
from insights.site.settings import StreamSettings
from tests.desk import Desk
from tests.unit.test_batcher import FakeModel, job, made

TRUNK = [3] * 12


def served(turns: Turns, weights: list[int], rows: int) -> list[int]:
    found = []
    for _ in range(rows):
        found.append(turns.choose(weights))
        turns.took(found[-1])
    return found


def test_lines_that_have_rows_have_turns_by_their_weights() -> None:
    turns = Turns()
    found = Counter(served(turns, [1, 4, 5], 1_000))
    assert found == {1: 100, 4: 400, 5: 500}
    assert set(served(turns, [1, 100], 102)) == {1, 100}  # nobody waits for ever


def test_whoever_comes_to_a_backlog_is_next_and_has_saved_up_nothing() -> None:
    turns = Turns()
    served(turns, [1], 1_000)
    assert served(turns, [1, 4], 11) == [4, 4, 4, 4, 4, 1, 4, 4, 4, 4, 1]
    served(turns, [4], 1_000)
    assert served(turns, [1, 4], 6).count(1) >= 1
    assert served(turns, [1, 4], 100).count(1) in (19, 20, 21)


def test_a_request_is_admitted_before_a_backlog_that_shares_its_prompts_and_that_goes_on() -> None:
    model = FakeModel(1, 32)
    batcher = made(model, 1)
    for number in range(30):  # each has the longest prefix of what is in the cache
        batcher.submit(job(number, [*TRUNK, number % 13 + 1], 4))
    ended = [one.number for _ in range(20) for one in batcher.step()]
    assert ended
    for number in range(100, 112):
        batcher.submit(job(number, [5, number - 99], 4, weight=4))
    after: list[int] = []
    while batcher.busy:
        after += [one.number for one in batcher.step()]
    first = next(at for at, number in enumerate(after) if number >= 100)
    assert first <= 1  # at most the one that was running
    requests = [at for at, number in enumerate(after) if number >= 100]
    between = [number for number in after[: requests[-1]] if number < 100]
    assert 2 <= len(between) <= 4  # of twelve requests' turns, every fifth was the backlog's
    assert sorted(ended + after) == [*range(30), *range(100, 112)]


def test_a_request_that_is_cancelled_or_too_late_leaves_its_line() -> None:
    batcher = made(FakeModel(1, 32), 1)
    batcher.submit(job(1, TRUNK, 4, weight=4))
    batcher.submit(job(2, TRUNK, 4, weight=4, deadline=0.5))
    batcher.submit(job(3, TRUNK, 4))
    batcher.cancel(1)
    ended = []
    while batcher.busy:
        ended += batcher.step()
    assert {one.number: one.error is None for one in ended} == {2: False, 3: True}


@pytest.mark.parametrize("idle_first", [True, False])
def test_a_recipe_that_idles_keeps_no_more_room_than_it_may(*, idle_first: bool) -> None:
    desk = Desk(batch=64, in_flight=64)
    models = {version: desk.recipe(version) for version in ((2, 1) if idle_first else (1, 2))}
    desk.queue.add(1, *["backlog"] * 300)
    for _ in range(4):
        desk.pipeline.advance()
    assert len(models[1].flight) == 48


@pytest.mark.parametrize("heavy_first", [True, False])
def test_room_in_flight_is_shared_by_weight_and_kept_for_whoever_comes(
    *, heavy_first: bool
) -> None:
    desk = Desk(batch=64, in_flight=64)
    order = (2, 1) if heavy_first else (1, 2)
    models = {version: desk.recipe(version, weight=4 if version == 2 else 1) for version in order}
    desk.queue.add(1, *["backlog"] * 300)
    for _ in range(4):
        desk.pipeline.advance()
    assert len(models[1].flight) == 39  # the rest is for who has more weight
    desk.queue.add(2, *["person"] * 300)
    for _ in range(4):
        desk.pipeline.advance()
    assert len(models[2].flight) >= 25
    assert len(models[1].flight) == 39
    for _ in range(40):
        for model in models.values():
            model.work(4)
        desk.pipeline.settle(0.0)
        desk.pipeline.advance()
    assert len(models[2].flight) > 3 * len(models[1].flight) > 0  # and none starves


def test_requests_have_more_turns_unless_the_settings_say_otherwise() -> None:
    inbox = {"source": "inbox", "key": ["id"]}
    polled = {"source": "erp", "table": "t", "key": ["id"]}
    assert StreamSettings.model_validate(inbox).turns == 4
    assert StreamSettings.model_validate(polled).turns == 1
    assert StreamSettings.model_validate({**inbox, "weight": 1}).turns == 1
    assert StreamSettings.model_validate({**polled, "weight": 9}).turns == 9
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        StreamSettings.model_validate({**inbox, "weight": 0})
