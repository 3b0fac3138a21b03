"""What writes the output."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol

from insights.model import GenerateRequest, Generation, ModelInfo


class Generator(Protocol):
    """Constrained text generation; batches whatever is in flight."""

    def info(self) -> ModelInfo:
        """Return the loaded model's identity and limits; loads it at the first call."""
        ...

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Start one generation; the future raises `WorkerDied` if the process died meanwhile.

        Cancelling the future gives the generation up, queued or running.
        """
        ...


class Former(Protocol):
    """Generations that were made before."""

    def made(self, asked: Mapping[int, bytes]) -> dict[int, Generation]:
        """Return those that may be reused for requests: both by work id."""
        ...
