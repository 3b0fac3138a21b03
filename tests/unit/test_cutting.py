"""Passages cut by name: in windows of one length, and where the subject changes."""

import struct
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from insights import errors
from insights.embedding.files import ModelFiles
from insights.knowledge import cutting
from insights.knowledge.chunking import By, Chunker, Chunking
from insights.model import Chunk, Document
from insights.ports import Documents  # noqa: TC001 - named in a cast only
from insights.site import files as settings_files
from insights.wiring import knowledge
from insights.wiring.app import App  # noqa: TC001 - named in a cast only

_SUBJECTS = ("pump", "printer", "invoice")
_TEXT = (
    "The pump leaks. The pump seal is worn. Replace the pump seal. "
    "The printer jams. The printer tray is full. Empty the printer tray. "
    "The invoice is late. An invoice needs a number. Send the invoice again."
)


def _embed(texts: Sequence[str]) -> list[bytes]:
    """Vectors that know three subjects and nothing else."""
    made = []
    for text in texts:
        found = [float(subject in text.casefold()) for subject in _SUBJECTS]
        length = sum(found) ** 0.5 or 1.0
        made.append(struct.pack(">HH3e", 3, 0, *(value / length for value in found)))
    return made


def _chunker(by: By, tokens: int = 60, overlap: int = 0) -> Chunker:
    return Chunker(ModelFiles().tokenizer, Chunking(tokens, overlap, by), 256, _embed)


def _texts(chunks: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


def _cut(chunker: Chunker, text: str, *, is_markdown: bool = False) -> list[Chunk]:
    return chunker.cut(Document(uri="a", title="", text=text, is_markdown=is_markdown))


def test_semantic_passages_end_where_the_subject_does() -> None:
    made = _texts(_cut(_chunker("semantic"), _TEXT))
    assert [text.split()[1] for text in made] == list(_SUBJECTS)
    assert " ".join(made) == _TEXT


def test_semantic_passages_are_never_longer_than_they_may_be() -> None:
    made = _cut(_chunker("semantic", 20), _TEXT * 3)
    assert max(chunk.tokens for chunk in made) <= 20
    assert sum(len(chunk.text.split()) for chunk in made) == len((_TEXT * 3).split())


def test_sentences_much_alike_are_not_parted() -> None:
    (one,) = _cut(_chunker("semantic"), "The pump leaks. The pump is old. The pump is loud.")
    assert one.text.endswith("loud.")


def test_a_heading_stays_with_what_it_heads() -> None:
    text = "# Pump\n\nThe pump leaks. It is an old pump.\n\n# Printer\n\nThe printer jams. "
    text += "Old printer.\n"
    made = _cut(_chunker("semantic", 20), text, is_markdown=True)
    assert [chunk.heading for chunk in made if "jams" in chunk.text] == ["Printer"]
    assert not any(chunk.text.endswith("# Printer") for chunk in made)


def test_fixed_windows_are_full_and_share_what_they_should() -> None:
    text = " ".join(f"word{number}" for number in range(400))
    plain = _texts(_cut(_chunker("fixed", 60), text))
    assert " ".join(plain) == text
    counts = [chunk.tokens for chunk in _cut(_chunker("fixed", 60), text)]
    assert min(counts[:-1]) > 50
    assert max(counts) <= 60
    shared = _texts(_cut(_chunker("fixed", 60, 20), text))
    for one, other in pairwise(shared):
        first = other.split()[0]
        assert first in one.split()[-10:]
        assert first not in one.split()[:2]


@pytest.mark.parametrize("by", ["fixed", "semantic"])
def test_what_has_no_blank_is_cut_all_the_same(by: By) -> None:
    for text in ("QUJD" * 20_000, "ต้องเปลี่ยนซีลเชิงกลหลังจากใช้งานสองพันชั่วโมง" * 40):
        made = _cut(_chunker(by), text)
        assert max(len(chunk.text) for chunk in made) <= 60 * 12
        assert sum(len(chunk.text) for chunk in made) == len(text)


@pytest.mark.parametrize("by", ["fixed", "semantic"])
def test_no_passage_has_one_fence_of_two(by: By) -> None:
    code = "\n".join(f"value_{number} = compute({number}, 'abc')" for number in range(60))
    made = _cut(_chunker(by), f"Run this.\n\n```\n{code}\n```\n\nDone.", is_markdown=True)
    assert all(chunk.text.count("```") % 2 == 0 for chunk in made)


def test_a_long_document_takes_no_time_and_tells_that_it_lives() -> None:
    text = "".join(f"The {_SUBJECTS[at // 7 % 3]} has part {at}. " for at in range(5_000))
    told: list[float] = []
    began = time.process_time()
    chunker = _chunker("semantic")
    made = chunker.cut(
        Document(uri="a", title="", text=text, is_markdown=False),
        lambda: told.append(time.process_time()),
    )
    assert time.process_time() - began < 20
    assert len(told) > 15
    assert len(made) > 200
    blanks = "The end. " + " \t" * 200_000 + "\n" * 200_000
    began = time.process_time()
    assert len(cutting.sentences(blanks)) == 1 + 0
    assert time.process_time() - began < 5


def test_ways_differ_in_their_fingerprint_and_the_default_is_as_it_was() -> None:
    prints = {by: _chunker(by).fingerprint for by in ("recursive", "fixed", "semantic")}
    assert prints["recursive"] == b"(2, 60, 0)"
    assert len(set(prints.values())) == 3


def test_semantic_needs_what_embeds() -> None:
    with pytest.raises(errors.KnowledgeError, match="nothing embeds"):
        Chunker(ModelFiles().tokenizer, Chunking(by="semantic"), 256)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ('chunking = "semantic"\noverlap_tokens = 20\n', "share nothing"),
        ('chunking = "sentences"\n', "recursive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, setting: str, why: str) -> None:
    (tmp_path / "insights.toml").write_text(f'[collection.kb]\nfolder = "kb"\n{setting}')
    with pytest.raises(errors.SettingsError, match=why):
        settings_files.load(tmp_path / "insights.toml")


def test_a_collection_of_the_settings_is_cut_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "insights.toml").write_text(
        '[collection.kb]\nfolder = "kb"\nchunking = "semantic"\nchunk_tokens = 60\n'
    )
    embedder = SimpleNamespace(
        tokenizer=ModelFiles().tokenizer,
        model=ModelFiles().model,
        embed=lambda texts, _kind: _embed(texts),
    )
    app = SimpleNamespace(
        settings=settings_files.load(tmp_path / "insights.toml"),
        embedders=lambda: [embedder],
        passages=None,
    )
    made = knowledge.indexer(cast("App", app), "kb", cast("Documents", object()))
    found = _texts(_cut(made._chunker, _TEXT))
    assert [text.split()[1] for text in found] == list(_SUBJECTS)
