"""Labelled rows near the row in hand: what people decided about rows like it.

Never the row itself, known by its key, and never its future: of two rows of one table only what was
decided before the row in hand was there.
"""

from collections.abc import Mapping, Sequence

import msgspec

from insights import errors
from insights.documents.filters import FilterType, canonical
from insights.knowledge.labels import moment
from insights.knowledge.retriever import trimmed, usable
from insights.model import Example, Json, Labelled, Row, Sought
from insights.ports import Embedder, Passages
from insights.steps.labels import decided

_SPARE = 4  # rows looked at for each example: labels may not be what the schema allows


class Wanted(msgspec.Struct, frozen=True):
    """Which labelled rows are an example, and of what.

    `labels` maps properties of `schema` to label columns, `columns` are those of the row in hand
    that are compared, `time` is the one that tells when it was there (None: nothing is later),
    `filters` maps declared filters to its columns.
    """

    collection: str
    labels: Mapping[str, str]
    schema: Json
    columns: tuple[str, ...]
    k: int = 3
    min_similarity: float = 0.3
    time: str | None = None
    filters: Mapping[str, str] = {}
    filter_types: Mapping[str, FilterType] = {}


class NearestExamples:
    """Implements `ports.Examples` on one collection.

    Args:
        wanted: Which rows.
        passages: The store's search.
        embedders: As of a search: the first whose vectors are complete.
    """

    def __init__(self, wanted: Wanted, passages: Passages, embedders: Sequence[Embedder]) -> None:
        self._wanted = wanted
        self._passages = passages
        self._embedders = list(embedders)

    def nearest(self, rows: Sequence[Row]) -> list[tuple[Example, ...]]:
        """Return each row's examples, nearest first; never the row itself, nor its future."""
        collections = [self._wanted.collection]
        embedder = usable(self._passages, collections, self._embedders)
        asked = [(at, text) for at, row in enumerate(rows) if (text := self._text(row))]
        vectors = embedder.embed([text for _, text in asked], "query") if asked else []
        sought = {
            at: one
            for (at, _), vector in zip(asked, vectors, strict=True)
            if (one := self._sought(rows[at], vector)) is not None
        }
        found = self._passages.labelled(
            collections, embedder.model, list(sought.values()), self._wanted.k * _SPARE
        )
        by_row = dict(zip(sought, found, strict=True))
        return [self._chosen(by_row.get(at, [])) for at in range(len(rows))]

    def _text(self, row: Row) -> str:
        return trimmed("\n".join(row.values.get(name) or "" for name in self._wanted.columns))

    def _sought(self, row: Row, vector: bytes) -> Sought | None:
        """Return what a row looks for; None where its filters or its time cannot be told."""
        time = self._wanted.time
        try:
            before = None if time is None else moment(time, row.values.get(time) or "")
            filters = {
                name: canonical(name, self._wanted.filter_types[name], row.values.get(column) or "")
                for name, column in self._wanted.filters.items()
            }
        except errors.KnowledgeError:
            return None
        labels = tuple(sorted(set(self._wanted.labels.values())))
        return Sought(vector=vector, key=row.key, labels=labels, filters=filters, before=before)

    def _chosen(self, found: Sequence[Labelled]) -> tuple[Example, ...]:
        """Return the nearest rows whose labels are what the schema allows."""
        chosen: list[Example] = []
        for one in found:
            if len(chosen) == self._wanted.k or one.similarity < self._wanted.min_similarity:
                break
            labels = {name: one.labels[column] for name, column in self._wanted.labels.items()}
            output = decided(self._wanted.schema, labels)
            if output is not None:
                example = Example(
                    passage_id=one.passage_id,
                    number=len(chosen) + 1,
                    uri=one.uri,
                    title=one.title,
                    text=one.text,
                    output=output,
                    similarity=round(one.similarity, 4),
                )
                chosen.append(example)
        return tuple(chosen)
