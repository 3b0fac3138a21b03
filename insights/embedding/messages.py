"""What the supervisor and the embedder say to each other."""

from typing import Literal

from insights.model import Named, Value


class EmbedderInit(Value, frozen=True):
    """Which models to load: folders and their hashes, checked again. None: no reranker.

    `confined` bounds what the process can reach.
    """

    path: str
    reranker: str | None = None
    sha256: str | None = None
    reranker_sha256: str | None = None
    threads: int | None = None
    batch: int = 32
    confined: bool = True


class EmbedRequest(Value, frozen=True):
    """Texts to embed; queries and documents may have different prompts."""

    texts: tuple[str, ...]
    kind: Literal["query", "document"]


class Vectors(Value, frozen=True):
    """Vectors in the order of the texts, each in pgvector's binary halfvec format."""

    vectors: tuple[bytes, ...]


class RerankRequest(Value, frozen=True):
    """One query and the passages to judge."""

    query: str
    texts: tuple[str, ...]


class Relevances(Value, frozen=True):
    """A relevance from 0 to 1 for each text."""

    values: tuple[float, ...]


class RecognizerInit(Value, frozen=True):
    """Which model finds names: its folder, its hash, and the labels that are asked for."""

    path: str
    sha256: str
    labels: tuple[str, ...]
    confined: bool = True


class FindRequest(Value, frozen=True):
    """Texts to find names in."""

    texts: tuple[str, ...]


class Finds(Value, frozen=True):
    """What was found in each text, in order."""

    found: tuple[tuple[Named, ...], ...]
