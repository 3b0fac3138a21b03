"""A local model under one pipeline's LoRA adapter: the `Generator` port over a shared child."""

from concurrent.futures import Future
from typing import Protocol

import msgspec

from insights.model import AdaptedRequest, Adapter, GenerateRequest, Generation, ModelInfo


class Shared(Protocol):
    """A local model, whoever else asks it."""

    def info(self) -> ModelInfo:
        """Return its identity and limits."""
        ...

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Start one generation."""
        ...

    def tokens(self) -> int | None:
        """Return how many tokens it has worked on."""
        ...

    @property
    def proved(self) -> bool:
        """Whether it has finished a generation."""
        ...


class AdaptedGenerator:
    """Implements `ports.Generator`: every request is made under the adapter.

    Args:
        model: The model, which other pipelines ask too.
        adapter: One of those that the model was opened with.
    """

    def __init__(self, model: Shared, adapter: Adapter) -> None:
        self._model = model
        self._adapter = adapter

    def info(self) -> ModelInfo:
        """Return the model's identity and limits, named with the adapter."""
        found = self._model.info()
        name = f"{found.name} + adapter {self._adapter.sha256[:12]}"
        return msgspec.structs.replace(found, name=name)

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Start one generation under the adapter."""
        given = {name: getattr(request, name) for name in request.__struct_fields__}
        return self._model.submit(AdaptedRequest(**{**given, "adapter": self._adapter}))

    def tokens(self) -> int | None:
        """Return how many tokens the model has worked on, whoever asked."""
        return self._model.tokens()

    @property
    def proved(self) -> bool:
        """Whether the model has finished a generation, whoever asked."""
        return self._model.proved
