"""The tuner child: measures what llama.cpp does on this machine with one model."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from insights.inference import llama, machine, planner, tuning, weights
from insights.inference.messages import EngineSettings, GeneratorInit, Speeds, Trial
from insights.workers import serve

_CONTEXT = 1_024  # tokens a sequence while measuring: a usual prompt and its output
_PROMPT = 512  # tokens of the prompt that is measured, and that writing goes on from
_PROMPTS, _WRITES = 2, 8  # repetitions, the median counts


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
            at = [size]

            def write() -> None:
                count = len(slots)
                context.decode(self._tokens(count), at * count, slots, [True] * count)
                context.logits(count - 1)
                at[0] += 1

            write()
            write_s = _median(write, _WRITES)
        return Speeds(
            threads=plan.threads,
            parallel=plan.parallel,
            micro_batch=plan.micro_batch,
            kv_type=plan.kv_type,
            prompt=size / prompt_s,
            decode=plan.parallel / write_s,
            memory_bytes=plan.memory_bytes,
        )

    def _tokens(self, count: int) -> list[int]:
        return [(7 * n) % (self._model.size // 2) for n in range(count)]


def _median(run: Callable[[], None], times: int) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        run()
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


if __name__ == "__main__":
    main()
