"""The ports: what the flow needs of the outside, as Protocols that adapters implement.

Every call may raise `errors.Transient` (retry later, nobody to blame) or `errors.Permanent`
(retrying is useless).
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Literal, Protocol

from insights.model import (
    Bookmark,
    Chunk,
    Claim,
    Claims,
    Document,
    EmbeddingModel,
    Fingerprint,
    Gap,
    GenerateRequest,
    Generation,
    Hit,
    IndexedDocument,
    Insight,
    KnownDocument,
    Lateness,
    Lease,
    ModelInfo,
    Outcome,
    Outstanding,
    Page,
    Passage,
    PassingRow,
    Question,
    Row,
    SearchTuning,
    SinkResult,
    SinkState,
    StreamShape,
    StreamSpec,
    Support,
    Told,
    Walk,
    Window,
)


class Source(Protocol):
    """A legacy database, read over ODBC by a child process of its own. Only ever reads."""

    def fingerprint(self) -> Fingerprint:
        """Return which replica answers and how far it has applied."""
        ...

    def page(
        self,
        stream: StreamSpec,
        after: Bookmark | None,
        *,
        by: Walk,
        within: Sequence[Gap] = (),
    ) -> Page:
        """Return the next keyset page after a bookmark, only of some gaps if these are given."""
        ...

    def gaps(
        self, stream: StreamSpec, low: str, high: str, *, at: float, most: int
    ) -> tuple[Gap, ...]:
        """Return what is missing of an identity between two values, the latest gaps first."""
        ...

    def lateness(
        self, stream: StreamSpec, keys: Sequence[str], below: str | None
    ) -> tuple[Lateness, ...]:
        """Tell how late rows are: below the watermark or not, and how old their cursors are."""
        ...

    def window(self, stream: StreamSpec, low: str | None) -> Window:
        """Count what stands at or above a cursor (from the start, if None), by the index alone."""
        ...

    def inspect(self, stream: StreamSpec) -> StreamShape:
        """Return what is read of the stream; refuse what cannot be read or has no unique key."""
        ...

    def is_behind(
        self, identity: str | None, position: str | None, now: Fingerprint | None = None
    ) -> bool:
        """Tell whether the replica is another one than recorded, or an older copy of it.

        With `now`, a fingerprint just taken, the database is not asked again.
        """
        ...

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        """Return the rows with these keys as they are now, redacted; absent rows are left out."""
        ...

    def reread(self, stream: StreamSpec, keys: Sequence[str]) -> Page:
        """Return a page of the rows with these keys, marked as pending or not."""
        ...


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


class Documents(Protocol):
    """Where a collection's documents come from: a folder, or a stream of legacy rows."""

    def listing(self) -> Iterable[tuple[str, bytes]]:
        """Yield every document's URI and content hash (16 bytes), without loading it."""
        ...

    def load(self, uri: str) -> Document:
        """Return one document; `errors.KnowledgeError` says why it cannot be used."""
        ...


class Passages(Protocol):
    """Collections, documents, passages and vectors in the store, and the search over them."""

    def declare(self, name: str, language: str) -> int:
        """Return a collection's id."""
        ...

    def declare_model(self, model: EmbeddingModel) -> int:
        """Return an embedding model's id."""
        ...

    def known(self, collection_id: int) -> dict[str, KnownDocument]:
        """Return every document of a collection by URI."""
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


class Work(Protocol):
    """The queue of rows to be done, in the store."""

    def claim(self, limit: int, *, isolated: bool = False) -> list[Claim]:
        """Take up to `limit` rows under a lease and commit; isolated ones only if asked for."""
        ...

    def extend(self, claims: Sequence[Claim]) -> set[int]:
        """Prolong leases; return the work ids that are still ours."""
        ...

    def release(
        self, claims: Sequence[Claim], *, delay_s: float, blame: bool, isolate: bool, reason: str
    ) -> None:
        """Give rows back; without blame the attempt is not counted; isolated rows run alone."""
        ...

    def bury(self, claim: Claim, reason: str) -> None:
        """Dead-letter one row with its reason."""
        ...

    def missing(self, claims: Sequence[Claim]) -> None:
        """Record that claimed rows are absent from the replica: no attempt, no deletion."""
        ...

    def recorded(self, stream: str) -> tuple[str | None, str | None]:
        """Return the replica's identity and position as the stream's last poll recorded them."""
        ...

    def restamp(self, equal: Sequence[tuple[Claim, Row]]) -> None:
        """Give claimed rows that are equal under the former key their hash under the new one."""
        ...

    def move(self, moved: Sequence[tuple[Claim, Row]]) -> list[Claim]:
        """Move claims to the newer hashes that were read; rows that lost a race are left out."""
        ...

    def expire(self) -> int:
        """Take back leases whose holder died; return how many."""
        ...

    def adopt(self) -> int:
        """At start: take back at once what a former run of this daemon held."""
        ...

    def outstanding(self) -> Outstanding:
        """Count open work."""
        ...


class Leases(Protocol):
    """Who polls, sweeps or publishes what; the store's clock decides."""

    def take(self, name: str) -> Lease | None:
        """Return the lease, or None while somebody else holds it."""
        ...

    def renew(self, lease: Lease) -> bool:
        """Prolong a lease; False means that it is lost."""
        ...


class Insights(Protocol):
    """Where finished rows are written, exactly once."""

    def write(self, finished: Sequence[Insight]) -> int:
        """Write what finished together in one transaction; return how many held their lease."""
        ...


class Sink(Protocol):
    """A table in a legacy database, written over ODBC by a child process of its own."""

    def apply(self, states: Sequence[SinkState]) -> list[SinkResult]:
        """Make the sink show these states, each conditional on its revision; idempotent."""
        ...

    def max_revision(self) -> int:
        """Return the highest revision the sink holds, 0 when it is empty."""
        ...


class Outbox(Protocol):
    """What one sink still has to be told, in the store, under the publisher's lease."""

    def hold(self) -> int | None:
        """Take or prolong the lease; return its epoch, None if somebody else has it."""
        ...

    def align(self, sink_revision: int) -> None:
        """Lift revisions above the sink's, and tell it again what it lost."""
        ...

    def take(self, limit: int) -> list[SinkState]:
        """Return up to `limit` states that are due, oldest first."""
        ...

    def settle(self, results: Sequence[SinkResult]) -> None:
        """Record what came of a batch; a state that was replaced meanwhile stays due."""
        ...

    def defer(self, states: Sequence[SinkState]) -> None:
        """Put a batch off, during which the publisher died."""
        ...

    def stop(self, reason: str) -> None:
        """Record why nothing can be published now; `align` clears it."""
        ...


class Marks(Protocol):
    """The marks of a stream's rows on the primary, changed over ODBC by a child of its own."""

    def tell(self, outcomes: Sequence[Outcome]) -> tuple[list[Told], str | None]:
        """Change the marks that still have their old value; return the position after that."""
        ...


class Requests(Protocol):
    """One stream's marked rows in the store, and what they were told."""

    def hold(self) -> bool:
        """Take or prolong the lease; False if another daemon has it."""
        ...

    def due(self, after: int, window: int) -> tuple[list[Outcome], int | None]:
        """Return what is due in the next window of open requests, and where that ends."""
        ...

    def settle(self, told: Sequence[Told], position: str | None) -> None:
        """Record what a batch of statements did, and the primary's position after them."""
        ...

    def told(self, stream_id: int, limit: int) -> list[str]:
        """Return positions that the replica may not have reached yet, oldest first."""
        ...

    def passing(
        self, stream_id: int, reached: Sequence[str] | None, limit: int, *, overlap_s: float
    ) -> list[PassingRow]:
        """Return rows whose statements the replica has applied; None: it has no position."""
        ...

    def passed(self, rows: Sequence[PassingRow]) -> None:
        """Take marks on these rows for new requests from now on."""
        ...
