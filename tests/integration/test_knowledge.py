"""Collections in a real store: synchronising, searching, and what a crash leaves behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from insights import errors
from insights.documents.folder import Folder
from insights.documents.messages import Limits
from insights.embedding.files import ModelFiles
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.indexer import Collection, Indexer, SyncReport
from insights.knowledge.retriever import HybridRetriever
from insights.knowledge.selection import Selection
from insights.model import Question, SearchTuning
from insights.store import derived
from insights.store.passages import PassageStore, vector_index
from insights.store.postgres import Store
from tests.papers import pdf_of
from tests.wordbag import WordBag

_ARTICLES = {
    "printer.md": "---\ntenant: 1\n---\n# Printer queue\n\nClear the printer queue, code E1234.\n",
    "vpn.md": "---\ntenant: 2\n---\n# VPN login\n\nReset the token before the VPN sign in.\n",
    "mail.md": "# Mail quota\n\nArchive old mail when the mailbox is full.\n",
}


class Site:
    """A folder, a store, and what works on them."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.passages = PassageStore(store)
        self.embedder = WordBag()
        for name, text in _ARTICLES.items():
            (folder / name).write_text(text)

    def sync(self, embedder: WordBag | None = None, tokens: int = 40) -> SyncReport:
        chunker = Chunker(ModelFiles().tokenizer, Chunking(tokens=tokens), 256)
        limits = Limits(cpu_s=2)
        with Folder(self.folder, filters={"tenant": "integer"}, limits=limits) as documents:
            return Indexer(
                Collection(name="kb"), documents, self.passages, embedder or self.embedder, chunker
            ).sync()

    def find(self, query: str, *embedders: WordBag, **filters: str) -> list[str]:
        retriever = HybridRetriever(
            ["kb"],
            self.passages,
            embedders or [self.embedder],
            filter_types={"tenant": "integer"},
            selection=Selection(count=5),
        )
        return [passage.uri for passage in retriever.retrieve([query], [filters])[0]]


@pytest.fixture
def site(tmp_path: Path, store_url: str) -> Iterator[Site]:
    store = Store(store_url, connections=3).open()
    folder = tmp_path / "kb"
    folder.mkdir()
    yield Site(folder, store)
    store.close()


def test_a_folder_is_followed_by_content(site: Site) -> None:
    assert site.sync().added == 3
    embedded = site.embedder.texts
    again = site.sync()
    assert (again.unchanged, again.embedded, site.embedder.texts) == (3, 0, embedded)

    (site.folder / "mail.md").write_text("# Mail quota\n\nAsk for a larger mailbox.\n")
    (site.folder / "vpn.md").rename(site.folder / "remote.md")
    (site.folder / "printer.md").unlink()
    (site.folder / "new.md").write_text("# Badge\n\nThe badge opens the door.\n")
    report = site.sync()
    assert (report.added, report.changed, report.moved, report.deleted) == (1, 1, 1, 1)
    assert report.embedded == 2
    assert site.find("reset vpn token") == ["remote.md"]
    assert site.find("larger mailbox") == ["mail.md"]
    assert site.find("printer queue") == []


def test_a_document_that_kills_its_reader_leaves_the_others_in(site: Site) -> None:
    endless = pdf_of(b"BT /F1 12 Tf (word) Tj ET\n" * 100_000, pages=200)
    (site.folder / "b-bomb.pdf").write_bytes(endless)
    (site.folder / "key.md").symlink_to("/etc/passwd")
    report = site.sync()
    assert (report.added, sorted(report.problems)) == (3, ["b-bomb.pdf", "key.md"])
    assert "2 seconds of processor time" in report.problems["b-bomb.pdf"]
    assert "is a link" in report.problems["key.md"]
    assert site.passages.status()[0].problems == report.problems


def test_a_broken_file_is_reported_and_its_last_good_version_stays(site: Site) -> None:
    site.sync()
    (site.folder / "mail.md").write_bytes(b"\n")
    (site.folder / "scan.pdf").write_bytes(b"%PDF-1.4 cut off")
    (site.folder / "new.md").write_text("# Badge\n\nThe badge opens the door.\n")
    report = site.sync()
    assert sorted(report.problems) == ["mail.md", "scan.pdf"]
    assert (report.added, report.deleted) == (1, 0)
    assert site.find("archive old mail") == ["mail.md"]
    assert site.passages.status()[0].problems == report.problems


def test_an_unmounted_folder_deletes_nothing(site: Site, tmp_path: Path) -> None:
    site.sync()
    site.folder.rename(tmp_path / "away")
    with pytest.raises(errors.KnowledgeError, match="no such folder"):
        site.sync()
    assert site.passages.status()[0].documents == 3


def test_a_crash_half_way_leaves_whole_documents(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.sync()
    monkeypatch.setattr("insights.knowledge.indexer._BATCH_PASSAGES", 1)
    for name in _ARTICLES:
        (site.folder / name).write_text("# Rewritten\n\n" + "brand new words here. " * 40)
    site.embedder.fail_after = site.embedder.calls + 1
    with pytest.raises(RuntimeError, match="power cut"):
        site.sync()
    site.embedder.fail_after = None
    # One document is new as a whole; the others are old as a whole, and are found.
    assert set(site.find("brand new words here")) == {"mail.md"}
    assert site.find("reset vpn token") == ["vpn.md"]
    assert site.find("printer queue E1234") == ["printer.md"]
    report = site.sync()
    assert (report.changed, report.unchanged) == (2, 1)


def test_other_settings_cut_anew(site: Site) -> None:
    site.sync(tokens=40)
    assert site.sync(tokens=30).changed == 3


def test_an_exact_code_finds_its_passage(site: Site) -> None:
    for number in range(30):
        text = f"# Printer error\n\nClear the printer queue, code E{2000 + number}.\n"
        (site.folder / f"e{number}.md").write_text(text)
    site.sync()
    assert site.find("customer sees e2017 on the display")[0] == "e17.md"
    assert site.find("E20")[:1] != ["e17.md"]


def test_filters_never_show_another_tenant(site: Site) -> None:
    site.sync()
    query = "reset the vpn token or clear the printer queue"
    assert set(site.find(query)) == {"vpn.md", "printer.md"}
    assert site.find(query, tenant="2") == ["vpn.md"]
    assert site.find(query, tenant=" 01 ") == ["printer.md"]
    for value in ("3", "", "two"):
        assert site.find(query, tenant=value) == []
    with pytest.raises(errors.SettingsError, match="no filter 'owner'"):
        site.find(query, owner="me")


def test_nothing_relevant_gives_nothing(site: Site) -> None:
    site.sync()
    assert site.find("quarterly payroll taxes") == []
    assert site.find(" \x00 ") == []


def test_a_new_model_embeds_beside_the_old_and_takes_over_when_complete(site: Site) -> None:
    site.sync()
    new = WordBag("wider", dimensions=96)
    assert site.passages.usable(["kb"], [new.model, site.embedder.model]) == 1
    assert site.find("reset vpn token", new, site.embedder) == ["vpn.md"]
    report = site.sync(new)
    assert (report.unchanged, report.embedded) == (3, 3)
    assert site.passages.usable(["kb"], [new.model, site.embedder.model]) == 0
    assert site.find("reset vpn token", new, site.embedder) == ["vpn.md"]
    assert site.find("reset vpn token", site.embedder) == ["vpn.md"]  # the way back


def test_explain_says_why(site: Site) -> None:
    site.sync()
    retriever = HybridRetriever(["kb"], site.passages, [site.embedder])
    first = retriever.explain(["vpn token E77"])[0][0]
    assert (first.hit.uri, first.fate) == ("vpn.md", "used")
    assert (first.hit.vector_rank, first.hit.text_rank) == (1, 1)
    assert set(first.hit.words) == {"vpn", "token"}


# --- plans ----------------------------------------------------------------------------------------


@pytest.fixture
def filled(site: Site, store_url: str) -> Site:
    """6,000 passages: one in 300 belongs to tenant 7, every other one to tenant 1."""
    model_id = site.passages.declare_model(site.embedder.model)
    site.passages.declare("kb", "english")
    with site.store.connection() as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute("UPDATE store.collection SET changed_passages = 6000")
        connection.execute(
            """
            WITH d AS (
                INSERT INTO store.document (collection_id, uri, title, content_hash)
                SELECT 1, 'd' || n, 't', gen_random_uuid() FROM generate_series(1, 6000) n
                RETURNING document_id
            ), p AS (
                INSERT INTO store.passage
                    (document_id, collection_id, ordinal, content, tokens, filters, search)
                SELECT document_id, 1, 0, 'x', 10,
                    ARRAY['tenant=' || CASE WHEN document_id %% 300 = 0 THEN 7
                                            WHEN document_id %% 2 = 0 THEN 1 ELSE 2 END],
                    to_tsvector('simple', 'w' || document_id %% 200 || ' common')
                FROM d RETURNING passage_id
            )
            INSERT INTO store.embedding (passage_id, model_id, embedding)
            SELECT passage_id, %s,
                (SELECT array_agg(random() - 0.5) FROM generate_series(1, 64) WHERE passage_id > 0)
                    ::real[]::vector::halfvec
            FROM p
            """,
            (model_id,),
        )
    derived.make(store_url, [vector_index(model_id, site.embedder.model)])
    site.passages.finish(1, model_id, {})
    with site.store.connection() as connection:
        connection.execute("ANALYZE store.passage, store.embedding, store.lexeme")
    return site


class Deaf(WordBag):
    """Knows some words, as a model does: codes and names are nothing to it."""

    def _vector(self, text: str) -> bytes:
        known = [word for word in text.split() if word.islower() and word.isalpha()]
        return super()._vector(" ".join(known))


@pytest.fixture
def noisy(site: Site) -> Site:
    """Many articles of the words that every ticket has, and two that hardly have them."""
    for number in range(40):
        words = "please call back the customer waits since this morning machine shows update again"
        text = " ".join([*words.split()[number % 5 :], f"w{number}"])
        (site.folder / f"noise{number}.md").write_text(f"# Note {number}\n\n{text}\n")
    (site.folder / "code.md").write_text("# Fan\n\nReplace the fan after KX-4471 was reported.\n")
    (site.folder / "names.md").write_text("# Contract\n\nSigned by Brady and Neves in spring.\n")
    site.embedder = Deaf()
    site.sync()
    return site


def test_a_rare_code_amid_words_that_many_passages_have_comes_first(noisy: Site) -> None:
    assert noisy.find("Since KX-4471 nobody here knows why, please update again")[0] == "code.md"


def test_names_that_the_model_does_not_know_come_first(noisy: Site) -> None:
    retriever = HybridRetriever(["kb"], noisy.passages, [noisy.embedder])
    hits = retriever.search(["please Kollege fragt nach Neves Brady again"])[0]
    assert hits[0].uri == "names.md"


def test_a_code_that_half_of_all_passages_have_says_little(noisy: Site) -> None:
    for number in range(40):
        path = noisy.folder / f"noise{number}.md"
        path.write_text(path.read_text() + "\nSeen on KX-4471.\n")
    noisy.sync()
    assert noisy.find("Clear the printer queue of KX-4471")[0] == "printer.md"


def _plan(site: Site, query: str, tuning: SearchTuning | None = None, **filters: str) -> str:
    vector = site.embedder.embed([query], "query")[0]
    question = Question(text=query, codes="", vector=vector, filters=filters)
    plan = site.passages.plan(["kb"], site.embedder.model, question, tuning or SearchTuning())
    return "\n".join(plan)


def test_plans_use_the_indexes_they_were_made_for(filled: Site) -> None:
    # The default ef_search looks at so much that 6,000 passages are searched exactly instead.
    wide = _plan(filled, "w17", SearchTuning(ef_search=100), tenant="1")
    assert "Index Scan using embedding_hnsw_1" in wide
    assert "Bitmap Index Scan on passage_search" in wide

    selective = _plan(filled, "w17", tenant="7")
    nearest = selective.split("CTE nearest")[1].split("CTE exact")[0]
    assert "passage_filters" in nearest
    assert "embedding_hnsw_1" not in nearest


def test_a_selective_filter_still_fills_the_depth(filled: Site) -> None:
    retriever = HybridRetriever(
        ["kb"], filled.passages, [filled.embedder], filter_types={"tenant": "integer"}
    )
    hits = retriever.search(["w150"], [{"tenant": "7"}], deep=True)[0]
    assert len(hits) == 20


def test_an_index_scan_that_ends_early_is_repeated_exactly(filled: Site) -> None:
    tuning = SearchTuning(ef_search=10, max_scan_tuples=10, depth=50)
    retriever = HybridRetriever(
        ["kb"],
        filled.passages,
        [filled.embedder],
        filter_types={"tenant": "integer"},
        tuning=tuning,
    )
    hits = retriever.search(["common"], [{"tenant": "1"}], deep=True)[0]
    assert sum(hit.vector_rank is not None for hit in hits) == 50
