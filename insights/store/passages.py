"""Collections, documents, passages and vectors in the store, and the search over them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from insights import errors
from insights.model import (
    Chunk,
    CollectionStatus,
    EmbeddingModel,
    Hit,
    IndexedDocument,
    KnownDocument,
    Labelled,
    Question,
    SearchTuning,
    Sought,
)
from insights.store.derived import DerivedObject
from insights.store.postgres import Store
from insights.store.queries import load
from insights.store.vectors import Halfvec, HalfvecDumper

# Graph of the vector index: pgvector's default m; a wider construction list for recall.
_HNSW_M = 16
_HNSW_EF_CONSTRUCTION = 128


class PassageStore:
    """Implements `ports.Passages` on PostgreSQL with pgvector.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("passages")

    # --- synchronisation -------------------------------------------------------------------------

    def declare(self, name: str, language: str, stream: str | None = None) -> int:
        """Return a collection's id; its documents are a folder's, or the rows of a stream."""
        with self._store.connection() as connection:
            values = {"name": name, "language": language, "stream": stream}
            row = _one(connection.execute(self._sql["declare_collection"], values))
        return int(row.collection_id)

    def declare_model(self, model: EmbeddingModel) -> int:
        """Return an embedding model's id."""
        values = {"name": model.name, "sha256": model.sha256, "dimensions": model.dimensions}
        with self._store.connection() as connection:
            return int(_one(connection.execute(self._sql["declare_model"], values)).model_id)

    def pin(self, model: EmbeddingModel, vector: bytes) -> bytes:
        """Return the check vector of a served model; `vector` becomes it if there is none yet."""
        model_id = self.declare_model(model)
        with self._store.transaction() as connection:
            connection.adapters.register_dumper(Halfvec, HalfvecDumper)
            values = {"model_id": model_id, "vector": Halfvec(vector)}
            connection.execute(self._sql["pin_model"], values)
            return bytes(_one(connection.execute(self._sql["check_vector"], values)).check_vector)

    def known(self, collection_id: int) -> dict[str, KnownDocument]:
        """Return every document of a collection by URI."""
        with self._store.connection() as connection:
            rows = connection.execute(
                self._sql["known_documents"], {"collection_id": collection_id}
            ).fetchall()
        return {
            row.uri: KnownDocument(bytes.fromhex(row.content_hash.replace("-", "")), row.title)
            for row in rows
        }

    def forgotten(self, collection_id: int, uris: Sequence[str]) -> set[str]:
        """Return which of these rows are kept out, because they were forgotten."""
        values = {"collection_id": collection_id, "uris": list(uris)}
        with self._store.connection() as connection:
            return {row.uri for row in connection.execute(self._sql["forgotten"], values)}

    def put(
        self, collection_id: int, language: str, model_id: int, documents: Sequence[IndexedDocument]
    ) -> None:
        """Store new and changed documents in one transaction: until then the old ones stand."""
        with self._store.transaction() as connection:
            connection.adapters.register_dumper(Halfvec, HalfvecDumper)
            connection.execute(self._sql["lock_collection"], {"collection_id": collection_id})
            for indexed in documents:
                row = connection.execute(
                    self._sql["put_document"],
                    {
                        "collection_id": collection_id,
                        "uri": indexed.document.uri,
                        "title": indexed.document.title,
                        "content_hash": indexed.content_hash.hex(),
                        "bytes": len(indexed.document.text.encode()),
                        "passages": len(indexed.chunks),
                        "labels": Jsonb(labels) if (labels := indexed.document.labels) else None,
                        "moment": indexed.document.moment,
                    },
                ).fetchone()
                if row is None:
                    continue  # forgotten since it was read
                common = {
                    "document_id": row.document_id,
                    "collection_id": collection_id,
                    "language": language,
                    "model_id": model_id,
                    "filters": filter_tags(indexed.document.filters),
                }
                with connection.cursor() as cursor:
                    cursor.executemany(
                        self._sql["put_passage"],
                        [common | _passage(indexed, n) for n in range(len(indexed.chunks))],
                    )

    def move(self, collection_id: int, moves: Sequence[tuple[str, str]]) -> None:
        """Rename documents (old URI, new URI) whose content did not change."""
        with self._store.transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(
                self._sql["move_document"],
                [
                    {"collection_id": collection_id, "old_uri": old, "uri": new}
                    for old, new in moves
                ],
            )

    def delete(self, collection_id: int, uris: Sequence[str]) -> None:
        """Delete documents with their passages and vectors."""
        with self._store.connection() as connection:
            connection.execute(
                self._sql["delete_documents"],
                {"collection_id": collection_id, "uris": list(uris)},
            )

    def without_vector(
        self, collection_id: int, model_id: int, page: int
    ) -> Iterator[list[tuple[int, str, Chunk]]]:
        """Yield pages of (passage id, title, chunk) that have no vector of the model."""
        after = 0
        while True:
            values = {
                "collection_id": collection_id,
                "model_id": model_id,
                "after": after,
                "limit": page,
            }
            with self._store.connection() as connection:
                rows = connection.execute(self._sql["without_vector"], values).fetchall()
            if not rows:
                return
            after = rows[-1].passage_id
            yield [
                (
                    row.passage_id,
                    row.title,
                    Chunk(heading=row.heading, text=row.content, tokens=row.tokens),
                )
                for row in rows
            ]

    def add_vectors(self, model_id: int, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Store a model's vectors of passages beside those of other models."""
        with self._store.transaction() as connection, connection.cursor() as cursor:
            cursor.adapters.register_dumper(Halfvec, HalfvecDumper)
            cursor.executemany(
                self._sql["add_vector"],
                [
                    {"passage_id": passage_id, "model_id": model_id, "vector": Halfvec(vector)}
                    for passage_id, vector in vectors
                ],
            )

    def finish(self, collection_id: int, model_id: int, problems: Mapping[str, str]) -> None:
        """End a synchronisation: the model is complete; words are counted again where stale."""
        with self._store.transaction() as connection:
            values: dict[str, Any] = {
                "collection_id": collection_id,
                "model_id": model_id,
                "problems": Jsonb(dict(problems)),
            }
            connection.execute(self._sql["lock_collection"], values)
            row = _one(connection.execute(self._sql["words_are_stale"], values))
            if row.stale:
                for name in ("forget_words", "count_words", "count_passages"):
                    connection.execute(self._sql[name], values)
            connection.execute(self._sql["complete_model"], values)
            connection.execute(self._sql["finish_sync"], values)

    # --- search ----------------------------------------------------------------------------------

    def usable(self, collections: Sequence[str], models: Sequence[EmbeddingModel]) -> int:
        """Return the index of the first model that is complete for all collections, else 0."""
        with self._store.connection() as connection:
            rows = connection.execute(
                self._sql["complete_models"], {"collections": list(collections)}
            ).fetchall()
        complete = {(row.name, row.sha256): set(row.collections) for row in rows}
        for index, model in enumerate(models):
            if complete.get((model.name, model.sha256), set()) >= set(collections):
                return index
        return 0

    def search(
        self,
        collections: Sequence[str],
        model: EmbeddingModel,
        questions: Sequence[Question],
        tuning: SearchTuning,
    ) -> list[list[Hit]]:
        """Return the fused hits of each question, best first."""
        with self._searching(collections, model, tuning) as run:
            return [[_hit(row) for row in run(_asked(one), "")] for one in questions]

    def labelled(
        self,
        collections: Sequence[str],
        model: EmbeddingModel,
        sought: Sequence[Sought],
        limit: int,
    ) -> list[list[Labelled]]:
        """Return the labelled rows nearest to each vector, `limit` at most, best first."""
        tuning = SearchTuning(limit=limit)
        with self._searching(collections, model, tuning, "nearest_labelled") as run:
            return [[_labelled(row) for row in run(_sought(one), "")] for one in sought]

    def plan(
        self,
        collections: Sequence[str],
        model: EmbeddingModel,
        question: Question,
        tuning: SearchTuning,
    ) -> list[str]:
        """Return the plan of a search as PostgreSQL ran it, a line each."""
        with self._searching(collections, model, tuning) as run:
            return [row[0] for row in run(_asked(question), "EXPLAIN (ANALYZE, BUFFERS) ")]

    @contextmanager
    def _searching(
        self,
        collections: Sequence[str],
        model: EmbeddingModel,
        tuning: SearchTuning,
        name: str = "search",
    ) -> Iterator[Callable[[Mapping[str, Any], str], list[Any]]]:
        """Lend a function that runs a search with some values, after a prefix such as EXPLAIN."""
        with self._store.transaction() as connection:
            connection.adapters.register_dumper(Halfvec, HalfvecDumper)
            connection.execute(
                self._sql["session"],
                {
                    "ef_search": str(tuning.ef_search),
                    "max_scan_tuples": str(tuning.max_scan_tuples),
                },
            )
            known = connection.execute(
                self._sql["search_collections"], {"collections": list(collections)}
            ).fetchall()
            found = connection.execute(
                self._sql["find_model"], {"name": model.name, "sha256": model.sha256}
            ).fetchone()
            common = {
                "collection_ids": [row.collection_id for row in known],
                "language": known[0].language if known else "simple",
                "model_id": found.model_id if found else -1,
                **msgspec.structs.asdict(tuning),
            }
            statement = self._sql[name].replace("halfvec(384)", f"halfvec({model.dimensions:d})")

            def run(values: Mapping[str, Any], prefix: str) -> list[Any]:
                # Never prepared: how selective this filter is decides how it is searched.
                return connection.execute(
                    prefix + statement, {**common, **values}, prepare=False
                ).fetchall()

            yield run

    def status(self) -> list[CollectionStatus]:
        """Return all collections by name."""
        with self._store.connection() as connection:
            rows = connection.execute(self._sql["status"]).fetchall()
        return [
            CollectionStatus(
                name=row.name,
                language=row.language,
                documents=row.documents,
                passages=row.passages,
                models=tuple(row.models),
                synced_at=row.synced_at,
                problems=row.problems,
            )
            for row in rows
        ]


def vector_index(model_id: int, model: EmbeddingModel) -> DerivedObject:
    """Return the vector index of one model: partial, so that each model has vectors of its length.

    Inner product, because the vectors are of unit length: the same order as cosine, cheaper.
    """
    name = f"embedding_hnsw_{model_id}"
    return DerivedObject(
        kind="INDEX",
        schema="store",
        name=name,
        create=(
            f"CREATE INDEX CONCURRENTLY {name} ON store.embedding\n"
            f"USING hnsw ((embedding::halfvec({model.dimensions})) halfvec_ip_ops)\n"
            f"WITH (m = {_HNSW_M}, ef_construction = {_HNSW_EF_CONSTRUCTION})\n"
            f"WHERE model_id = {model_id}"
        ),
    )


def filter_tags(filters: Mapping[str, str]) -> list[str]:
    """Return declared filters as the store keeps them."""
    return [f"{name}={value}" for name, value in sorted(filters.items())]


def _one(cursor: psycopg.Cursor[Any]) -> Any:  # noqa: ANN401 - a row of any statement
    """Return the one row of a statement that always has one."""
    row = cursor.fetchone()
    if row is None:
        raise errors.StoreError("a statement returned no row", where="sql/store/passages.sql")
    return row


def _passage(indexed: IndexedDocument, number: int) -> dict[str, object]:
    chunk = indexed.chunks[number]
    title = indexed.document.title
    return {
        "ordinal": number,
        "heading": chunk.heading,
        "content": chunk.text,
        "tokens": chunk.tokens,
        "about": f"{title} {chunk.heading}",
        "codes": indexed.codes[number],
        "vector": Halfvec(indexed.vectors[number]),
    }


def _asked(question: Question) -> dict[str, Any]:
    return {
        "query": question.text,
        "codes": question.codes,
        "vector": Halfvec(question.vector),
        "filters": filter_tags(question.filters),
    }


def _sought(sought: Sought) -> dict[str, Any]:
    return {
        "vector": Halfvec(sought.vector),
        "key": sought.key,
        "labels": list(sought.labels),
        "filters": filter_tags(sought.filters),
        "before": sought.before,
    }


def _labelled(row: Any) -> Labelled:  # noqa: ANN401 - a row of the search statement
    return Labelled(
        passage_id=row.passage_id,
        uri=row.uri,
        title=row.title,
        text=row.content,
        labels=row.labels,
        similarity=float(row.similarity),
    )


def _hit(row: Any) -> Hit:  # noqa: ANN401 - a row of the search statement
    return Hit(
        passage_id=row.passage_id,
        uri=row.uri,
        title=row.title,
        heading=row.heading,
        text=row.content,
        tokens=row.tokens,
        score=float(row.score),
        vector_rank=row.vector_rank,
        text_rank=row.text_rank,
        similarity=row.similarity,
        bm25=row.bm25,
        coverage=row.coverage,
        words=tuple(row.words or ()),
    )
