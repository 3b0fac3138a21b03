"""A server of embeddings and relevances as the flows see it: `ports.Embedder`, `ports.Reranker`."""

import hashlib
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from insights import errors
from insights.inference.breaker import Breaker
from insights.inference.vectors_messages import (
    RelevancesReply,
    RelevancesRequest,
    VectorsInit,
    VectorsReply,
    VectorsRequest,
)
from insights.model import EmbeddingModel
from insights.workers.process import Standing, Worker

T = TypeVar("T")

_GRACE_S = 30.0  # the child answers by the deadline itself; past this it must be hung
_FAILURES = 5  # in a row before the breaker opens
_TEXTS = 512  # texts a call
# Cosine of the check vector and the stored one, from which both are of one model. The same model in
# other arithmetic, batches or kernels stays above .999; a quantised or another one does not.
_SAME = 0.999
_HEADER = struct.Struct(">HH")

Pin = Callable[[EmbeddingModel, bytes], bytes]


class RemoteVectorsClient:
    """One server, asked through a child that holds its key and nothing else.

    Args:
        init: The server and what its answers must look like.
        tokenizer: By which documents are cut.
        pin: Stores a model's check vector unless there is one; returns the stored one.
        breaker: Replaceable for tests.
    """

    def __init__(
        self,
        init: VectorsInit,
        tokenizer: Path,
        pin: Pin,
        *,
        breaker: Breaker | None = None,
    ) -> None:
        self._init = init
        self.tokenizer = tokenizer
        self._pin = pin
        self._pinned: bytes | None = None
        self.breaker = breaker or Breaker(_FAILURES)
        self._worker = Worker(
            "insights.inference.remote_vectors", init, name=f"remote {init.server.name}"
        )

    @property
    def model(self) -> EmbeddingModel:
        """What stands for the model: its name, prompts and length; asking it asks nobody."""
        return served(self._init)

    @property
    def pid(self) -> int | None:
        """The child's process id, while it lives."""
        return self._worker.pid

    @property
    def standing(self) -> Standing:
        """What the calls so far tell of the server; asks nothing."""
        return self._worker.standing

    def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[bytes]:
        """Return one unit vector a text, in order; any number of texts.

        Raises:
            errors.ProviderUnavailable: If the server does not answer; nobody is to blame.
            errors.ModelError: If it runs another model than when it was first asked, so that its
                vectors would be mixed with those of that one.
        """
        vectors: list[bytes] = []
        for start in range(0, len(texts), _TEXTS):
            part = tuple(texts[start : start + _TEXTS])
            request = VectorsRequest(texts=part, kind=kind, deadline_s=self._deadline(len(part)))
            reply = self._call("embed", request, VectorsReply, request.deadline_s)
            for check in reply.checks:
                self._check(check)
            vectors.extend(reply.vectors)
        return vectors

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return a relevance between 0 and 1 for each text; errors as those of `embed`."""
        request = RelevancesRequest(
            query=query, texts=tuple(texts), deadline_s=self._deadline(len(texts))
        )
        return list(self._call("rerank", request, RelevancesReply, request.deadline_s).values)

    def close(self) -> None:
        """End the child."""
        self._worker.close()

    def _deadline(self, texts: int) -> float:
        """Return the seconds for so many texts: each request has the server's time."""
        return self._init.server.timeout_s * max(1, -(-texts // self._init.texts))

    def _call(self, method: str, request: msgspec.Struct, reply: type[T], deadline_s: float) -> T:
        """Ask the child. It only waits for a server: its end is an outage, no death."""
        where = self._init.server.url
        if not self.breaker.admit():
            raise errors.ProviderUnavailable(
                "did not answer; it is asked again after a pause", where=where
            )
        answered = True
        try:
            return self._worker.call(method, request, reply, deadline_s=deadline_s + _GRACE_S)
        except errors.WorkerDied as exc:
            answered = False
            raise errors.ProviderUnavailable(str(exc), where=where) from exc
        except errors.ProviderUnavailable:
            answered = False
            raise
        finally:
            self.breaker.record(answered=answered)

    def _check(self, found: bytes) -> None:
        """Compare what the server makes of the check text with what it made of it at first."""
        if self._pinned is None:
            self._pinned = self._pin(self.model, found)
        cosine = _cosine(self._pinned, found)
        if cosine < _SAME:
            raise errors.ModelError(
                f"another model answers under the name {self.model.name!r}: its check vector has"
                f" the cosine {cosine:.3f} to the one stored when it was first used",
                where=self._init.server.url,
                fix="serve the model of then, or give this one a `model` of its own and name the"
                " other in [embedding.previous]",
            )


def served(init: VectorsInit) -> EmbeddingModel:
    """Return what stands for a served model: where it is served does not matter."""
    identity = (init.server.model, init.dimensions, init.query_prompt, init.document_prompt)
    return EmbeddingModel(
        name=init.server.model,
        sha256=hashlib.sha256(repr(identity).encode()).hexdigest(),
        dimensions=init.dimensions,
        max_tokens=init.max_tokens,
    )


def _cosine(one: bytes, other: bytes) -> float:
    """Return the cosine of two vectors in pgvector's binary halfvec format; 0 if unlike long."""
    if len(one) != len(other):
        return 0.0
    count = _HEADER.unpack_from(one)[0]
    pairs = zip(
        struct.unpack_from(f">{count}e", one, _HEADER.size),
        struct.unpack_from(f">{count}e", other, _HEADER.size),
        strict=True,
    )
    dot = one_norm = other_norm = 0.0
    for a, b in pairs:
        dot += a * b
        one_norm += a * a
        other_norm += b * b
    return dot / ((one_norm * other_norm) ** 0.5 or 1.0)
