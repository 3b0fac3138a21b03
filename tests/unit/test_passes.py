"""Passes over the weights: a GPU plan makes about one a step, however different its rows are."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from insights.inference.batcher import Batcher
from insights.inference.messages import EngineSettings
from insights.inference.planner import Machine, Plan, plan
from insights.inference.sampling import Mask
from insights.inference.slots import Job
from insights.model import Adapter, Sampling
from tests.splitting import passes
from tests.unit.test_planner import GB, SEVEN_B

_ALL = np.full(2, 255, np.uint8)
_LOGITS = np.zeros(16, np.float32)
ROWS = 200


class Counted:
    """A model that remembers how its batches were made up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def decode(
        self, tokens: list[int], positions: list[int], sequences: list[int], wanted: list[bool]
    ) -> None:
        assert len(tokens) == len(positions) == len(wanted)
        self.batches.append(sequences)

    def logits(self, _index: int) -> npt.NDArray[np.float32]:
        return _LOGITS

    def trim(self, _sequence: int, _length: int) -> bool:
        return True

    def copy(self, _source: int, _target: int) -> None:
        pass

    def adapt(self, _adapter: Adapter | None) -> None:
        raise AssertionError("no row here has an adapter")


class Scripted:
    """An output of so many sampled tokens, each followed by a run of forced ones."""

    def __init__(self, runs: list[int]) -> None:
        self._runs = runs

    @property
    def finished(self) -> bool:
        return not self._runs

    def consume(self, tokens: Sequence[int]) -> None:
        pass

    def forced(self) -> list[int]:
        return [3] * self._runs.pop(0)

    def masks(self, _draft: Sequence[int]) -> tuple[list[int], list[Mask]]:
        return [], [_ALL]


def row(number: int, draw: random.Random) -> Job:
    """A row of the benchmark's shape: 3 of 20 passages, 26 sampled tokens, about 33 forced."""
    shown: set[int] = set()
    while len(shown) < 3:
        shown.add(draw.choices(range(20), [1 / n for n in range(1, 21)])[0])
    prompt = [7] * 190 + [100 + one for one in sorted(shown) for _ in range(100)]
    prompt += [1_000 + number] * draw.randrange(60, 160)
    runs = [0] * 26
    for at in draw.sample(range(25), 5):
        runs[at] = draw.choice([4, 5, 6, 7, 8, 10])
    sampling = Sampling(max_tokens=100)
    return Job(number, prompt, Scripted(runs), sampling, deadline=1e9, submitted=1.0)


def schedule(made: Plan) -> tuple[float, float]:
    """Return passes a step and passes a row, of rows that arrive as others leave."""
    draw = random.Random(1)
    waiting = [row(number, draw) for number in range(ROWS)]
    model = Counted()
    with ThreadPoolExecutor(1) as masks:
        batcher = Batcher(
            model,
            parallel=made.parallel,
            batch=made.batch,
            chunk=made.micro_batch,
            run=made.run,
            few=made.few,
            masks=masks,
            clock=lambda: 1.0,
        )
        room = 3 * made.parallel
        while waiting or batcher.busy:
            while waiting and room:
                batcher.submit(waiting.pop())
                room -= 1
            room += len(batcher.step())
    made_of = [passes(one, made.micro_batch, unified=made.unified) for one in model.batches]
    return sum(made_of) / len(made_of), sum(made_of) / ROWS


@pytest.mark.parametrize("settings", [EngineSettings(), EngineSettings(micro_batch=1_024)])
def test_a_step_on_a_gpu_is_hardly_more_than_one_pass_at_64_rows(settings: EngineSettings) -> None:
    here = Machine(cores=8, memory_bytes=64 * GB, gpu=True, gpu_memory_bytes=80 * GB)
    made = plan(SEVEN_B, here, settings)
    assert made.parallel == 64
    a_step, a_row = schedule(made)
    assert a_step <= 1.5
    assert a_row <= 0.8


def test_streams_of_their_own_split_a_step_and_so_rows_advance_alike_there() -> None:
    here = Machine(cores=8, memory_bytes=64 * GB, gpu=True)
    made = plan(SEVEN_B, here, EngineSettings(unified=False))
    a_step, _ = schedule(made)
    assert 2 < a_step < 5  # 15 where each row advances by all it has
