"""The tuner child: measures what llama.cpp does on this machine with one model."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from insights.inference import llama, machine, planner, tuning, weights
from insights.inference.messages import EngineSettings, GeneratorInit, Speeds, Trial
from insights.workers import serve

_CONTEXT = 1_024  # tokens a sequence while measuring: a usual prompt and its output
_PROMPT = 512  # tokens of the prompt that is measured, and that writing goes on from
_PROMPTS, _WRITES = 2, 8  # repetitions, the median counts
_RUNS = (3, 7, 15, 31)  # forced tokens of one row that are tried in a pass of their own


def main() -> None:
    """Load the model once and measure trials until the supervisor is gone."""
    with serve.connect() as server:
        init = server.init(GeneratorInit)
        with weights.ModelFile(Path(init.path)) as file:
            subject = tuning.Subject(file.verify(init.sha256), machine.name(), llama.build())
            trials = Trials(file, init.engine)
        server.run({"measure": (Trial, trials.measure), "subject": (type(None), lambda _: subject)})


class Trials:
    """One loaded model, measured in contexts of different shapes.

    Args:
        file: The open GGUF file.
        settings: What is not varied.
    """

    def __init__(self, file: weights.ModelFile, settings: EngineSettings) -> None:
        self._weights = file.inspect()
        self._settings = settings
        self._machine = machine.measure(gpu=llama.gpu(), gpu_memory=llama.free_memory())
        made = planner.plan(self._weights, self._machine, settings)
        self._model = llama.Model(file.opened, gpu_layers=made.gpu_layers, name=file.path)

    def measure(self, trial: Trial) -> Speeds:
        """Return tokens per second of a prompt, and of all sequences writing, by decode alone."""
        settings = EngineSettings(
            parallel=trial.parallel,
            threads=trial.threads,
            context=_CONTEXT,
            micro_batch=trial.micro_batch,
            gpu_layers=self._settings.gpu_layers,
            kv_type=trial.kv_type or self._settings.kv_type,
            flash=trial.flash,
        )
        plan = planner.plan(self._weights, self._machine, settings)
        with llama.Context(self._model, plan) as context:
            size = _PROMPT
            last = [False] * (size - 1) + [True]

            def prompt() -> None:
                context.trim(0, 0)
                context.decode(self._tokens(size), list(range(size)), [0] * size, last)
                context.logits(size - 1)

            prompt_s = _median(prompt, _PROMPTS)
            slots = list(range(plan.parallel))
            for slot in slots[1:]:
                context.copy(0, slot)

            def write(each: int, rows: list[int]) -> None:
                """Have rows write so many tokens each, and forget them."""
                places = [size + n for _ in rows for n in range(each)]
                whose = [row for row in rows for _ in range(each)]
                wanted = [at == size + each - 1 for at in places]
                context.decode(self._tokens(len(places)), places, whose, wanted)
                context.logits(len(places) - 1)
                for row in rows:
                    context.trim(row, size)

            write(1, slots)
            write_s = _median(lambda: write(1, slots), _WRITES)
            second_s = _median(lambda: write(2, slots), _WRITES) - write_s
            alone_s = {run: _median(partial(write, run, slots[:1]), _PROMPTS) for run in _RUNS}
        return Speeds(
            threads=plan.threads,
            parallel=plan.parallel,
            micro_batch=plan.micro_batch,
            kv_type=plan.kv_type,
            prompt=size / prompt_s,
            decode=plan.parallel / write_s,
            memory_bytes=plan.memory_bytes,
            flash=plan.flash,
            second=max(second_s, 0.0) / write_s,
            run=worth_a_pass(alone_s, write_s / plan.parallel),
        )

    def _tokens(self, count: int) -> list[int]:
        return [(7 * n) % (self._model.size // 2) for n in range(count)]


def worth_a_pass(alone_s: Mapping[int, float], beside_s: float) -> int:
    """Return how many forced tokens of one row are worth a pass of their own.

    The first of them goes along with the other rows in any case; each that has no pass of its own
    costs a row's part of a step.

    Args:
        alone_s: What passes with nothing but some tokens of one row take, by how many.
        beside_s: A row's part of a step in which all rows write one token.
    """
    worth = [run for run, taken in sorted(alone_s.items()) if taken <= run * beside_s]
    return 1 + (worth[0] if worth else 2 * max(alone_s))


def _median(run: Callable[[], None], times: int) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


if __name__ == "__main__":
    main()
