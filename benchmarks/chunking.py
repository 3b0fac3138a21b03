"""Ways of cutting documents side by side: `recursive`, `fixed` and `semantic`.

    python -m benchmarks.chunking [--json] [--tokens 60 120 240] [--queries 40]

Cranfield's abstracts are too short to be cut. So ten of them, drawn at random, are one document
here, without a title, an empty line or another sign of where one ends; a passage stands for the
abstract that most of it is of. Whole abstracts are the bound: what cutting cannot exceed. Some
minutes on two cores.
"""

import argparse
import os
import random
import shutil
import sys
import time
from itertools import pairwise
from pathlib import Path

from benchmarks._retrieval import Judged, Memory, cranfield
from demo.report import report
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles
from insights.knowledge.chunking import By, Chunker, Chunking
from insights.knowledge.evaluation import Measures, measure
from insights.knowledge.indexer import Collection, Indexer
from insights.knowledge.retriever import HybridRetriever
from insights.model import Document, Hit
from insights.store import derived, migrate
from insights.store.passages import PassageStore, vector_index
from insights.store.postgres import Store
from tests import servers

_JOINED = 10
_WAYS: tuple[By, ...] = ("recursive", "fixed", "semantic")


class Joined:
    """Cranfield's abstracts, so many a document, and which abstract a passage is of."""

    def __init__(self, judged: Judged) -> None:
        assert isinstance(judged.documents, Memory)
        uris = [uri for uri, _ in judged.documents.listing()]
        random.Random(7).shuffle(uris)  # noqa: S311 - a sample, no secret
        self._bounds: dict[str, list[tuple[int, str]]] = {}
        self._texts: dict[str, str] = {}
        for at in range(0, len(uris), _JOINED):
            text, bounds = "", []
            for uri in uris[at : at + _JOINED]:
                bounds.append((len(text), uri))
                text += " ".join(judged.documents.load(uri).text.split()) + " "
            self._texts[str(at)], self._bounds[str(at)] = text, bounds
        self.documents = Memory(
            Document(uri=uri, title="", text=text, is_markdown=False)
            for uri, text in self._texts.items()
        )

    def abstract(self, hit: Hit) -> str:
        """Return the abstract that most of a passage is of."""
        start = self._texts[hit.uri].index(hit.text)
        end = start + len(hit.text)
        bounds = [*self._bounds[hit.uri], (len(self._texts[hit.uri]), "")]
        shares = [
            (min(end, after) - max(start, begin), uri)
            for (begin, uri), (after, _) in pairwise(bounds)
        ]
        return max(shares)[1]


def measured(
    url: str, embedder: EmbedderClient, judged: Judged, joined: Joined | None, chunking: Chunking
) -> tuple[Measures, int, float]:
    """Return the quality of the hybrid search, how many passages there are, and the seconds."""
    migrate.upgrade(url)
    store = Store(url, connections=2).open()
    try:
        passages = PassageStore(store)
        files = ModelFiles()
        chunker = Chunker(
            files.tokenizer,
            chunking,
            files.model.max_tokens,
            lambda texts: embedder.embed(texts, "document"),
        )
        documents = judged.documents if joined is None else joined.documents
        began = time.perf_counter()
        made = Indexer(Collection(name="kb"), documents, passages, embedder, chunker).sync()
        took = time.perf_counter() - began
        derived.make(url, [vector_index(passages.declare_model(embedder.model), embedder.model)])
        retriever = HybridRetriever(["kb"], passages, [embedder])
        asked = [query for query in judged.queries if judged.judgements.get(query)]
        found = retriever.search([judged.queries[query] for query in asked], deep=True)
        run = {
            query: list(
                dict.fromkeys(hit.uri if joined is None else joined.abstract(hit) for hit in hits)
            )
            for query, hits in zip(asked, found, strict=True)
        }
        return measure(run, judged.judgements), made.embedded, took
    finally:
        store.close()


def part(judged: Judged, count: int) -> Judged:
    """Return the first queries, and the abstracts that are relevant to one of them."""
    asked = [query for query in judged.queries if judged.judgements.get(query)][:count]
    needed = {uri for query in asked for uri in judged.judgements[query]}
    return Judged(
        judged.name,
        Memory(judged.documents.load(uri) for uri in sorted(needed, key=int)),
        {query: judged.queries[query] for query in asked},
        {query: judged.judgements[query] for query in asked},
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chunking", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--tokens", type=int, nargs="+", default=[60, 120, 240])
    parser.add_argument("--queries", type=int, default=40, help="with the abstracts they need")
    options = parser.parse_args()
    judged = part(
        cranfield(Path(os.environ.get("INSIGHTS_EVAL_DATA", "../shared/data"))), options.queries
    )
    joined = Joined(judged)
    folder = servers.scratch()
    embedder = EmbedderClient(ModelFiles(), threads=2)
    try:
        with servers.running(servers.Postgres(folder / "pg").create()) as server:
            table = [["cut", "tokens", "passages", "nDCG@10", "recall@10", "seconds"]]
            ways: list[tuple[str, Joined | None, Chunking]] = [
                ("whole abstracts", None, Chunking())
            ]
            ways += [
                (by, joined, Chunking(tokens=tokens, by=by))
                for tokens in options.tokens
                for by in _WAYS
            ]
            for number, (name, how, chunking) in enumerate(ways):
                server.create_database(f"way{number}")
                figures, count, took = measured(
                    server.url(f"way{number}"), embedder, judged, how, chunking
                )
                row = [name, str(chunking.tokens), f"{count:,}", f"{figures.ndcg_10:.3f}"]
                table.append([*row, f"{figures.recall_10:.3f}", f"{took:.0f}"])
                print(*table[-1], sep=" | ", file=sys.stderr, flush=True)
    finally:
        embedder.close()
        shutil.rmtree(folder, ignore_errors=True)
    title = f"Ways of cutting documents: {options.queries} queries of Cranfield"
    report(title, [], (), options.json, table)


if __name__ == "__main__":
    main()
