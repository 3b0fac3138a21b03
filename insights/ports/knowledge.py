"""What retrieval needs: embeddings, documents, passages, and how far sentences are supported."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

from insights.model import (
    Chunk,
    Claims,
    Document,
    EmbeddingModel,
    Example,
    Hit,
    IndexedDocument,
    KnownDocument,
    Labelled,
    Named,
    NamesModel,
    Passage,
    Question,
    Row,
    SearchTuning,
    Sought,
    Support,
)


class Embedder(Protocol):
    """Text to vectors, in a child process that owns sentence-transformers."""

    @property
    def model(self) -> EmbeddingModel:
        """The pinned model; knowing it loads nothing."""
        ...

    def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[bytes]:
        """Return one L2-normalised vector a text, in pgvector's binary halfvec format."""
        ...


class Reranker(Protocol):
    """A cross-encoder: reads a query and a passage together, which is slower and finer."""

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return a relevance between 0 and 1 for each text."""
        ...


class Recognizer(Protocol):
    """Finds names in texts, in a child process that owns a token-classification model."""

    def recognize(self, model: NamesModel, texts: Sequence[str]) -> list[list[Named]]:
        """Return what the model finds in each text, in order."""
        ...


class Attachments(Protocol):
    """The files in a column of a stream's rows, read and redacted in child processes."""

    def read(
        self, row: Row, content: bytes, *, where: str, alive: Callable[[], None] = ...
    ) -> Document | None:
        """Return the file of a row, None if it has none; `errors.KnowledgeError` says why not.

        `content` is the row's hash, `where` names the row in messages.
        """
        ...


class Documents(Protocol):
    """Where a collection's documents come from: a folder, or a stream of legacy rows."""

    def listing(self) -> Iterable[tuple[str, bytes]]:
        """Yield every document's URI and content hash (16 bytes), without loading it."""
        ...

    def load(self, uri: str, alive: Callable[[], None] = ..., /) -> Document:
        """Return one document; `errors.KnowledgeError` says why it cannot be used.

        `alive` is called now and then where that takes long.
        """
        ...


class Passages(Protocol):
    """Collections, documents, passages and vectors in the store, and the search over them."""

    def declare(self, name: str, language: str, stream: str | None = None) -> int:
        """Return a collection's id; its documents are a folder's, or the rows of a stream."""
        ...

    def declare_model(self, model: EmbeddingModel) -> int:
        """Return an embedding model's id."""
        ...

    def known(self, collection_id: int) -> dict[str, KnownDocument]:
        """Return every document of a collection by URI."""
        ...

    def forgotten(self, collection_id: int, uris: Sequence[str]) -> set[str]:
        """Return which of these rows are kept out, because they were forgotten."""
        ...

    def put(
        self, collection_id: int, language: str, model_id: int, documents: Sequence[IndexedDocument]
    ) -> None:
        """Store new and changed documents in one transaction: until then the old ones stand."""
        ...

    def move(self, collection_id: int, moves: Sequence[tuple[str, str]]) -> None:
        """Rename documents (old URI, new URI) whose content did not change."""
        ...

    def delete(self, collection_id: int, uris: Sequence[str]) -> None:
        """Delete documents with their passages and vectors."""
        ...

    def without_vector(
        self, collection_id: int, model_id: int, page: int
    ) -> Iterable[list[tuple[int, str, Chunk]]]:
        """Yield pages of (passage id, title, chunk) that have no vector of the model."""
        ...

    def add_vectors(self, model_id: int, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Store a model's vectors of passages beside those of other models."""
        ...

    def finish(self, collection_id: int, model_id: int, problems: Mapping[str, str]) -> None:
        """End a synchronisation: every passage has a vector of the model."""
        ...

    def usable(self, collections: Sequence[str], models: Sequence[EmbeddingModel]) -> int:
        """Return the index of the first model that is complete for all collections, else 0."""
        ...

    def search(
        self,
        collections: Sequence[str],
        model: EmbeddingModel,
        questions: Sequence[Question],
        tuning: SearchTuning,
    ) -> list[list[Hit]]:
        """Return the fused hits of each question, best first."""
        ...

    def labelled(
        self,
        collections: Sequence[str],
        model: EmbeddingModel,
        sought: Sequence[Sought],
        limit: int,
    ) -> list[list[Labelled]]:
        """Return the labelled rows nearest to each vector, `limit` at most, best first."""
        ...


class Grounds(Protocol):
    """Tells how far an output's sentences are supported by what they may stand on."""

    def support(
        self, outputs: Sequence[Claims], collections: Sequence[str]
    ) -> list[tuple[Support, ...]]:
        """Return, for each output, the support of its sentences in order.

        `collections` tell the language, and which words are rare.
        """
        ...


class Retriever(Protocol):
    """Finds the passages for many rows at once."""

    def retrieve(
        self, queries: Sequence[str], filters: Sequence[Mapping[str, str]] | None = None
    ) -> list[tuple[Passage, ...]]:
        """Return each query's passages, numbered from 1; empty where nothing is relevant.

        `filters` holds, for each query, the declared filters that its passages must match.
        """
        ...


class Examples(Protocol):
    """Finds, for many rows at once, labelled rows near each."""

    def nearest(self, rows: Sequence[Row]) -> list[tuple[Example, ...]]:
        """Return each row's examples, nearest first; never the row itself, nor its future."""
        ...
