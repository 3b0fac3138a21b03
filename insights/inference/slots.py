"""What a batcher schedules: jobs, their slots, and what it needs of model and constraint."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from insights import errors
from insights.inference import prefixes
from insights.inference.sampling import Choices, Mask, choices
from insights.model import Adapter, Sampling


class Decoder(Protocol):
    """The model: evaluates batches over sequences that remember their tokens."""

    def decode(
        self, tokens: list[int], positions: list[int], sequences: list[int], wanted: list[bool]
    ) -> None:
        """Evaluate one batch, keeping logits where wanted."""
        ...

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Return the logits of one entry of the last batch."""
        ...

    def trim(self, sequence: int, length: int) -> bool:
        """Forget all but the first tokens of a sequence; False if it cannot forget a part."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Replace a sequence by a copy of another."""
        ...

    def adapt(self, adapter: Adapter | None) -> None:
        """Evaluate under an adapter from the next batch on; None: as the model is by itself."""
        ...


class Constraint(Protocol):
    """What may come next in one output; see `constraint.Constraint`."""

    @property
    def finished(self) -> bool:
        """Whether the output is complete."""
        ...

    def consume(self, tokens: Sequence[int]) -> None:
        """Advance."""
        ...

    def forced(self) -> list[int]:
        """Return tokens that must come next."""
        ...

    def masks(self, draft: Sequence[int]) -> tuple[list[int], list[Mask]]:
        """Return the allowed part of a draft, and the masks before each token and after all."""
        ...


@dataclass(eq=False)
class Job:
    """One generation. Times are monotonic seconds; `prompt` ends with tokens forced at once.

    Jobs of more `weight` are admitted more often; only those of one `adapter` share a batch.

    With `weighs`, `steps` keep what each token of `output` was chosen from, where that was little.
    """

    number: int
    prompt: list[int]
    constraint: Constraint
    sampling: Sampling
    deadline: float
    submitted: float
    pipeline: str = ""
    forced: int = 0
    admitted: float = 0.0
    first: float = 0.0
    finished: float = 0.0
    compute_s: float = 0.0  # its share of the steps that it was part of
    reused: int = 0
    sampled: int = 0
    output: list[int] = field(default_factory=list)
    weight: int = 1
    adapter: Adapter | None = None
    weighs: bool = False
    steps: dict[int, Choices] = field(default_factory=dict)
    length: bool = False
    error: errors.InsightsError | None = None
    key: bytes = b""
    random: np.random.Generator | None = None

    def __post_init__(self) -> None:
        """Derive what is compared and drawn from."""
        self.key = prefixes.key(self.prompt)
        if self.sampling.temperature > 0:
            self.random = np.random.default_rng(self.sampling.seed)

    def late(self, now: float) -> bool:
        """Whether it has used half of the time that it may wait."""
        return now >= (self.submitted + self.deadline) / 2

    def weigh(self, logits: npt.NDArray[np.float32], mask: Mask) -> None:
        """Keep what the next token of `output` is chosen from, if that is wanted and little."""
        if self.weighs and (found := choices(logits, mask)) is not None:
            self.steps[len(self.output)] = found


@dataclass(eq=False)
class Slot:
    """One stream of the KV cache: `held` tokens of `key` are in it, `pending` come next.

    What it holds was evaluated under `adapter`, and is worth nothing to a row of another one.
    """

    index: int
    key: bytes = b""
    adapter: Adapter | None = None
    held: int = 0
    job: Job | None = None
    pending: list[int] = field(default_factory=list)
    draft: list[int] = field(default_factory=list)
    source: tuple["Slot", int] | None = None
    masks: Future[tuple[list[int], list[Mask]]] | None = None
    outputs: list[int] = field(default_factory=list)

    def shares(self, key: bytes, adapter: Adapter | None) -> int:
        """Return how many tokens of a prompt under an adapter are what it has, or will have."""
        return prefixes.shared(self.key, key) if self.adapter == adapter else 0
