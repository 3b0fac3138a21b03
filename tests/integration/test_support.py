"""Support as the store counts it: what sources say scores high, what nobody said scores low."""

from collections.abc import Iterator

import pytest

from demo.data.articles import FOLDER
from insights.documents.folder import Folder
from insights.embedding.files import ModelFiles
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.indexer import Collection, Indexer
from insights.model import Claims
from insights.store.passages import PassageStore
from insights.store.postgres import Store
from insights.store.support import SupportStore
from tests.wordbag import WordBag


@pytest.fixture
def grounds(store_url: str) -> Iterator[SupportStore]:
    """Where the demo's articles tell which words are rare."""
    store = Store(store_url, connections=2).open()
    chunker = Chunker(ModelFiles().tokenizer, Chunking(), 256)
    Indexer(Collection(name="kb"), Folder(FOLDER), PassageStore(store), WordBag(), chunker).sync()
    yield SupportStore(store)
    store.close()


_PASSAGE = "Printer queue reset\nStop the print spooler, delete the stuck jobs and restart it."
_SOURCES = {"row.body": "Printer on floor 3 shows jobs as stuck.", "passage.1": _PASSAGE}


def _shares(grounds: SupportStore, *sentences: str) -> dict[str, float | None]:
    [found] = grounds.support([Claims(sentences=sentences, sources=_SOURCES)], ["kb"])
    return {sentence: one.share for sentence, one in zip(sentences, found, strict=True)}


def test_what_the_sources_say_scores_high_and_inventions_low(grounds: SupportStore) -> None:
    said = "Stopping the print spooler and deleting stuck jobs resets the printer queue."
    partly = "Restart the spooler, then replace the fuser unit."
    invented = "Ask the vendor to replace the fuser unit under warranty."
    found = _shares(grounds, said, partly, invented, "It is so.")
    assert found[said] == pytest.approx(1.0)
    assert 0.2 < (found[partly] or 0) < 0.8
    assert (found[invented] or 0) < 0.2
    assert found["It is so."] is None  # only stop words: nothing was claimed


def test_rare_words_decide(grounds: SupportStore) -> None:
    # Were all words alike, these would be 2/3 and 3/4: one that nobody ever said weighs more.
    one, two = "Restart the printer zyxgate.", "Restart the zyxgate printer spooler."
    found = _shares(grounds, one, two)
    assert 0.2 < (found[one] or 0) < 0.66
    assert 0.2 < (found[two] or 0) < 0.74


def test_the_source_that_says_most_is_named(grounds: SupportStore) -> None:
    claims = [
        Claims(sentences=("Delete the stuck jobs.", "It is on floor 3."), sources=_SOURCES),
        Claims(sentences=("It's a quote's \\ test",), sources={}),
    ]
    first, second = grounds.support(claims, ["kb"])
    assert [one.source for one in first] == ["passage.1", "row.body"]
    assert [(one.share, one.source) for one in second] == [(0.0, "")]


def test_without_collections_every_word_weighs_the_same(grounds: SupportStore) -> None:
    [found] = grounds.support([Claims(sentences=("stuck zyxgate",), sources=_SOURCES)], [])
    assert found[0].share == pytest.approx(0.5)
