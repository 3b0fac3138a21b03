"""Codes, passages, selection and measures, without a store or a model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights import errors
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles, digest
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.codes import codes, lexemes
from insights.knowledge.evaluation import measure, read_judgements, read_queries
from insights.knowledge.selection import Floor, Selection
from insights.model import Document, Hit

# --- codes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Error E1234, again e1234.", ["e1234"]),
        ("See KB-0042 (0x80070005)", ["kb-0042", "0x80070005"]),
        ("host 10.0.0.1: part HP/4250-dtn", ["10.0.0.1", "hp/4250-dtn"]),
        ("plain words, 42 and well-known ones", []),
    ],
)
def test_codes(text: str, wanted: list[str]) -> None:
    assert codes(text) == wanted


@given(st.text())
def test_lexemes_of_any_text_are_quoted_safely(text: str) -> None:
    for lexeme in lexemes(codes(text)).split():
        assert lexeme.startswith("'=")
        assert lexeme.endswith("':1A")
        assert not {"'", "\\"} & set(lexeme[2:-4])


# --- passages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    return ModelFiles()


def _chunker(files: ModelFiles, tokens: int, overlap: int = 0) -> Chunker:
    return Chunker(files.tokenizer, Chunking(tokens=tokens, overlap=overlap), 256)


def test_passages_keep_their_heading_path_and_lose_no_word(files: ModelFiles) -> None:
    text = (
        "# Manual\n\nIntro words.\n\n## Setup\n\n"
        + "Plug it in. " * 12
        + "\n\n### Cables\n\n"
        + "Use the blue one. " * 12
        + "\n\n"
        "```\n# no heading\n```\n\n## Repair\n\n" + "Turn the screw left. " * 40
    )
    chunks = _chunker(files, 40).cut(Document(uri="m", title="Manual", text=text))
    assert all(chunk.tokens <= 40 for chunk in chunks)
    assert "".join("".join(c.text for c in chunks).split()) == "".join(text.split())
    paths = [chunk.heading for chunk in chunks]
    assert paths[-1] == "Repair"
    assert "Setup > Cables" in paths
    assert not any("no heading" in path for path in paths)


def test_what_is_embedded_always_fits_the_model(files: ModelFiles) -> None:
    chunker = _chunker(files, 240)
    document = Document(uri="m", title="A title " * 30, text="word " * 239, is_markdown=False)
    chunk = chunker.cut(document)[0]
    assert chunker.embedded(document.title, chunk) == chunk.text
    assert chunker.embedded("Short title", chunk).startswith("Short title\nword")


def test_overlap_repeats_words(files: ModelFiles) -> None:
    text = " ".join(f"sentence {n} ends here." for n in range(60))
    document = Document(uri="m", title="", text=text, is_markdown=False)
    chunks = _chunker(files, 50, overlap=20).cut(document)
    apart = _chunker(files, 50).cut(document)
    assert sum(chunk.tokens for chunk in chunks) > 1.2 * sum(chunk.tokens for chunk in apart)


def test_overlap_must_be_smaller_than_the_passage(files: ModelFiles) -> None:
    with pytest.raises(errors.KnowledgeError, match="overlap"):
        _chunker(files, 50, overlap=50)
    with pytest.raises(errors.KnowledgeError, match="do not fit"):
        _chunker(files, 256)


# --- the model's files ----------------------------------------------------------------------------


def test_a_swapped_model_is_refused(tmp_path: Path) -> None:
    for name, content in (
        ("modules.json", [{"path": "1_Pooling", "type": "x.Pooling"}]),
        ("config.json", {"max_position_embeddings": 128}),
        ("1_Pooling/config.json", {"word_embedding_dimension": 8}),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    pinned = ModelFiles(tmp_path).model
    assert (pinned.dimensions, pinned.max_tokens) == (8, 128)
    assert ModelFiles(tmp_path, sha256=pinned.sha256).model == pinned
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(errors.ModelError, match="not the pinned model"):
        ModelFiles(tmp_path, sha256=pinned.sha256)


def test_a_swapped_reranker_is_refused_and_an_empty_folder_too(tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    judge.mkdir()
    with pytest.raises(errors.ModelError, match="is no folder of a model"):
        EmbedderClient(ModelFiles(), reranker=judge)
    (judge / "model.safetensors").write_bytes(b"weights")
    pin = digest(judge)
    EmbedderClient(ModelFiles(), reranker=judge, reranker_sha256=pin).close()
    (judge / "vocab.txt").write_text("one more\n")
    with pytest.raises(errors.ModelError, match="not the pinned model") as raised:
        EmbedderClient(ModelFiles(), reranker=judge, reranker_sha256=pin)
    assert "embedding.reranker_sha256" in raised.value.fix


def test_the_hash_to_pin_is_printed(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    command = [sys.executable, "-m", "insights.embedding.files", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ModelError, match=r"modules\.json"):
        ModelFiles(tmp_path)


# --- selection ------------------------------------------------------------------------------------


def _hit(text: str, similarity: float | None = 0.6, **changed: object) -> Hit:
    values: dict[str, object] = {
        "passage_id": 1, "uri": "u", "title": "t", "heading": "", "text": text,
        "tokens": len(text.split()), "score": 1.0, "vector_rank": 1, "text_rank": 1,
        "similarity": similarity, "bm25": 1.0, "words": (), "coverage": 0.0,
    }  # fmt: skip
    return Hit(**(values | changed))  # type: ignore[arg-type]


def _fates(selection: Selection, *hits: Hit) -> list[str]:
    return list(selection.fates([(hit, None) for hit in hits]))


def test_nothing_relevant_enough_means_nothing() -> None:
    far = _hit("about something else", similarity=0.05)
    assert _fates(Selection(), far) == ["irrelevant"]


def test_an_exact_code_is_relevant_however_far() -> None:
    assert _fates(Selection(), _hit("E1234", 0.01, words=("=e1234",))) == ["used"]


def test_near_duplicates_are_given_once_but_not_other_codes() -> None:
    text = "restart the spooler service and clear the queue of the printer by hand now code"
    kept = _fates(Selection(), _hit(f"{text} E1"), _hit(f"{text}! E1"), _hit(f"{text} E2"))
    assert kept == ["used", "duplicate", "used"]


def test_budget_passes_over_what_does_not_fit() -> None:
    selection = Selection(count=3, max_tokens=10)
    hits = _hit("a b c d e f"), _hit("g h i j k l"), _hit("m n o"), _hit("p")
    assert _fates(selection, *hits) == ["used", "over budget", "used", "used"]
    assert _fates(Selection(count=1), *hits)[1:] == ["beyond count"] * 3


def test_the_reranker_overrules_similarity() -> None:
    floor = Floor(relevance=0.5)
    assert not floor.passes(_hit("x", 0.9), 0.1)
    assert floor.passes(_hit("x", 0.0), 0.9)


# --- measures -------------------------------------------------------------------------------------


def test_measures_by_hand() -> None:
    judgements = {"q": {"a": 1, "b": 1, "c": 0}}
    figures = measure({"q": ["c", "a", "x"]}, judgements)
    assert figures.recall_10 == 0.5
    assert figures.mrr == 0.5
    assert figures.ndcg_10 == pytest.approx(0.6309 / 1.6309, abs=1e-4)


def test_trec_files(tmp_path: Path) -> None:
    (tmp_path / "q").write_text("1\tprinter jams\n\n2\tvpn\n")
    (tmp_path / "r").write_text("1 0 my file.md 2\n1 0 b.md 0\n")
    assert read_queries(tmp_path / "q") == {"1": "printer jams", "2": "vpn"}
    assert read_judgements(tmp_path / "r") == {"1": {"my file.md": 2, "b.md": 0}}
    (tmp_path / "r").write_text("1 0 b.md\n")
    with pytest.raises(errors.KnowledgeError, match="expected"):
        read_judgements(tmp_path / "r")
