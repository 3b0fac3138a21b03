"""Keeps a collection in step with its documents: what changed is loaded, cut, embedded, stored.

A document is known by its content hash. Unchanged ones cost a comparison, moved ones a rename.
Batches are embedded together and stored in one transaction each: a crash leaves every document
either as it was or as it is, and the next synchronisation goes on from there.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import msgspec

from insights import errors
from insights.knowledge.chunking import Chunker
from insights.knowledge.codes import codes, lexemes
from insights.model import Chunk, Document, IndexedDocument, KnownDocument
from insights.ports import Documents, Embedder, Passages

# Passages embedded together and stored in one transaction: enough for sorting by length to pay.
_BATCH_PASSAGES = 512
_BATCH_S = 15.0  # a fraction of the lease, which is renewed after each batch
_HASH_BYTES = 16
_LISTED_EVERY = 1_000  # documents listed between two calls of `progress`
LARGEST_LOSS = 0.1  # share of the known documents that may vanish at once unasked …
ALWAYS_ALLOWED = 20  # … though a few always may
_REFUSED = "*"  # where `problems` says that documents were not deleted; no document's URI


class Collection(msgspec.Struct, frozen=True):
    """A collection's name and PostgreSQL's text search configuration for its words.

    `stream` names the stream whose rows its documents are.
    """

    name: str
    language: str = "english"
    stream: str | None = None


class SyncReport(msgspec.Struct, frozen=True):
    """What a synchronisation did, in documents; `embedded` counts passages."""

    listed: int = 0
    unchanged: int = 0
    added: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    embedded: int = 0
    problems: dict[str, str] = {}

    @property
    def changes(self) -> int:
        """How many documents are not as they were before."""
        return self.added + self.changed + self.moved + self.deleted


class Progress(msgspec.Struct, frozen=True):
    """How far a synchronisation is: documents done of those to be done, passages embedded."""

    done: int
    total: int
    embedded: int


class Indexer:
    """Synchronises one collection.

    Args:
        collection: Its name and language.
        documents: Where its documents come from.
        passages: Where its passages go.
        embedder: Makes the vectors.
        chunker: Cuts the documents.
        clock: Monotonic seconds; tests replace it.
    """

    def __init__(
        self,
        collection: Collection,
        documents: Documents,
        passages: Passages,
        embedder: Embedder,
        chunker: Chunker,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = collection.name
        self._language = collection.language
        self._stream = collection.stream
        self._documents = documents
        self._passages = passages
        self._embedder = embedder
        self._chunker = chunker
        self._clock = clock
        self._salt = chunker.fingerprint + collection.language.encode()
        self._problems: dict[str, str] = {}

    def sync(
        self, progress: Callable[[Progress], None] = lambda _: None, *, cautious: bool = False
    ) -> SyncReport:
        """Bring the collection up to date and return what was done.

        A document that cannot be used is reported and left out; its last good version stays. So
        does everything else if the listing fails: nothing is deleted on a half-read folder.

        Args:
            progress: Called now and then, also while documents are listed.
            cautious: Nobody watches: keep everything where a large share would vanish at once,
                which is what an empty mount point or a lost grant looks like, and report it.

        Raises:
            errors.KnowledgeError: If the documents cannot be listed.
        """
        collection_id = self._passages.declare(self._name, self._language, self._stream)
        known = self._passages.known(collection_id)
        listed = self._listed(self._documents.listing(), progress)
        gone = {uri: document for uri, document in known.items() if uri not in listed}
        return self._bring(collection_id, known, listed, gone, {}, progress, cautious=cautious)

    def follow(
        self,
        changes: Iterable[tuple[str, bytes]],
        progress: Callable[[Progress], None] = lambda _: None,
    ) -> SyncReport:
        """Bring some documents up to date, given as a listing gives them; nothing is deleted."""
        collection_id = self._passages.declare(self._name, self._language, self._stream)
        known = self._passages.known(collection_id)
        listed = self._listed(changes, progress)
        standing = {uri: why for uri, why in self._problems.items() if uri not in listed}
        return self._bring(collection_id, known, listed, {}, standing, progress)

    def _listed(
        self, listing: Iterable[tuple[str, bytes]], progress: Callable[[Progress], None]
    ) -> dict[str, bytes]:
        listed = {}
        for number, (uri, content) in enumerate(listing, 1):
            listed[uri] = self._salted(content)
            if number % _LISTED_EVERY == 0:
                progress(Progress(done=0, total=0, embedded=0))
        return listed

    def _bring(
        self,
        collection_id: int,
        known: dict[str, KnownDocument],
        listed: dict[str, bytes],
        gone: dict[str, KnownDocument],
        standing: dict[str, str],
        progress: Callable[[Progress], None],
        *,
        cautious: bool = False,
    ) -> SyncReport:
        """Do what differs; `standing` are problems of documents that were not listed this time."""
        model_id = self._passages.declare_model(self._embedder.model)
        work = {
            uri: content
            for uri, content in listed.items()
            if uri not in known or known[uri].content_hash != content
        }
        if work and self._stream is not None:
            for uri in self._passages.forgotten(collection_id, list(work)):
                del work[uri], listed[uri]
        problems: dict[str, str] = {}
        moves = list(self._moves(work, gone, problems))
        self._passages.move(collection_id, moves)
        for old, new in moves:
            del gone[old], work[new]

        embedded = done = 0
        alive = partial(progress, Progress(done=0, total=0, embedded=0))
        for batch in self._batches(work, problems, alive):
            vectors = self._embed(batch) if batch else []
            if vectors:
                self._passages.put(collection_id, self._language, model_id, vectors)
            done += len(batch)
            embedded += sum(len(document.vectors) for document in vectors)
            progress(Progress(done=done + len(problems), total=len(work), embedded=embedded))
        failed_new = sum(uri not in known for uri in problems)
        if cautious and len(gone) > max(ALWAYS_ALLOWED, LARGEST_LOSS * len(known)):
            problems[_REFUSED] = (
                f"{len(gone)} of {len(known)} documents would vanish at once, so none was deleted;"
                f" if that is meant, run `insights knowledge sync {self._name}`"
            )
            gone = {}
        if gone:
            self._passages.delete(collection_id, list(gone))
        embedded += self._catch_up(collection_id, model_id, progress)
        self._problems = standing | problems
        self._passages.finish(collection_id, model_id, self._problems)

        added = sum(uri not in known for uri in work) - failed_new
        return SyncReport(
            listed=len(listed),
            unchanged=len(listed) - len(work) - len(moves),
            added=added,
            changed=done - added,
            moved=len(moves),
            deleted=len(gone),
            embedded=embedded,
            problems=self._problems,
        )

    def _salted(self, content: bytes) -> bytes:
        """Return a document's hash under these settings: other settings cut and embed it anew."""
        return hashlib.blake2b(self._salt + content, digest_size=_HASH_BYTES).digest()

    def _moves(
        self, work: dict[str, bytes], gone: dict[str, KnownDocument], problems: dict[str, str]
    ) -> Iterator[tuple[str, str]]:
        """Yield (old, new) for new documents whose content and title are those of a gone one."""
        by_hash: dict[bytes, list[str]] = {}
        for uri, document in gone.items():
            by_hash.setdefault(document.content_hash, []).append(uri)
        for uri, content in work.items():
            candidates = by_hash.get(content, [])
            if not candidates:
                continue
            moved = self._load(uri, problems)
            for old in candidates:
                if moved is not None and gone[old].title == moved.title:
                    candidates.remove(old)
                    yield old, uri
                    break

    def _load(
        self, uri: str, problems: dict[str, str], alive: Callable[[], None] = lambda: None
    ) -> Document | None:
        try:
            return self._documents.load(uri, alive)
        except errors.KnowledgeError as exc:
            problems[uri] = str(exc)
            return None

    def _batches(
        self, work: dict[str, bytes], problems: dict[str, str], alive: Callable[[], None]
    ) -> Iterator[list[tuple[Document, bytes, list[Chunk]]]]:
        """Load and cut documents; yield them in batches of about `_BATCH_PASSAGES` passages.

        Slow ones make smaller batches, empty ones too: whoever waits must hear that we go on.
        """
        batch: list[tuple[Document, bytes, list[Chunk]]] = []
        size, since = 0, self._clock()
        for uri, content in work.items():
            if uri not in problems and (document := self._load(uri, problems, alive)) is not None:
                chunks = self._chunker.cut(document, alive)
                batch.append((document, content, chunks))
                size += len(chunks)
            if size >= _BATCH_PASSAGES or self._clock() - since >= _BATCH_S:
                yield batch
                batch, size, since = [], 0, self._clock()
        if batch:
            yield batch

    def _embed(self, batch: Sequence[tuple[Document, bytes, list[Chunk]]]) -> list[IndexedDocument]:
        texts = [
            self._chunker.embedded(document.title, chunk)
            for document, _, chunks in batch
            for chunk in chunks
        ]
        vectors = iter(self._embedder.embed(texts, "document"))
        return [
            IndexedDocument(
                document=document,
                content_hash=content,
                chunks=tuple(chunks),
                vectors=tuple(next(vectors) for _ in chunks),
                codes=tuple(
                    lexemes(codes(f"{document.title} {chunk.heading} {chunk.text}"))
                    for chunk in chunks
                ),
            )
            for document, content, chunks in batch
        ]

    def _catch_up(
        self, collection_id: int, model_id: int, progress: Callable[[Progress], None]
    ) -> int:
        """Embed what another model's index already holds; return how many passages that were."""
        embedded = 0
        pages: Iterable[list[tuple[int, str, Chunk]]] = self._passages.without_vector(
            collection_id, model_id, _BATCH_PASSAGES
        )
        for page in pages:
            texts = [self._chunker.embedded(title, chunk) for _, title, chunk in page]
            vectors = self._embedder.embed(texts, "document")
            ids = [passage_id for passage_id, _, _ in page]
            self._passages.add_vectors(model_id, list(zip(ids, vectors, strict=True)))
            embedded += len(page)
            progress(Progress(done=0, total=0, embedded=embedded))
        return embedded
