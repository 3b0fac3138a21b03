"""What `benchmarks.retrieval` searches: Cranfield, the demo's articles, passages made of both."""

import csv
import hashlib
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import psycopg

from demo.data.articles import FOLDER, articles, file_name
from demo.data.tickets import tickets
from insights.documents.folder import Folder
from insights.model import Document, EmbeddingModel
from insights.ports import Embedder

_PART = re.compile(
    r"(\d+)\s*\n\.T\n?(?P<title>.*?)\n?\.A\n?.*?\n?\.B\n?.*?\n?\.W\n?(?P<text>.*)", re.DOTALL
)
_HEADER = 4  # bytes of pgvector's binary format before the elements


@dataclass
class Judged:
    """A collection with judged queries: texts and relevant documents by query id."""

    name: str
    documents: "Memory | Folder"
    queries: dict[str, str] = field(default_factory=dict)
    judgements: dict[str, dict[str, int]] = field(default_factory=dict)


class Memory:
    """Documents that no file holds."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = {document.uri: document for document in documents}

    def listing(self) -> Iterable[tuple[str, bytes]]:
        """Yield URI and a hash that stays."""
        return ((uri, uri.encode()) for uri in self._documents)

    def load(self, uri: str, *_: object) -> Document:
        """Return one."""
        return self._documents[uri]


def cranfield(data: Path) -> Judged:
    """Return Cranfield: queries are numbered by position, grade -1 means not relevant."""
    folder = data / "cranfield"
    parts = (folder / "cran.all.1400").read_text(encoding="latin-1").split(".I ")[1:]
    documents = []
    for number, part in enumerate(parts, 1):
        match = _PART.match(part)
        if match is None:
            raise ValueError(f"cran.all.1400: record {number} has another form")
        title = " ".join(match["title"].split())
        documents.append(
            Document(uri=str(number), title=title, text=match["text"].strip(), is_markdown=False)
        )
    queries = (folder / "cran.qry").read_text(encoding="latin-1").split(".I ")[1:]
    judged = Judged("Cranfield", Memory(documents))
    for number, query in enumerate(queries, 1):
        judged.queries[str(number)] = " ".join(query.split(".W", 1)[1].split())
    for line in (folder / "cranqrel").read_text().splitlines():
        query, uri, grade = line.split()[:3]
        if grade != "-1":
            judged.judgements.setdefault(query, {})[uri] = 1
    return judged


def demo() -> Judged:
    """Return the demo's articles, asked with the tickets that one of them answers."""
    names = {entry.article_id: file_name(entry) for entry in articles()}
    judged = Judged("demo articles", Folder(FOLDER))
    for ticket in tickets():
        if ticket.article_id is not None:
            query = str(ticket.ticket_id)
            judged.queries[query] = f"{ticket.subject}\n{ticket.body}"
            judged.judgements[query] = {names[ticket.article_id]: 1}
    return judged


def short_texts(data: Path) -> list[str]:
    """Return customers' questions and work orders: short, terse, distinct."""
    texts: dict[str, None] = {}
    for path, column in (
        ("banking77/train.csv", "text"),
        ("banking77/test.csv", "text"),
        ("maint-excavators/excavators.csv", "OriginalShorttext"),
    ):
        file = data / path
        if not file.is_file():
            continue
        with file.open(encoding="utf-8", errors="replace", newline="") as lines:
            for row in csv.DictReader(lines):
                texts[" ".join((row.get(column) or "").split())] = None
    texts.pop("", None)
    return list(texts)


_FILL = """
CREATE TEMP TABLE base (id int PRIMARY KEY, content text, vector vector);
CREATE TEMP TABLE pair (number int PRIMARY KEY, one int, other int);
"""
_STORE = """
INSERT INTO store.document (collection_id, uri, title, content_hash)
SELECT %(collection)s, number, '', md5(number::text)::uuid FROM pair;

INSERT INTO store.passage
    (document_id, collection_id, ordinal, content, tokens, filters, search)
SELECT d.document_id, %(collection)s, 0, t.content, length(t.content) / 5 + 1,
       ARRAY['tenant=' || p.number %% 1000], to_tsvector('english', t.content)
FROM pair p
JOIN store.document d ON d.uri = p.number::text
JOIN base a ON a.id = p.one
JOIN base b ON b.id = p.other
CROSS JOIN LATERAL (
    SELECT left(a.content, length(a.content) / 2)
           || E'\\n' || right(b.content, length(b.content) / 2) AS content
) t;

INSERT INTO store.embedding (passage_id, model_id, embedding)
SELECT s.passage_id, %(model)s, l2_normalize(a.vector + a.vector + b.vector)::halfvec
FROM store.passage s
JOIN store.document d USING (document_id)
JOIN pair p ON p.number::text = d.uri
JOIN base a ON a.id = p.one
JOIN base b ON b.id = p.other;

UPDATE store.collection SET changed_passages = (SELECT count(*) FROM store.passage);
"""


class Mixture:
    """Many passages out of few embedded texts: each joins halves of two, and so does its vector.

    The mean of two vectors (the first counting double) stands for the vector of the joined text,
    which would take hours to compute for 100,000 passages; texts, words, clusters and
    neighbourhoods stay real ones. Passage `n` is document `n` and of tenant `n` modulo 1,000.
    """

    def __init__(self, texts: Sequence[str], vectors: Sequence[bytes], passages: int) -> None:
        self._texts = list(texts)
        self._base = decoded(vectors)
        chosen = random.Random(7)  # noqa: S311 - reproducible, not secret
        size = len(self._texts)
        self._pairs = [(chosen.randrange(size), chosen.randrange(size)) for _ in range(passages)]
        one, other = np.array(self._pairs).T
        mixed = 2 * self._base[one] + self._base[other]
        self.vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float16)

    def store(self, url: str, collection_id: int, model_id: int) -> None:
        """Fill a collection, its full-text and filter indexes made afterwards, as in a restore."""
        with psycopg.connect(url) as link:
            link.execute(_FILL)
            with link.cursor().copy("COPY base FROM STDIN") as copy:
                for number, text in enumerate(self._texts):
                    vector = "[" + ",".join(f"{value:.5f}" for value in self._base[number]) + "]"
                    copy.write_row((number, text.replace("\0", ""), vector))
            with link.cursor().copy("COPY pair FROM STDIN") as copy:
                for number, (one, other) in enumerate(self._pairs):
                    copy.write_row((number, one, other))
            link.execute("ANALYZE base, pair")
            indexes = link.execute(
                "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
                " WHERE indrelid = 'store.passage'::regclass AND NOT indisunique"
            ).fetchall()
            for name, _ in indexes:
                link.execute(f"DROP INDEX {name}")
            for statement in _STORE.split(";\n\n"):
                link.execute(statement, {"collection": collection_id, "model": model_id})
            for _, definition in indexes:
                link.execute(definition)


class Remembered:
    """An embedder that looks up what it has embedded before, in any run.

    The file only spares time where vectors are not what is measured; without it all are computed.
    """

    def __init__(self, embedder: Embedder, folder: Path = Path(".cache")) -> None:
        self.model = embedder.model
        self._embedder = embedder
        self._file = folder / f"retrieval-{self.model.sha256[:16]}.vectors"
        self._known: dict[bytes, bytes] = {}
        if self._file.is_file():
            self._known = msgspec.msgpack.decode(self._file.read_bytes(), type=dict[bytes, bytes])

    def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[bytes]:
        """Return one vector a text; only new texts are embedded, all of them at once."""
        names = [hashlib.blake2b(f"{kind} {text}".encode()).digest() for text in texts]
        new = {n: text for n, text in zip(names, texts, strict=True) if n not in self._known}
        if new:
            vectors = self._embedder.embed(list(new.values()), kind)
            self._known |= dict(zip(new, vectors, strict=True))
            self._file.parent.mkdir(exist_ok=True)
            scratch = self._file.with_suffix(".new")
            scratch.write_bytes(msgspec.msgpack.encode(self._known))
            scratch.replace(self._file)
        return [self._known[name] for name in names]


class NoModel:
    """An embedder that must not be needed; the first synchronisation gets empty directions."""

    def __init__(self) -> None:
        self.model = EmbeddingModel(name="none", sha256="0" * 64, dimensions=8, max_tokens=256)
        self.texts = 0

    def embed(self, texts: Sequence[str], kind: Literal["query", "document"]) -> list[bytes]:  # noqa: ARG002
        """Return the same vector for all, and count."""
        self.texts += len(texts)
        return [encoded(np.full(8, 8**-0.5, dtype=np.float16))] * len(texts)


def encoded(vector: "np.ndarray[tuple[int], np.dtype[np.float16]]") -> bytes:
    """Return a vector in pgvector's binary format."""
    return len(vector).to_bytes(2, "big") + b"\0\0" + vector.astype(">f2").tobytes()


def decoded(vectors: Sequence[bytes]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """Return vectors of pgvector's binary format, (n, dimensions) float32."""
    return np.array([np.frombuffer(v, ">f2", offset=_HEADER) for v in vectors], dtype=np.float32)
