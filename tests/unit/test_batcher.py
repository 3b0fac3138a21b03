"""The batcher over a fake model: whatever is in flight beside it, a row's output is its own."""

import random
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights import errors
from insights.inference import prefixes
from insights.inference.batcher import Batcher
from insights.inference.drafting import Drafter
from insights.inference.sampling import Mask
from insights.inference.slots import Job
from insights.model import Adapter, Sampling

VOCABULARY = 16
END = 0


class Inline(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except errors.InsightsError as exc:
            future.set_exception(exc)
        return future


def next_logits(history: Sequence[int]) -> npt.NDArray[np.float32]:
    seed = hash(tuple(history))
    return np.random.default_rng(abs(seed)).standard_normal(VOCABULARY).astype(np.float32)


class FakeModel:
    """Remembers tokens by sequence, as a KV cache does, and refuses what llama.cpp would."""

    def __init__(self, sequences: int, batch: int, *, can_trim: bool = True) -> None:
        self.memory: list[list[int]] = [[] for _ in range(sequences)]
        self.batch, self.can_trim = batch, can_trim
        self.evaluated = 0
        self.batches: list[list[int]] = []
        self._logits: dict[int, npt.NDArray[np.float32]] = {}

    def decode(
        self, tokens: list[int], positions: list[int], sequences: list[int], wanted: list[bool]
    ) -> None:
        assert 0 < len(tokens) <= self.batch
        assert sequences == sorted(sequences)
        self.evaluated += len(tokens)
        self.batches.append(sequences)
        self._logits = {}
        for at, (token, position, sequence) in enumerate(
            zip(tokens, positions, sequences, strict=True)
        ):
            assert position == len(self.memory[sequence]), "a hole or a repeat in the cache"
            self.memory[sequence].append(token)
            if wanted[at]:
                self._logits[at] = next_logits(self.memory[sequence])

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        return self._logits[index]

    def trim(self, sequence: int, length: int) -> bool:
        if 0 < length < len(self.memory[sequence]) and not self.can_trim:
            return False
        assert length <= len(self.memory[sequence])
        del self.memory[sequence][length:]
        return True

    def copy(self, source: int, target: int) -> None:
        self.memory[target] = list(self.memory[source])

    def adapt(self, adapter: Adapter | None) -> None:
        raise AssertionError(f"no row here has an adapter, nor {adapter}")


class FakeConstraint:
    """After token t mod 3 == 1 two tokens are forced; END ends; never more than `most` choices."""

    def __init__(self, most: int, *, broken: bool = False) -> None:
        self.tokens: list[int] = []
        self.most, self.broken = most, broken

    @property
    def finished(self) -> bool:
        return bool(self.tokens) and (self.tokens[-1] == END or len(self.tokens) >= self.most)

    def consume(self, tokens: Sequence[int]) -> None:
        self.tokens += tokens

    def forced(self) -> list[int]:
        if self.finished or not self.tokens or self.tokens[-1] % 3 != 1:
            return []
        return [(self.tokens[-1] + 2) % VOCABULARY or 3, 6][: self.most - len(self.tokens)]

    def masks(self, draft: Sequence[int]) -> tuple[list[int], list[Mask]]:
        if self.broken:
            raise errors.RowError("the constraint gave up")
        everything = np.full(VOCABULARY // 8, 255, np.uint8)
        taken: list[int] = []
        for token in draft:
            if token == END or token % 3 == 1 or len(self.tokens) + len(taken) + 1 >= self.most:
                break
            taken.append(token)
        return taken, [everything] * (len(taken) + 1)


def job(number: int, prompt: list[int], most: int = 9, **changes: Any) -> Job:  # noqa: ANN401
    return Job(
        number=number,
        prompt=prompt,
        constraint=changes.pop("constraint", None) or FakeConstraint(most),
        sampling=Sampling(max_tokens=64),
        deadline=changes.pop("deadline", 1e9),
        submitted=0.0,
        **changes,
    )


def alone(prompt: list[int], most: int) -> list[int]:
    """The reference: one row, one token after the other, no cache."""
    constraint = FakeConstraint(most)
    while not constraint.finished:
        constraint.consume([int(next_logits([*prompt, *constraint.tokens]).argmax())])
        constraint.consume(constraint.forced())
    return constraint.tokens


def made(model: FakeModel, parallel: int, *, drafts: bool = False, few: int = 0) -> Batcher:
    return Batcher(
        model,
        parallel=parallel,
        batch=model.batch,
        chunk=max(1, model.batch // 2),
        run=4,
        few=few,
        masks=Inline(),
        drafter=Drafter() if drafts else None,
        clock=lambda: 1.0,  # zero would mean: has written nothing yet
    )


def drained(batcher: Batcher) -> list[Job]:
    ended: list[Job] = []
    for _ in range(10_000):
        if not batcher.busy:
            return ended
        ended += batcher.step()
    raise AssertionError("the batcher does not come to an end")


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 14),
    parallel=st.integers(1, 5),
    room=st.integers(0, 24),
    can_trim=st.booleans(),
    few=st.integers(0, 5),
    cancels=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_each_output_is_what_the_row_alone_would_give(
    seed: int,
    rows: int,
    parallel: int,
    room: int,
    can_trim: bool,  # noqa: FBT001 - hypothesis gives it by name
    few: int,
    cancels: bool,  # noqa: FBT001
) -> None:
    draw = random.Random(seed)
    trunks = [[draw.randrange(1, VOCABULARY) for _ in range(24)] for _ in range(2)]
    model = FakeModel(parallel, parallel + room, can_trim=can_trim)
    # A memory that cannot forget a part cannot verify drafts either.
    batcher = made(model, parallel, drafts=can_trim, few=few)
    expected: dict[int, list[int]] = {}
    ended: list[Job] = []
    for number in range(rows):
        prompt = draw.choice(trunks)[: draw.randrange(25)] + [
            draw.randrange(1, VOCABULARY) for _ in range(draw.randrange(1, 7))
        ]
        most = draw.randrange(1, 12)
        expected[number] = alone(prompt, most)
        batcher.submit(job(number, prompt, most, weight=draw.choice([1, 1, 4])))
        if draw.random() < 0.4:
            ended += batcher.step()
        if cancels and draw.random() < 0.3:
            gone = draw.randrange(number + 1)
            batcher.cancel(gone)
            if all(j.number != gone for j in ended):
                expected.pop(gone, None)
    ended += drained(batcher)
    assert {j.number: j.output for j in ended} == expected
    assert all(j.error is None for j in ended)


def test_a_shared_prefix_is_evaluated_once() -> None:
    trunk = [1 + n % 15 for n in range(40)]
    model = FakeModel(4, 64)
    batcher = made(model, 4)
    for number in range(20):
        batcher.submit(job(number, [*trunk, 1 + number % 15, 1 + number // 15], most=1))
    ended = drained(batcher)
    assert len(ended) == 20
    assert model.evaluated <= len(trunk) + 20 * 2
    assert sum(j.reused for j in ended) >= 19 * len(trunk)


def test_rows_with_the_same_passages_run_one_after_another() -> None:
    model = FakeModel(1, 64)
    batcher = made(model, 1)
    trunks = {"a": [1] * 10, "b": [2] * 10}
    order = "abababab"
    for number, which in enumerate(order):
        batcher.submit(job(number, [*trunks[which], 3 + number], most=1))
    ended = [order[j.number] for j in drained(batcher)]
    assert ended == sorted(ended)


def test_after_a_start_the_first_row_ends_before_other_prompts_are_read() -> None:
    model = FakeModel(4, 16)
    batcher = made(model, 4)
    for number in range(8):
        batcher.submit(job(number, [1 + number] * 30, most=6))
    ended: list[Job] = []
    while not ended:
        ended = batcher.step()
    assert {len(set(sequences)) for sequences in model.batches} == {1}
    assert model.evaluated <= 30 + len(ended[0].output)
    alone_for = len(model.batches)
    ended += drained(batcher)
    assert len(ended) == 8
    assert max(len(set(sequences)) for sequences in model.batches[alone_for:]) == 4


def test_prompts_never_hold_up_rows_that_write() -> None:
    model = FakeModel(3, 8)
    batcher = made(model, 3)
    batcher.submit(job(0, [1, 2, 3], most=30))
    while not model.batches or len(model.batches) < 2:
        batcher.step()
    batcher.submit(job(1, [5] * 60, most=3))
    batcher.submit(job(2, [7] * 60, most=3))
    seen = len(model.batches)
    ended = drained(batcher)
    writing = next(j for j in ended if j.number == 0)
    assert ended.index(writing) == 0 or writing.output == alone([1, 2, 3], 30)
    for sequences in model.batches[seen : seen + 5]:
        assert 0 in sequences


@given(seed=st.integers(0, 10_000), parallel=st.integers(2, 5), room=st.integers(1, 24))
@settings(max_examples=100, deadline=None)
def test_every_row_that_writes_moves_at_every_step(seed: int, parallel: int, room: int) -> None:
    draw = random.Random(seed)
    model = FakeModel(parallel, parallel + room)
    batcher = made(model, parallel)
    jobs: list[Job] = []
    for number in range(12):
        prompt = [draw.randrange(1, VOCABULARY) for _ in range(draw.randrange(1, 60))]
        jobs.append(job(number, prompt, draw.randrange(1, 12)))
        batcher.submit(jobs[-1])
        while batcher.busy and draw.random() < 0.8:
            writing = [one for one in jobs if one.first and not one.finished]
            batcher.step()
            if writing:
                moved = set(model.batches[-1])
                assert len(moved) >= len(writing)
                readers = len(model.batches[-1]) - len(writing)
                assert readers <= max(1, model.batch // 2) + 4 * parallel  # a chunk, forced tokens
    drained(batcher)


def test_a_row_that_fails_leaves_its_neighbours_alone() -> None:
    model = FakeModel(2, 16)
    batcher = made(model, 2)
    batcher.submit(job(0, [1, 2], constraint=FakeConstraint(5, broken=True)))
    batcher.submit(job(1, [1, 3], most=5))
    ended = {j.number: j for j in drained(batcher)}
    assert isinstance(ended[0].error, errors.RowError)
    assert ended[1].output == alone([1, 3], 5)


def test_a_row_past_its_deadline_ends_as_overloaded_waiting_or_running() -> None:
    now = [0.0]
    model = FakeModel(1, 16)
    batcher = Batcher(
        model, parallel=1, batch=16, chunk=8, run=4, few=0, masks=Inline(), clock=lambda: now[0]
    )
    batcher.submit(job(0, [1, 2], most=50, deadline=5.0))
    batcher.submit(job(1, [9, 2], most=50, deadline=5.0))
    batcher.submit(job(2, [3, 2], most=3, deadline=50.0))
    batcher.step()
    now[0] = 6.0
    ended = {j.number: j for j in drained(batcher)}
    assert isinstance(ended[0].error, errors.Overloaded)
    assert isinstance(ended[1].error, errors.Overloaded)
    assert ended[2].output == alone([3, 2], 3)


def test_a_row_that_waited_has_its_whole_time_to_be_written() -> None:
    now = [0.0]
    model = FakeModel(1, 16)
    batcher = Batcher(
        model, parallel=1, batch=16, chunk=8, run=4, few=0, masks=Inline(), clock=lambda: now[0]
    )
    batcher.submit(job(0, [1, 2], most=4, deadline=20.0))
    batcher.submit(job(1, [1, 2], most=4, deadline=34.0))
    now[0] = 9.0  # the first is written only now: the model is slow
    ended: list[Job] = []
    while len(ended) < 2:
        ended += batcher.step()
        now[0] += 8.0
    assert now[0] - 8.0 > 34
    assert [found.error for found in ended] == [None, None]


def test_rows_that_let_the_first_one_go_alone_have_their_whole_time_too() -> None:
    now = [0.0]
    model = FakeModel(2, 64)
    batcher = Batcher(
        model, parallel=2, batch=64, chunk=8, run=4, few=0, masks=Inline(), clock=lambda: now[0]
    )
    batcher.submit(job(0, [1, 2], most=4, deadline=18.0))
    batcher.submit(job(1, [5, 2], most=4, deadline=18.0))
    ended: list[Job] = []
    while len(ended) < 2:
        ended += batcher.step()
        now[0] += 5.0  # both together, they would be written in time
    assert now[0] - 5.0 > 18
    assert [found.error for found in ended] == [None, None]


def test_a_row_that_used_half_of_its_time_goes_first() -> None:
    now = [0.0]
    model = FakeModel(1, 64)
    batcher = Batcher(
        model, parallel=1, batch=64, chunk=8, run=4, few=0, masks=Inline(), clock=lambda: now[0]
    )
    batcher.submit(job(0, [1] * 8, most=1))
    drained(batcher)
    batcher.submit(job(1, [2] * 8, most=1, deadline=10.0))
    for number in range(2, 6):
        batcher.submit(job(number, [*[1] * 8, number], most=1))
    now[0] = 6.0
    assert next(j.number for j in drained(batcher)) == 1


def test_output_longer_than_allowed_ends_as_length() -> None:
    model = FakeModel(1, 16)
    batcher = made(model, 1)
    limited = job(0, [4, 4], most=1_000)
    limited.sampling = Sampling(max_tokens=5)
    batcher.submit(limited)
    ended = drained(batcher)
    if ended[0].output[-1] != END:
        assert ended[0].length


def test_a_pipeline_whose_drafts_are_refused_stops_drafting() -> None:
    drafter = Drafter()
    prompt = [1, 2, 3, 4, 5, 6]
    assert drafter.draft("p", prompt, [1, 2]) == [3, 4, 5, 6]
    for _ in range(40):
        drafter.learn("p", 4, 0)
    assert drafter.draft("p", prompt, [1, 2]) == []
    assert drafter.draft("other", prompt, [1, 2]) == [3, 4, 5, 6]


@given(
    waiting=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12),
    content=st.lists(st.integers(0, 3), max_size=6),
)
def test_the_nearest_prompt_shares_the_longest_prefix(
    waiting: list[list[int]], content: list[int]
) -> None:
    queue = prefixes.Waiting()
    keys = [prefixes.key(tokens) for tokens in waiting]
    for number, key in enumerate(keys):
        queue.add(key, number)
    best = max(prefixes.shared(key, prefixes.key(content)) for key in keys)
    length, number = queue.nearest(prefixes.key(content))
    assert length == best == prefixes.shared(keys[number], prefixes.key(content))


def test_an_empty_queue_has_no_nearest_prompt() -> None:
    with pytest.raises(LookupError):
        prefixes.Waiting().nearest(b"")


def test_a_cancelled_row_leaves_its_slot_to_the_next() -> None:
    model = FakeModel(1, 16)
    batcher = made(model, 1)
    for number in range(3):
        batcher.submit(job(number, [1, 2 + number], most=40))
    while not model.batches:
        batcher.step()
    batcher.cancel(0)  # it runs
    batcher.cancel(1)  # it waits
    batcher.cancel(7)  # there is none
    assert [j.number for j in drained(batcher)] == [2]
