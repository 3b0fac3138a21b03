"""The supervisor's side of the embedder: the ports Embedder and Reranker over a child process."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from insights import errors
from insights.embedding.files import ModelFiles, verify
from insights.embedding.messages import (
    EmbedderInit,
    EmbedRequest,
    Relevances,
    RerankRequest,
    Vectors,
)
from insights.model import EmbeddingModel
from insights.workers.confinement import Held
from insights.workers.process import Standing, Worker

T = TypeVar("T")

_START_S = 120.0  # importing torch from a cold disk takes most of it
_DEADLINE_S = 60.0
_PER_TEXT_S = 1.0  # a busy small machine embeds ten passages a second; one a second is a hang
# Texts a message: large enough that sorting by length pays.
_TEXTS = 512


class EmbedderClient:
    """Embeds in a child process that starts at the first text.

    Args:
        files: The checked model.
        reranker: Folder of a cross-encoder, if there is one.
        reranker_sha256: Its pin; None accepts what is there.
        threads: Torch's threads; None leaves it to torch.
        confined: Whether the child is left nothing but its models and libraries.

    Raises:
        errors.ModelError: If the reranker is not the pinned one.
    """

    def __init__(
        self,
        files: ModelFiles,
        *,
        reranker: Path | None = None,
        reranker_sha256: str | None = None,
        threads: int | None = None,
        confined: bool = True,
    ) -> None:
        self.files = files
        self.reranker_sha256 = (
            verify(reranker, reranker_sha256, "embedding.reranker_sha256") if reranker else None
        )
        self._worker = Worker(
            module="insights.embedding.embedder",
            init=EmbedderInit(
                path=str(files.path),
                reranker=str(reranker) if reranker is not None else None,
                # A child that starts again in a month loads what was checked today, or nothing.
                sha256=files.model.sha256,
                reranker_sha256=self.reranker_sha256,
                threads=threads,
                confined=confined,
            ),
            name="embedder",
            start_deadline_s=_START_S,
        )

    @property
    def model(self) -> EmbeddingModel:
        """The pinned model; knowing it starts nothing."""
        return self.files.model

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file, by which documents are cut."""
        return self.files.tokenizer

    @property
    def pid(self) -> int | None:
        """The living child's process id."""
        return self._worker.pid

    @property
    def standing(self) -> Standing:
        """What the calls so far tell of it; asks nothing."""
        return self._worker.standing

    def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[bytes]:
        """Return one unit vector a text, in order; any number of texts."""
        vectors: list[bytes] = []
        for start in range(0, len(texts), _TEXTS):
            request = EmbedRequest(texts=tuple(texts[start : start + _TEXTS]), kind=kind)
            reply = self._call("embed", request, Vectors, len(request.texts))
            vectors.extend(reply.vectors)
        return vectors

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return a relevance between 0 and 1 for each text."""
        request = RerankRequest(query=query, texts=tuple(texts))
        return list(self._call("rerank", request, Relevances, len(request.texts)).values)

    def held(self) -> Held:
        """Let the child try what it must not be able to do."""
        return self._worker.held()

    def _call(self, method: str, request: msgspec.Struct, reply: type[T], texts: int) -> T:
        """Ask the child; one that dies at its start is the build's fault, nobody's row."""
        try:
            return self._worker.call(method, request, reply, deadline_s=_deadline(texts))
        except errors.WorkerDied as exc:
            end = self._worker.last_end
            if end is None or end.ready or end.ours:
                raise
            raise errors.ModelError(
                f"the embedder {end.how} before it had embedded anything: torch does not work on "
                "this machine, or memory does not suffice; no row or document is to blame",
                where=str(self.files.path),
                fix=f"{sys.executable} -m pip install --force-reinstall --no-deps torch",
            ) from exc

    def close(self) -> None:
        """End the child."""
        self._worker.close()


def _deadline(texts: int) -> float:
    """Return the seconds after which a child that works on so many texts hangs."""
    return _DEADLINE_S + texts * _PER_TEXT_S
