"""What a generator tries itself with at its start: one short generation in each sequence."""

import time
from collections.abc import Iterator

from insights import errors
from insights.inference import llama
from insights.inference.batcher import Batcher, Tally
from insights.inference.constraint import Compiler
from insights.inference.slots import Job
from insights.model import Json, Sampling

_PROOF: Json = {
    "type": "object",
    "properties": {"ready": {"enum": ["yes", "no"]}, "sure": {"enum": ["yes", "no"]}},
    "required": ["ready", "sure"],
}
_PROOF_TOKENS = 64
_PROOF_S = 300.0  # far longer than it takes: the supervisor's own deadline is what ends a hang


def jobs(
    compiler: Compiler, model: llama.Model, numbers: Iterator[int], parallel: int
) -> Iterator[Job]:
    """Yield one short constrained generation for each sequence."""
    for number, constraint in enumerate([compiler.constraint(_PROOF) for _ in range(parallel)]):
        forced = constraint.forced()
        constraint.consume(forced)
        prompt = [*model.tokenize(str(number), special=False), *forced]
        now = time.monotonic()
        sampling = Sampling(max_tokens=_PROOF_TOKENS)
        yield Job(next(numbers), prompt, constraint, sampling, now + _PROOF_S, now)


def prove(batcher: Batcher, wanted: Iterator[Job], *, where: str) -> None:
    """Run generations, of which nothing is counted.

    Raises:
        errors.ModelError: If one makes no output.
    """
    for job in wanted:
        batcher.submit(job)
    while batcher.busy:
        for job in batcher.step():
            if job.error is not None or job.length:
                raise errors.ModelError(
                    f"made no output when it was tried ({job.error or 'no end'})",
                    where=where,
                    fix="build llama.cpp anew, or use another file",
                )
    batcher.tally = Tally()
