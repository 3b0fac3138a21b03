"""Retrieval: quality on judged queries, speed and recall at 100,000 passages, embedding, re-sync.

    INSIGHTS_EVAL_DATA=... python -m benchmarks.retrieval [--json] [--passages 100000]

Quality is measured on Cranfield and on the demo's articles, always with the default settings and
without a reranker, on one PostgreSQL with pgvector and the packaged all-MiniLM-L6-v2. Without
INSIGHTS_EVAL_DATA what needs it is not measured. Some minutes on two quiet cores; vectors whose
making is not measured are kept in `.cache/`, so that the next run takes less.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._retrieval import (
    Judged,
    Mixture,
    NoModel,
    Remembered,
    cranfield,
    decoded,
    demo,
    short_texts,
)
from demo.report import Goal, report
from insights.documents.folder import Folder
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.codes import codes, lexemes
from insights.knowledge.evaluation import Measures, evaluate
from insights.knowledge.indexer import Collection, Indexer
from insights.knowledge.retriever import HybridRetriever
from insights.model import Chunk, Document, Hit, Question, SearchTuning
from insights.ports import Documents, Embedder
from insights.store import derived, migrate
from insights.store.passages import PassageStore, vector_index
from insights.store.postgres import Store
from tests import servers

PASSAGES = 100_000
DOCUMENTS = 10_000
PARTS = ("quality", "scale", "embedding", "resync")
THREADS = 2
K = 10


class Bench:
    """One server and one embedder, and the figures found with them."""

    def __init__(self, server: servers.Postgres, embedder: EmbedderClient) -> None:
        self.server = server
        self.embedder = embedder
        self.remembered = Remembered(embedder)
        self.goals: list[Goal] = []
        self.table: list[list[str]] = [["figure", "measured"]]

    def note(self, figure: str, measured: str) -> None:
        """Add a figure that no goal is set for."""
        self.table.append([figure, measured])

    @contextmanager
    def store(self, name: str) -> Iterator[tuple[str, PassageStore]]:
        """Make a migrated store."""
        self.server.create_database(name)
        url = self.server.url(name)
        migrate.upgrade(url)
        store = Store(url, connections=2).open()
        try:
            yield url, PassageStore(store)
        finally:
            store.close()

    def index(self, url: str, passages: PassageStore) -> None:
        """Make the vector index as `insights migrate` does, and the planner's statistics."""
        model = self.embedder.model
        derived.make(url, [vector_index(passages.declare_model(model), model)])
        self.server.execute("ANALYZE", database=url.rsplit("/", 1)[1])


def quality(bench: Bench, judged: Judged | None, name: str) -> None:
    """Measure text, vector and hybrid retrieval on a judged collection."""
    figures: dict[str, Measures] = {}
    if judged is not None:
        with bench.store(name.replace(" ", "_")) as (url, passages):
            indexer(passages, judged.documents, bench.remembered).sync()
            bench.index(url, passages)
            retriever = HybridRetriever(["kb"], passages, [bench.remembered])
            figures = evaluate(retriever, judged.queries, judged.judgements)
    for kind, found in figures.items():
        bench.note(
            f"{name}, {kind}: nDCG@10 / recall@10 / MRR ({found.queries} queries)",
            f"{found.ndcg_10:.3f} / {found.recall_10:.3f} / {found.mrr:.3f}",
        )
    if name == "Cranfield":
        ndcg, recall = (
            (figures["hybrid"].ndcg_10, figures["hybrid"].recall_10) if figures else (None, None)
        )
        bench.goals += [
            Goal("Cranfield nDCG@10, default settings", ndcg, 0.445),
            Goal("Cranfield recall@10, default settings", recall, 0.47),
        ]
    ratio = (
        figures["hybrid"].ndcg_10 / max(figures["text"].ndcg_10, figures["vector"].ndcg_10)
        if figures
        else None
    )
    bench.goals.append(Goal(f"{name}: fusion against its better half, nDCG@10", ratio, 0.99, "x"))


def scale(bench: Bench, data: Path | None, count: int) -> None:
    """Measure recall and latency of the search among many passages."""
    recall = p95 = ratio = filled = None
    if data is not None:
        judged = cranfield(data)
        questions = [*judged.queries.values(), *short_texts(data)[-200:]]
        texts = base_texts(judged, data)
        mixture = Mixture(texts, bench.remembered.embed(texts, "document"), count)
        vectors = bench.remembered.embed(questions, "query")
        with bench.store("scale") as (url, passages):
            fill(bench, url, passages, mixture)
            search = searcher(bench, passages)
            asked = [
                Question(text=text, codes=lexemes(codes(text)), vector=vector)
                for text, vector in zip(questions, vectors, strict=True)
            ]
            for question in asked[:50]:
                search(question)
            _, times = timed(search, asked)
            hits, _ = timed(searcher(bench, passages, deep=True), asked)
            recall = recall_against_exact(hits, mixture, decoded(vectors))
            p95 = percentile(times, 95)
            one_in_1000 = [
                Question(
                    text=q.text, codes=q.codes, vector=q.vector, filters={"tenant": str(n % 1000)}
                )
                for n, q in enumerate(asked)
            ]
            for question in one_in_1000[:50]:
                search(question)
            found, filtered = timed(search, one_in_1000)
            ratio = percentile(filtered, 95) / p95
            filled = sum(len(each) >= K for each in found) / len(found)
            bench.note("hybrid search p50 / p95 / max", spread(times))
            bench.note("search filtered to 1 in 1,000, p50 / p95 / max", spread(filtered))
    bench.goals += [
        Goal(f"vector index recall@10 at {count:,} passages", recall, 0.98),
        Goal(f"hybrid search at {count:,} passages, p95", p95, 25, "ms", at_least=False),
        Goal("filter on 1 in 1,000: p95 against unfiltered", ratio, 2, "x", at_least=False),
        Goal("filter on 1 in 1,000: searches that return 10 passages", filled, 1),
    ]


def fill(bench: Bench, url: str, passages: PassageStore, mixture: Mixture) -> None:
    """Store the mixture's passages and index them."""
    model_id = passages.declare_model(bench.embedder.model)
    collection_id = passages.declare("kb", "english")
    began = time.perf_counter()
    mixture.store(url, collection_id, model_id)
    stored = time.perf_counter()
    passages.finish(collection_id, model_id, {})
    counted = time.perf_counter()
    bench.index(url, passages)
    bench.note("passages stored in bulk", f"{len(mixture.vectors) / (stored - began):,.0f}/s")
    bench.note("words counted", f"{counted - stored:.1f} s")
    bench.note("vector index built and analysed", f"{time.perf_counter() - counted:.0f} s")


def embedding(bench: Bench, texts: Sequence[str]) -> None:
    """Compare the embedder process with a bare encode on the same texts, in turns."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import sentence_transformers
    import torch

    torch.set_num_threads(THREADS)
    model = sentence_transformers.SentenceTransformer(str(ModelFiles().path))
    ours, bare = [], []
    bench.embedder.embed(texts[:100], "document")
    model.encode(list(texts[:100]), normalize_embeddings=True)
    for _ in range(3):
        began = time.perf_counter()
        vectors = bench.embedder.embed(texts, "document")
        between = time.perf_counter()
        expected = model.encode(list(texts), batch_size=32, normalize_embeddings=True)
        ours.append(between - began)
        bare.append(time.perf_counter() - between)
    if not np.allclose(decoded(vectors), expected, atol=2e-3):
        raise ValueError("the embedder's vectors are not those of a bare encode")
    bench.note("texts embedded", f"{len(texts) / min(ours):,.0f}/s")
    bench.goals.append(
        Goal("embedding throughput against a bare encode", min(bare) / min(ours), 0.95, "x")
    )


def resync(bench: Bench, count: int) -> None:
    """Synchronise a folder of files that did not change."""
    folder = Path(tempfile.mkdtemp(prefix="insights-bench-"))
    try:
        for number in range(count):
            path = folder / f"{number % 100:02}" / f"{number:05}.md"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"# Article {number}\n\n" + f"Do step {number} and wait. " * 20)
        nobody = NoModel()
        with bench.store("resync") as (_, passages):
            made = indexer(passages, Folder(folder), nobody)
            made.sync()
            first, nobody.texts = nobody.texts, 0
            began = time.perf_counter()
            again = made.sync()
            took = time.perf_counter() - began
    finally:
        shutil.rmtree(folder)
    if again.unchanged != count or first < count:
        raise ValueError(f"expected {count} unchanged documents, found {again}")
    bench.goals += [
        Goal(f"re-sync of {count:,} unchanged documents", took, 5, "s", at_least=False),
        Goal("passages embedded by that", nobody.texts, 0, "", at_least=False),
    ]


def indexer(passages: PassageStore, documents: Documents, embedder: Embedder) -> Indexer:
    """Return an indexer with the default settings."""
    files = ModelFiles()
    chunker = Chunker(files.tokenizer, Chunking(), files.model.max_tokens)
    return Indexer(Collection(name="kb"), documents, passages, embedder, chunker)


def base_texts(judged: Judged, data: Path) -> list[str]:
    """Return the texts that passages are mixed of: Cranfield's passages and some short texts."""
    files = ModelFiles()
    chunker = Chunker(files.tokenizer, Chunking(), files.model.max_tokens)
    chunks: list[Chunk] = []
    for uri, _ in judged.documents.listing():
        document: Document = judged.documents.load(uri)
        chunks.extend(chunker.cut(document))
    return [chunk.text for chunk in chunks] + short_texts(data)[:600]


def searcher(bench: Bench, passages: PassageStore, *, deep: bool = False) -> Any:  # noqa: ANN401 - a function of this file
    """Return one search as the retriever does it; `deep` returns all that either half found."""
    tuning = SearchTuning()
    if deep:
        tuning = SearchTuning(limit=2 * tuning.depth)

    def search(question: Question) -> list[Hit]:
        return passages.search(["kb"], bench.embedder.model, [question], tuning)[0]

    return search


def timed(search: Any, questions: Sequence[Question]) -> tuple[list[list[Hit]], list[float]]:  # noqa: ANN401
    """Return the hits and the milliseconds of each search."""
    hits, times = [], []
    for question in questions:
        began = time.perf_counter()
        hits.append(search(question))
        times.append(1000 * (time.perf_counter() - began))
    return hits, times


def recall_against_exact(
    found: Sequence[Sequence[Hit]], mixture: Mixture, queries: "np.ndarray[Any, Any]"
) -> float:
    """Return which share of the ten truly nearest passages the vector half found among its ten."""
    shares = []
    vectors = mixture.vectors.astype(np.float32)
    for hits, query in zip(found, queries, strict=True):
        exact = {str(number) for number in np.argpartition(-(vectors @ query), K)[:K]}
        ours = {h.uri for h in hits if h.vector_rank is not None and h.vector_rank <= K}
        shares.append(len(exact & ours) / K)
    return statistics.fmean(shares)


def roomy(folder: Path) -> servers.Postgres:
    """Return a server as a DBA would set it up: the vector index in memory, also when built."""
    return servers.Postgres(
        folder, shared_buffers="1GB", maintenance_work_mem="512MB", max_wal_size="4GB"
    ).create()


def percentile(values: Sequence[float], share: int) -> float:
    """Return a percentile."""
    return float(np.percentile(values, share))


def spread(times: Sequence[float]) -> str:
    """Return p50, p95 and maximum as text."""
    return f"{percentile(times, 50):.1f} / {percentile(times, 95):.1f} / {max(times):.1f} ms"


def run(part: str, bench: Bench, data: Path | None, passages: int) -> None:
    """Measure one part."""
    if part == "quality":
        quality(bench, cranfield(data) if data else None, "Cranfield")
        quality(bench, demo(), "demo articles")
    elif part == "scale":
        scale(bench, data, passages)
    elif part == "embedding":
        texts = list(demo().queries.values())
        embedding(bench, texts + (short_texts(data)[:600] if data else []))
    else:
        resync(bench, DOCUMENTS)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--passages", type=int, default=PASSAGES)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    named = os.environ.get("INSIGHTS_EVAL_DATA")
    data = Path(named) if named and Path(named).is_dir() else None
    folder = servers.scratch()
    embedder = EmbedderClient(ModelFiles(), threads=THREADS)
    try:
        with servers.running(roomy(folder / "pg")) as server:
            bench = Bench(server, embedder)
            for part in options.only:
                began = time.perf_counter()
                run(part, bench, data, options.passages)
                print(f"{part}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    finally:
        embedder.close()
        shutil.rmtree(folder, ignore_errors=True)
    report(
        f"Retrieval, {options.passages:,} passages",
        bench.goals,
        [
            "Each of the many passages joins two real texts; its vector is the mean of theirs.",
            "Server: shared_buffers 1 GB, maintenance_work_mem 512 MB, no fsync; one connection.",
            "Search times are those of PassageStore.search without the query's embedding.",
        ],
        options.json,
        bench.table,
    )


if __name__ == "__main__":
    main()
