"""Rows under several adapters in one batcher: each gets its own, and none waits for ever."""

import random
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from insights.inference.batcher import Batcher
from insights.inference.slots import Job
from insights.inference.waiting import Lines
from insights.model import Adapter
from tests.unit.test_batcher import (
    VOCABULARY,
    FakeConstraint,
    FakeModel,
    Inline,
    drained,
    job,
    made,
    next_logits,
)

KINDS = Adapter(sha256="a" * 64)
STRONGER = Adapter(sha256="a" * 64, scale=2.0)
TONE = Adapter(sha256="b" * 64)
ALL: list[Adapter | None] = [None, KINDS, STRONGER, TONE]


class Adapted(FakeModel):
    """A model whose adapters decide what comes next, and what a sequence's tokens are worth."""

    def __init__(self, sequences: int, batch: int, *, can_trim: bool = True) -> None:
        super().__init__(sequences, batch, can_trim=can_trim)
        self.under: list[Adapter | None] = [None] * sequences
        self.adapter: Adapter | None = None
        self.steps: list[Adapter | None] = []
        self.switches = 0

    def adapt(self, adapter: Adapter | None) -> None:
        assert adapter != self.adapter, "a switch to what it is"
        self.adapter = adapter
        self.switches += 1

    def decode(
        self, tokens: list[int], positions: list[int], sequences: list[int], wanted: list[bool]
    ) -> None:
        for sequence in set(sequences):
            if not self.memory[sequence]:
                self.under[sequence] = self.adapter
            assert self.under[sequence] == self.adapter, "a prefix of another adapter"
        self.steps.append(self.adapter)
        super().decode(tokens, positions, sequences, wanted)
        ends = {sequence: at for at, sequence in enumerate(sequences)}
        for at, sequence in enumerate(sequences):
            if wanted[at]:
                history = self.memory[sequence][: positions[at] + 1]
                self._logits[at] = logits_under(history, self.adapter)
        assert all(len(self.memory[s]) == positions[at] + 1 for s, at in ends.items())

    def copy(self, source: int, target: int) -> None:
        super().copy(source, target)
        self.under[target] = self.under[source]


def logits_under(history: list[int], adapter: Adapter | None) -> npt.NDArray[np.float32]:
    if adapter is None:
        return next_logits(history)
    return next_logits([ALL.index(adapter), *history, -1])


def alone(prompt: list[int], most: int, adapter: Adapter | None) -> list[int]:
    constraint = FakeConstraint(most)
    while not constraint.finished:
        found = logits_under([*prompt, *constraint.tokens], adapter)
        constraint.consume([int(found.argmax())])
        constraint.consume(constraint.forced())
    return constraint.tokens


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 16),
    parallel=st.integers(1, 5),
    room=st.integers(0, 24),
    can_trim=st.booleans(),
    few=st.integers(0, 5),
)
@settings(max_examples=200, deadline=None)
def test_each_row_gets_what_it_would_get_alone_under_its_adapter(
    seed: int,
    rows: int,
    parallel: int,
    room: int,
    can_trim: bool,  # noqa: FBT001 - hypothesis gives it by name
    few: int,
) -> None:
    draw = random.Random(seed)
    trunk = [draw.randrange(1, VOCABULARY) for _ in range(24)]  # every prompt begins as it does
    model = Adapted(parallel, parallel + room, can_trim=can_trim)
    batcher = made(model, parallel, drafts=can_trim, few=few)
    expected, ended = {}, []
    for number in range(rows):
        prompt = [*trunk[: draw.randrange(25)], draw.randrange(1, VOCABULARY)]
        most, adapter = draw.randrange(1, 12), draw.choice(ALL)
        expected[number] = alone(prompt, most, adapter)
        batcher.submit(job(number, prompt, most, adapter=adapter, weight=draw.choice([1, 1, 4])))
        if draw.random() < 0.4:
            ended += batcher.step()
        if draw.random() < 0.1:
            gone = draw.randrange(number + 1)
            batcher.cancel(gone)
            if all(one.number != gone for one in ended):
                expected.pop(gone, None)
    ended += drained(batcher)
    assert {one.number: one.output for one in ended} == expected
    assert batcher.tally.switches == model.switches


def test_without_adapters_the_model_is_never_told_of_one() -> None:
    model = Adapted(3, 16)
    batcher = made(model, 3)
    for number in range(20):
        batcher.submit(job(number, [1, 2, 3 + number % 5], most=5))
    drained(batcher)
    assert model.switches == batcher.tally.switches == 0


def test_rows_of_one_adapter_are_admitted_together_though_they_come_mixed() -> None:
    model = Adapted(4, 64)
    batcher = made(model, 4)
    for number in range(48):
        batcher.submit(job(number, [1 + number % 15] * 3, 5, adapter=[KINDS, TONE][number % 2]))
    ended = drained(batcher)
    assert len(ended) == 48
    # One row after the other would be 48 turns; those of eight rows, and the ends of each, are few.
    assert batcher.tally.switches <= 2 * 48 // 8 + 2


def test_a_prefix_is_used_again_within_an_adapter_and_never_across() -> None:
    trunk = [1 + n % 15 for n in range(40)]
    model = Adapted(4, 64)
    batcher = made(model, 4)
    for number in range(40):
        adapter = [KINDS, STRONGER][number % 2]
        batcher.submit(job(number, [*trunk, 1 + number % 15], most=1, adapter=adapter))
    ended = drained(batcher)
    assert len(ended) == 40
    # Each adapter has the trunk evaluated once a turn at most, not once a row.
    assert model.evaluated <= 40 * 2 + len(trunk) * (batcher.tally.switches + 2)
    assert sum(one.reused for one in ended) >= 25 * len(trunk)


def test_a_backlog_under_one_adapter_does_not_keep_another_waiting() -> None:
    model = Adapted(2, 16)
    batcher = made(model, 2)
    for number in range(60):
        batcher.submit(job(number, [1, 1 + number % 15], most=6, adapter=KINDS))
    for _ in range(5):
        batcher.step()
    batcher.submit(job(99, [7, 7], most=6, adapter=TONE))
    before = [one.number for one in until(batcher, 99)]
    assert before[-1] == 99
    assert len(before) <= 4 + 2  # a turn of twice the rows at once, and those in flight


def test_rows_in_flight_under_two_adapters_both_move() -> None:
    model = Adapted(2, 16)
    batcher = made(model, 2)
    batcher.submit(job(0, [9], most=1))
    drained(batcher)  # after a start the first row is alone
    for number, adapter in enumerate([KINDS, TONE], start=1):
        batcher.submit(endless(number, adapter))
    begun = len(model.steps)
    for _ in range(64):
        batcher.step()
    turns = model.steps[begun:]
    assert turns.count(KINDS) == turns.count(TONE) == 32
    assert batcher.tally.switches <= 10  # some steps each, not one


def test_a_row_that_used_half_of_its_time_ends_another_adapters_turn() -> None:
    now = [0.0]
    model = Adapted(1, 64)
    batcher = Batcher(
        model, parallel=1, batch=64, chunk=8, run=4, few=0, masks=Inline(), clock=lambda: now[0]
    )
    batcher.submit(job(0, [1] * 8, most=1, adapter=KINDS))
    drained(batcher)
    for number in range(2, 6):
        batcher.submit(job(number, [*[1] * 8, number], most=1, adapter=KINDS))
    batcher.submit(job(1, [2] * 8, most=1, adapter=TONE, deadline=10.0))
    now[0] = 6.0
    assert next(one.number for one in drained(batcher)) == 1


def test_a_turn_admits_so_many_and_then_another_adapter_has_its_own() -> None:
    lines = Lines(turn=3)
    for number in range(8):
        lines.add(job(number, [1 + number], adapter=KINDS if number < 6 else TONE))
    taken = []
    while lines:
        one = lines.turn(0.0).oldest
        lines.took(one)
        taken.append("k" if one.adapter == KINDS else "t")
    assert "".join(taken) == "kkkttkkk"


def endless(number: int, adapter: Adapter | None) -> Job:
    class Endless(FakeConstraint):
        finished = property(lambda _: False)

    found: Any = job(number, [number], constraint=Endless(1_000), adapter=adapter)
    found.sampling = type(found.sampling)(max_tokens=1_000)
    return cast("Job", found)


def until(batcher: Batcher, number: int) -> list[Job]:
    ended: list[Job] = []
    while all(one.number != number for one in ended):
        ended += batcher.step()
    return ended
