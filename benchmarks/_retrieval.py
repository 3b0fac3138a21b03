"""What `benchmarks.retrieval` searches: Cranfield, the demo's articles, passages made of both."""

import csv
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from demo.data.articles import FOLDER, articles, file_name
from demo.data.tickets import tickets
from insights.documents.folder import Folder
from insights.inference.embedder_client import EmbedderClient
from insights.knowledge.codes import codes, lexemes
from insights.model import Chunk, Document, EmbeddingModel, IndexedDocument

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

    def load(self, uri: str) -> Document:
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


class Mixture:
    """Many passages out of few embedded texts: each joins two texts, and so does its vector.

    The mean of two vectors stands for the vector of the joined texts, which would take an hour to
    compute for 100,000 passages; texts, words, clusters and neighbourhoods stay real ones.
    """

    def __init__(self, embedder: EmbedderClient, texts: Sequence[str], passages: int) -> None:
        self._texts = list(texts)
        self._vectors = decoded(embedder.embed(self._texts, "document"))
        chosen = random.Random(7)  # noqa: S311 - reproducible, not secret
        size = len(self._texts)
        self._pairs = [(chosen.randrange(size), chosen.randrange(size)) for _ in range(passages)]
        left, right = np.array(self._pairs).T
        mixed = 0.65 * self._vectors[left] + 0.35 * self._vectors[right]
        self.vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float16)

    def batches(self, size: int) -> Iterable[list[IndexedDocument]]:
        """Yield documents of one passage each; tenant `n` of a thousand has one in a thousand."""
        for start in range(0, len(self._pairs), size):
            yield [self._document(n) for n in range(start, min(start + size, len(self._pairs)))]

    def _document(self, number: int) -> IndexedDocument:
        left, right = self._pairs[number]
        text = f"{self._texts[left]}\n{self._texts[right]}"
        return IndexedDocument(
            document=Document(
                uri=str(number), title="", text=text, filters={"tenant": str(number % 1000)}
            ),
            content_hash=number.to_bytes(16, "big"),
            chunks=(Chunk(heading="", text=text, tokens=len(text) // 5 + 1),),
            vectors=(encoded(self.vectors[number]),),
            codes=(lexemes(codes(text)),),
        )


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
