"""How good retrieval is on judged queries, in TREC's files and measures.

Queries: `id TAB text` a line. Judgements (qrels): `id 0 uri grade` a line; a grade of 0 or less is
not relevant. Measures as in trec_eval: nDCG with linear gains (Järvelin and Kekäläinen 2002),
recall, and the reciprocal rank of the first relevant document, each averaged over the queries that
have a relevant document.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from insights import errors
from insights.knowledge.retriever import HybridRetriever
from insights.model import Hit

_CUT = 10
_QREL_FIELDS = 4
_BATCH = 64


class Measures(msgspec.Struct, frozen=True):
    """Quality of one retriever, each between 0 and 1."""

    ndcg_10: float
    recall_10: float
    mrr: float
    queries: int


def evaluate(
    retriever: HybridRetriever,
    queries: Mapping[str, str],
    judgements: Mapping[str, Mapping[str, int]],
) -> dict[str, Measures]:
    """Return the measures of text, vector and hybrid retrieval on the same searches."""
    judged = [query for query in queries if any(g > 0 for g in judgements.get(query, {}).values())]
    if not judged:
        raise errors.KnowledgeError(
            "no query has a relevant document",
            where="QRELS",
            fix="check that both files use the same query ids",
        )
    runs: dict[str, dict[str, list[str]]] = {"text": {}, "vector": {}, "hybrid": {}}
    for start in range(0, len(judged), _BATCH):
        batch = judged[start : start + _BATCH]
        found = retriever.search([queries[query] for query in batch], deep=True)
        for query, hits in zip(batch, found, strict=True):
            runs["hybrid"][query] = _documents(hits)
            by_text = [hit for hit in hits if hit.text_rank is not None]
            runs["text"][query] = _documents(sorted(by_text, key=lambda hit: hit.text_rank or 0))
            by_vector = [hit for hit in hits if hit.vector_rank is not None]
            runs["vector"][query] = _documents(
                sorted(by_vector, key=lambda hit: hit.vector_rank or 0)
            )
    return {name: measure(run, judgements) for name, run in runs.items()}


def measure(
    run: Mapping[str, Sequence[str]], judgements: Mapping[str, Mapping[str, int]]
) -> Measures:
    """Return the measures of a run: for each query, documents by rank."""
    ndcg = recall = mrr = 0.0
    for query, documents in run.items():
        grades = {uri: grade for uri, grade in judgements[query].items() if grade > 0}
        gains = [grades.get(uri, 0) for uri in documents[:_CUT]]
        ideal = sorted(grades.values(), reverse=True)[:_CUT]
        ndcg += _discounted(gains) / _discounted(ideal)
        recall += sum(gain > 0 for gain in gains) / len(grades)
        mrr += next((1 / rank for rank, uri in enumerate(documents, 1) if uri in grades), 0.0)
    count = len(run)
    return Measures(ndcg_10=ndcg / count, recall_10=recall / count, mrr=mrr / count, queries=count)


def read_queries(path: Path) -> dict[str, str]:
    """Return query texts by id."""
    queries = {}
    for number, line in enumerate(_lines(path), 1):
        query, tab, text = line.partition("\t")
        if not tab:
            raise errors.KnowledgeError("expected `id TAB text`", where=f"{path}:{number}")
        queries[query.strip()] = text.strip()
    return queries


def read_judgements(path: Path) -> dict[str, dict[str, int]]:
    """Return grades by query and document."""
    judgements: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_lines(path), 1):
        fields = line.split()
        try:
            query, _, uri, grade = fields[0], fields[1], " ".join(fields[2:-1]), int(fields[-1])
        except (IndexError, ValueError):
            uri = ""
        if len(fields) < _QREL_FIELDS or not uri:
            raise errors.KnowledgeError("expected `id 0 uri grade`", where=f"{path}:{number}")
        judgements.setdefault(query, {})[uri] = grade
    return judgements


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.KnowledgeError(f"cannot be read: {exc}", where=str(path)) from exc
    return [line for line in text.splitlines() if line.strip()]


def _documents(hits: Sequence[Hit]) -> list[str]:
    """Return the distinct documents of hits, best first."""
    return list(dict.fromkeys(hit.uri for hit in hits))


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
