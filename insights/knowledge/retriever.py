"""Finds the passages for rows: one embedding call, one search statement a row, then selection."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from insights import errors
from insights.documents.filters import FilterType, canonical
from insights.knowledge.codes import codes, lexemes
from insights.knowledge.selection import Fate, Selection
from insights.model import Hit, Passage, Question, SearchTuning
from insights.ports import Embedder, Passages, Reranker

# A query's text beyond this is cut: the model reads 256 tokens, and words repeat.
_QUERY_CHARS = 8_000
_SPACES = re.compile(r"\s+")


class Ranked(msgspec.Struct, frozen=True):
    """A hit as `explain` shows it: its place and what became of it."""

    hit: Hit
    relevance: float | None
    fate: Fate


class HybridRetriever:
    """Implements `ports.Retriever` for some collections.

    Args:
        collections: Their names.
        passages: The store's search.
        embedders: The configured model first, then the one it replaces, if any: the first whose
            vectors are complete answers.
        filter_types: The declared filters of these collections.
        selection: Which of the hits a row is given.
        reranker: A cross-encoder that judges the fused hits, if there is one.
        tuning: The search's settings.
    """

    def __init__(
        self,
        collections: Sequence[str],
        passages: Passages,
        embedders: Sequence[Embedder],
        *,
        filter_types: Mapping[str, FilterType] | None = None,
        selection: Selection | None = None,
        reranker: Reranker | None = None,
        tuning: SearchTuning | None = None,
    ) -> None:
        if not collections or not embedders:
            raise errors.SettingsError(
                "retrieval needs a collection and an embedding model", where="retrieval"
            )
        self._collections = list(collections)
        self._passages = passages
        self._embedders = list(embedders)
        self._filter_types = dict(filter_types or {})
        self._selection = selection or Selection()
        self._reranker = reranker
        self._tuning = tuning or SearchTuning()

    def retrieve(
        self, queries: Sequence[str], filters: Sequence[Mapping[str, str]] | None = None
    ) -> list[tuple[Passage, ...]]:
        """Return each query's passages, numbered from 1; empty where nothing is relevant."""
        return [
            tuple(
                Passage(
                    passage_id=entry.hit.passage_id,
                    number=number,
                    uri=entry.hit.uri,
                    title=entry.hit.title,
                    text=entry.hit.text,
                    score=entry.hit.score,
                )
                for number, entry in enumerate(
                    (entry for entry in ranked if entry.fate == "used"), 1
                )
            )
            for ranked in self.explain(queries, filters)
        ]

    def explain(
        self, queries: Sequence[str], filters: Sequence[Mapping[str, str]] | None = None
    ) -> list[list[Ranked]]:
        """Return, for each query, every hit that was looked at and what became of it."""
        found = self.search(queries, filters)
        results = []
        for query, hits in zip(queries, found, strict=True):
            judged = self._judge(query, hits)
            fates = self._selection.fates(judged)
            results.append(
                [
                    Ranked(hit, relevance, fate)
                    for (hit, relevance), fate in zip(judged, fates, strict=True)
                ]
            )
        return results

    def _judge(self, query: str, hits: list[Hit]) -> list[tuple[Hit, float | None]]:
        """Return the hits with the reranker's relevance, best first; without one as they are."""
        if self._reranker is None or not hits:
            return [(hit, None) for hit in hits]
        relevances = self._reranker.rerank(trimmed(query), [_whole_text(hit) for hit in hits])
        order = sorted(range(len(hits)), key=lambda index: -relevances[index])
        return [(hits[index], relevances[index]) for index in order]

    def search(
        self,
        queries: Sequence[str],
        filters: Sequence[Mapping[str, str]] | None = None,
        *,
        deep: bool = False,
    ) -> list[list[Hit]]:
        """Return the fused hits of each query, before floor, duplicates and budget.

        `deep` returns everything that either half found, for measuring.
        """
        conditions = [self._canonical(one) for one in filters or [{}] * len(queries)]
        texts = [trimmed(query) for query in queries]
        wanted = [
            index for index, text in enumerate(texts) if text and conditions[index] is not None
        ]
        results: list[list[Hit]] = [[] for _ in texts]
        if not wanted:
            return results
        embedder = usable(self._passages, self._collections, self._embedders)
        vectors = embedder.embed([texts[index] for index in wanted], "query")
        questions = [
            Question(
                text=texts[index],
                codes=lexemes(codes(texts[index])),
                vector=vector,
                filters=conditions[index] or {},
            )
            for index, vector in zip(wanted, vectors, strict=True)
        ]
        tuning = self._tuning
        if deep:
            tuning = msgspec.structs.replace(tuning, limit=2 * tuning.depth)
        found = self._passages.search(self._collections, embedder.model, questions, tuning)
        for index, hits in zip(wanted, found, strict=True):
            results[index] = hits
        return results

    def _canonical(self, filters: Mapping[str, str]) -> dict[str, str] | None:
        """Return a row's filters in canonical form; None where a value is of another type.

        Such a row finds nothing, as one without the value does: never another tenant's passages.

        Raises:
            errors.SettingsError: If a filter is not declared, which is no row's fault.
        """
        for name in filters:
            if name not in self._filter_types:
                raise errors.SettingsError(
                    f"there is no filter {name!r}",
                    where=f"collections {', '.join(self._collections)}",
                    fix=f"declare it in collection.filters; known: {sorted(self._filter_types)}",
                )
        try:
            return {
                name: canonical(name, self._filter_types[name], value)
                for name, value in filters.items()
            }
        except errors.KnowledgeError:
            return None


def usable(
    passages: Passages, collections: Sequence[str], embedders: Sequence[Embedder]
) -> Embedder:
    """Return the first embedder whose vectors are complete for all collections, else the first."""
    if len(embedders) == 1:
        return embedders[0]
    models = [embedder.model for embedder in embedders]
    return embedders[passages.usable(collections, models)]


def trimmed(query: str) -> str:
    """Return a row's text as it is embedded: on one line, of a length that a model may read."""
    return _SPACES.sub(" ", query[:_QUERY_CHARS].replace("\x00", " ")).strip()


def _whole_text(hit: Hit) -> str:
    return "\n".join(part for part in (hit.title, hit.heading, hit.text) if part)
