"""The daemon's job for a collection, over a source that is a dictionary and a clock of our own."""
# ruff: noqa: ARG002 - the fakes have the ports' signatures

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import pytest

from insights import errors
from insights.embedding.files import ModelFiles
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.following import Following
from insights.knowledge.indexer import Collection, Indexer
from insights.knowledge.stream import StreamDocuments
from insights.model import (
    Bookmark,
    Document,
    Fingerprint,
    IndexedDocument,
    KnownDocument,
    Lease,
    Page,
    Row,
    StreamSpec,
    Window,
)
from tests.wordbag import WordBag

if TYPE_CHECKING:
    from insights.ports import Passages, Source

_SPEC = StreamSpec(
    name="solved", source="erp", key=("id",), inputs=("text",), cursor="at", overlap_s=60.0
)


class _Table:
    """A source of one table: key → (cursor, text). Counts the rows each walk read."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, str]] = {}
        self.read: list[tuple[str, int]] = []

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(identity="a", position=None)

    def window(self, stream: StreamSpec, low: str | None) -> Window:
        high = str(max((at for at, _ in self.rows.values()), default=0))
        return Window(rows=len(self.rows), low=low, high=high, safe_high=high)

    def page(self, stream: StreamSpec, after: Bookmark | None, *, by: str) -> Page:
        low = int(after.cursor) if after is not None and after.cursor else -1
        chosen = {key: row for key, row in self.rows.items() if by == "key" or row[0] >= low}
        self.read.append((by, len(chosen)))
        lines = [
            f"{key}\t{uuid.uuid5(uuid.NAMESPACE_URL, text)}\t{at}\n"
            for key, (at, text) in chosen.items()
        ]
        return Page(rows=len(lines), block="".join(lines).encode(), last=None, complete=True)

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        return [
            Row(key=key, input_hash=b"", cursor=None, values={"text": self.rows[key][1]})
            for key in keys
            if key in self.rows
        ]


class _Passages:
    """What the indexer needs of the store, in memory."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[bytes, str]] = {}
        self.problems: dict[str, str] = {}

    def declare(self, name: str, language: str, stream: str | None = None) -> int:
        return 1

    def forgotten(self, collection_id: int, uris: Sequence[str]) -> set[str]:
        return set()

    def declare_model(self, model: object) -> int:
        return 1

    def known(self, collection_id: int) -> dict[str, KnownDocument]:
        return {uri: KnownDocument(content, uri) for uri, (content, _) in self.documents.items()}

    def put(
        self, collection_id: int, language: str, model_id: int, documents: Sequence[IndexedDocument]
    ) -> None:
        for one in documents:
            self.documents[one.document.uri] = (one.content_hash, one.document.text)

    def move(self, collection_id: int, moves: Sequence[tuple[str, str]]) -> None:
        assert not moves

    def delete(self, collection_id: int, uris: Sequence[str]) -> None:
        for uri in uris:
            del self.documents[uri]

    def without_vector(self, collection_id: int, model_id: int, page: int) -> list[object]:
        return []

    def finish(self, collection_id: int, model_id: int, problems: dict[str, str]) -> None:
        self.problems = dict(problems)


class _Leases:
    """A lease that others may hold or take."""

    def __init__(self) -> None:
        self.free = True
        self.keeps = True
        self.epoch = 1

    def take(self, name: str) -> Lease | None:
        assert name == "collection solved"
        return Lease(name=name, token="t", epoch=self.epoch, ttl_s=60.0) if self.free else None

    def renew(self, lease: Lease) -> bool:
        return self.keeps


class _Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.table, self.store, self.leases = _Table(), _Passages(), _Leases()
        self.job = self.build()

    def build(self) -> Following:
        documents = StreamDocuments(
            cast("Source", self.table), _SPEC, title=None, text=["text"], clock=lambda: self.now
        )
        indexer = Indexer(
            Collection(name="solved"),
            documents,
            cast("Passages", self.store),
            WordBag(),
            Chunker(ModelFiles().tokenizer, Chunking(), 256),
        )
        return Following(
            "solved",
            indexer,
            self.leases,
            600.0,
            stream=documents,
            compare_s=3600.0,
            clock=lambda: self.now,
        )

    def round(self, after_s: float = 600.0) -> None:
        self.now += after_s
        assert self.job.run_once() is False

    @property
    def texts(self) -> dict[str, str]:
        return {uri: text for uri, (_, text) in self.store.documents.items()}


@pytest.fixture
def bench() -> _Bench:
    made = _Bench()
    made.table.rows = {f"k{n}": (n, f"case {n}") for n in range(50)}
    made.round()
    assert len(made.texts) == 50
    return made


def test_changes_are_found_by_the_cursor_alone(bench: _Bench) -> None:
    bench.round()  # by now the first comparison's mark is older than the overlap
    bench.table.rows["k7"] = (60, "case 7, solved otherwise")
    bench.table.rows["k50"] = (61, "a new case")
    bench.table.read.clear()
    bench.round()
    assert bench.table.read == [("cursor", 3)]  # these two, and the one at the mark
    assert (bench.texts["k7"], bench.texts["k50"]) == ("case 7, solved otherwise", "a new case")


def test_a_row_committed_late_is_read_within_the_overlap(bench: _Bench) -> None:
    bench.round()
    bench.table.rows["k60"] = (60, "stamped and committed")
    bench.round(30.0)
    bench.table.rows["k55"] = (55, "stamped earlier, committed later")
    bench.round(30.0)
    assert bench.texts["k55"] == "stamped earlier, committed later"


def test_comparisons_find_what_is_gone_and_what_has_no_new_cursor(bench: _Bench) -> None:
    del bench.table.rows["k3"]
    bench.table.rows["k4"] = (4, "rewritten without a stamp")
    bench.round(600.0)  # still rereads all: no mark has ripened
    bench.round(600.0)
    assert "k3" in bench.texts
    bench.round(3600.0)
    assert "k3" not in bench.texts
    assert bench.texts["k4"] == "rewritten without a stamp"


def test_a_failed_round_is_read_again(bench: _Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.round()
    bench.table.rows["k70"] = (70, "a case")
    with monkeypatch.context() as broken:
        broken.setattr(bench.store, "put", _refuse)
        with pytest.raises(errors.StoreUnavailable):
            bench.round()
    bench.table.rows["k90"] = (90, "another")
    bench.round()
    bench.round()
    assert {"k70", "k90"} <= set(bench.texts)


def test_many_rows_that_vanish_at_once_are_kept_and_reported(bench: _Bench) -> None:
    bench.table.rows = {"k1": (1, "case 1")}
    bench.round(3600.0)
    assert len(bench.texts) == 50
    assert "insights knowledge sync solved" in bench.store.problems["*"]


def test_another_daemon_is_left_alone_and_taken_over_with_a_comparison(bench: _Bench) -> None:
    bench.leases.free = False
    bench.table.read.clear()
    bench.round()
    assert bench.table.read == []
    bench.leases.free, bench.leases.epoch = True, 3
    bench.round()
    assert [by for by, _ in bench.table.read] == ["key"]


def test_a_lost_lease_stops_the_round(bench: _Bench) -> None:
    bench.table.rows["k70"] = (70, "a case")
    bench.leases.keeps = False
    with pytest.raises(errors.Fenced):
        bench.round()


def _refuse(*_: object) -> None:
    raise errors.StoreUnavailable("the store does not answer", where="store")


def test_the_lease_is_renewed_while_documents_are_slow_or_cannot_be_read(bench: _Bench) -> None:
    class Slow:
        def listing(self) -> list[tuple[str, bytes]]:
            return [(f"{number}.pdf", bytes([number])) for number in range(6)]

        def load(self, uri: str, *_: object) -> Document:
            bench.now += 10.0
            raise errors.KnowledgeError("took longer than 10 seconds to read", where=uri)

    renewed: list[float] = []
    indexer = Indexer(
        Collection(name="solved"),
        Slow(),
        cast("Passages", bench.store),
        WordBag(),
        Chunker(ModelFiles().tokenizer, Chunking(), 256),
        clock=lambda: bench.now,
    )
    report = indexer.sync(lambda _: renewed.append(bench.now))
    assert len(report.problems) == 6
    assert len(renewed) >= 3
