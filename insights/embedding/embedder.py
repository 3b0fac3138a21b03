"""The embedder: a child process, and the only door to sentence-transformers and torch."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from insights import errors
from insights.embedding.files import verify
from insights.embedding.messages import (
    EmbedderInit,
    EmbedRequest,
    Relevances,
    RerankRequest,
    Vectors,
)
from insights.workers import serve

Kind = Literal["query", "document"]
_NEARLY = 0.01  # how far from 1 the length of a unit vector may be, in single precision


def libraries() -> tuple[Any, Any]:
    """Return torch and transformers, which reach no hub and write nothing.

    To be called after the confinement: they start threads.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # noqa: TID251 - read by the library while it is imported
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # noqa: TID251 - as above
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"  # noqa: TID251 - it would try semaphores
    # torch asks for a folder while it is imported; nothing is compiled, nothing written.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.tempdir = os.sep  # noqa: TID251 - as above
    import torch  # noqa: PLC0415 - after the environment that they read
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()
    return torch, transformers


class Encoder:
    """Loaded models: those of the hashes that the supervisor found. Nothing is ever downloaded.

    Raises:
        errors.ModelError: If a folder's files are others by now, or cannot be loaded.
    """

    def __init__(self, init: EmbedderInit) -> None:
        verify(Path(init.path), init.sha256, "embedding.sha256")
        if init.reranker is not None:
            verify(Path(init.reranker), init.reranker_sha256, "embedding.reranker_sha256")
        import pgvector  # noqa: PLC0415 - brings numpy, whose threads come after the confinement

        torch, _ = libraries()
        import sentence_transformers  # noqa: PLC0415 - after the environment it reads

        if init.threads is not None:
            torch.set_num_threads(init.threads)
        self._half = pgvector.HalfVector
        self._batch = init.batch
        try:
            self._model = sentence_transformers.SentenceTransformer(
                init.path, local_files_only=True
            )
            self._reranker: Any = None
            if init.reranker is not None:
                self._reranker = sentence_transformers.CrossEncoder(
                    init.reranker, local_files_only=True, activation_fn=torch.nn.Sigmoid()
                )
        except Exception as exc:  # torch, safetensors and transformers raise whatever they like
            raise errors.ModelError(
                f"the embedding model cannot be loaded: {type(exc).__name__}: {exc}",
                where=init.path,
                fix="download the model again, or correct embedding.path",
            ) from exc

    def prove(self) -> None:
        """Embed a short and a long text, and judge one, so that a build that cannot dies now.

        Raises:
            errors.ModelError: If what comes out are no unit vectors or no relevance.
        """
        short, long = self._vectors(["ready", "is it ready? " * 20], "document")
        lengths = [float((vector.astype(float) ** 2).sum()) for vector in (short, long)]
        judged = self.rerank("ready", ["is it ready?"]) if self._reranker is not None else [0.0]
        if not all(abs(length - 1) < _NEARLY for length in lengths) or not 0 <= judged[0] <= 1:
            raise errors.ModelError(
                "the embedding model or the reranker computes nothing of use on this machine",
                fix="download the model again, or install another build of torch",
            )

    def embed(self, texts: Sequence[str], kind: Kind) -> list[bytes]:
        """Return unit vectors; the library sorts by length, so that little padding is computed."""
        return [bytes(self._half(vector).to_binary()) for vector in self._vectors(texts, kind)]

    def _vectors(self, texts: Sequence[str], kind: Kind) -> Any:  # noqa: ANN401 - numpy's
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        return encode(
            list(texts),
            batch_size=self._batch,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return the cross-encoder's judgement of each text.

        Raises:
            errors.SettingsError: If no reranker was named.
        """
        if self._reranker is None:
            raise errors.SettingsError(
                "no reranking model is set", where="embedding", fix="name its folder as reranker"
            )
        pairs = [(query, text) for text in texts]
        scores = self._reranker.predict(
            pairs, batch_size=self._batch, show_progress_bar=False, convert_to_numpy=True
        )
        return [float(score) for score in scores]


def main() -> None:
    """Serve until the supervisor is gone."""
    with serve.connect() as server:
        encoder = Encoder(server.init(EmbedderInit, reads=_reads))
        encoder.prove()
        server.ready(one_at_a_time=True)
        while True:
            calls = server.poll(None)
            for kind, waiting in _by_kind(calls).items():
                _answer_embedding(encoder, kind, waiting)
            for call in calls:
                if call.method == "rerank":
                    _answer_reranking(encoder, call)


def _reads(init: EmbedderInit) -> list[str] | None:
    if not init.confined:
        return None
    return [init.path, *([init.reranker] if init.reranker else [])]


def _by_kind(calls: Sequence[serve.Call]) -> dict[Kind, list[tuple[serve.Call, EmbedRequest]]]:
    found: dict[Kind, list[tuple[serve.Call, EmbedRequest]]] = {}
    for call in calls:
        if call.method == "embed":
            request = call.decode(EmbedRequest)
            found.setdefault(request.kind, []).append((call, request))
    return found


def _answer_embedding(
    encoder: Encoder, kind: Kind, waiting: Sequence[tuple[serve.Call, EmbedRequest]]
) -> None:
    """Embed the texts of all calls that wait as one batch, and give each call its own."""
    texts = [text for _, request in waiting for text in request.texts]
    try:
        vectors = encoder.embed(texts, kind)
    except Exception as exc:  # noqa: BLE001 - every error is the caller's to judge
        for call, _ in waiting:
            call.fail(exc)
        return
    start = 0
    for call, request in waiting:
        end = start + len(request.texts)
        call.reply(Vectors(vectors=tuple(vectors[start:end])))
        start = end


def _answer_reranking(encoder: Encoder, call: serve.Call) -> None:
    try:
        request = call.decode(RerankRequest)
        call.reply(Relevances(values=tuple(encoder.rerank(request.query, request.texts))))
    except Exception as exc:  # noqa: BLE001 - every error is the caller's to judge
        call.fail(exc)


if __name__ == "__main__":
    main()
