"""Documents, passages, and what a search finds."""

from datetime import datetime
from decimal import Decimal

from insights.model.base import Json, Value


class Document(Value, frozen=True):
    """One document of a collection as its loader made it: Markdown, or plain text.

    `filters` maps declared filter names to canonical values; never personal data. Of a labelled row
    `labels` are what people decided, by column, and `moment` is when (`knowledge.labels.moment`).
    """

    uri: str
    title: str
    text: str
    is_markdown: bool = True
    filters: dict[str, str] = {}
    labels: dict[str, str] = {}
    moment: Decimal | None = None


class Chunk(Value, frozen=True):
    """A piece of a document: the headings above it, its text, its length in model tokens."""

    heading: str
    text: str
    tokens: int


class EmbeddingModel(Value, frozen=True):
    """A pinned embedding model, `sha256` over its files; every stored vector names it."""

    name: str
    sha256: str
    dimensions: int
    max_tokens: int


class IndexedDocument(Value, frozen=True):
    """A document ready to be stored: passages, and for each its vector and its exact codes.

    `vectors` are in pgvector's binary halfvec format, `codes` in the text form of a tsvector.
    """

    document: Document
    content_hash: bytes
    chunks: tuple[Chunk, ...]
    vectors: tuple[bytes, ...]
    codes: tuple[str, ...]


class KnownDocument(Value, frozen=True):
    """A document as the store knows it."""

    content_hash: bytes
    title: str


class CollectionStatus(Value, frozen=True):
    """One collection in the store; `models` are those that every passage has a vector of."""

    name: str
    language: str
    documents: int
    passages: int
    models: tuple[str, ...]
    synced_at: datetime | None
    problems: dict[str, str]


class SearchTuning(Value, frozen=True):
    """How the search works; defaults measured by `benchmarks/retrieval.py`.

    `depth` is how many passages each half contributes, `limit` how many fused ones come back.
    `max_words` and `word_budget` bound full text: how many words of a query count, and how many
    passages are ranked. Beside the cosine, which counts 1, `text_weight` is that of BM25 as a share
    of the most it can be, `best_weight` as a share of the best passage's, `exact_weight` that of an
    exact code that one passage has. Below `sure` as the best cosine text decides; that belongs to
    the model, as similarity floors do. `feedback` is how many first hits speak again, with
    `feedback_weight`. `ef_search` and `max_scan_tuples` are pgvector's.
    """

    depth: int = 50
    limit: int = 30
    max_words: int = 16
    word_budget: int = 600
    text_weight: float = 0.6
    best_weight: float = 0.1
    exact_weight: float = 0.2
    sure: float = 0.35
    feedback: int = 3
    feedback_weight: float = 0.7
    ef_search: int = 500
    max_scan_tuples: int = 20_000


class Question(Value, frozen=True):
    """One search: its text, its exact codes (text of a tsvector), its vector, its filters."""

    text: str
    codes: str
    vector: bytes
    filters: dict[str, str] = {}


class Hit(Value, frozen=True):
    """A passage the search found, and why.

    `vector_rank` and `text_rank` count from 1 (None: not among that half's `depth`).
    `similarity` is the cosine of query and passage (None: no vector yet), `words` are the query's
    words it has, rarest first, and `coverage` their share of the query, weighted by rarity.
    """

    passage_id: int
    uri: str
    title: str
    heading: str
    text: str
    tokens: int
    score: float
    vector_rank: int | None
    text_rank: int | None
    similarity: float | None
    bm25: float
    words: tuple[str, ...]
    coverage: float


class Passage(Value, frozen=True):
    """A piece of a document that retrieval returned. `number` counts from 1 within one prompt."""

    passage_id: int
    number: int
    uri: str
    title: str
    text: str
    score: float = 0.0


class Sought(Value, frozen=True):
    """What labelled rows are looked for: near a vector, with all these labels, never this key.

    With `before` only rows whose moment is known and earlier.
    """

    vector: bytes
    key: str
    labels: tuple[str, ...]
    filters: dict[str, str] = {}
    before: Decimal | None = None


class Labelled(Value, frozen=True):
    """A labelled row that was found, and how it begins; `labels` are by column."""

    passage_id: int
    uri: str
    title: str
    text: str
    labels: dict[str, str]
    similarity: float


class Example(Value, frozen=True):
    """A labelled row near the row in hand, nearest first; `number` counts from 1 in its prompt.

    `output` is what people decided, by property of the output schema and of its types.
    """

    passage_id: int
    number: int
    uri: str
    title: str
    text: str
    output: Json
    similarity: float
