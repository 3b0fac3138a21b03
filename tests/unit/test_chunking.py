"""Passages that say something, of a length that fits, in any script and whatever the text."""

import re

import pytest

from insights.embedding.files import ModelFiles
from insights.knowledge.chunking import Chunker, Chunking
from insights.model import Chunk, Document


@pytest.fixture(scope="module")
def chunker() -> Chunker:
    return Chunker(ModelFiles().tokenizer, Chunking(tokens=60), 256)


def _cut(chunker: Chunker, text: str, *, is_markdown: bool = True) -> list[Chunk]:
    return chunker.cut(Document(uri="a", title="", text=text, is_markdown=is_markdown))


@pytest.mark.parametrize("mark", ["```", "~~~~", "```python"])
def test_no_passage_has_one_fence_of_two(chunker: Chunker, mark: str) -> None:
    closing = re.sub(r"\w", "", mark)
    code = "\n".join(f"value_{number} = compute({number}, 'abc')" for number in range(60))
    text = f"# Setup\n\nRun this.\n\n{mark}\n{code}\n{closing}\n\nThen {'go on ' * 30}.\n\n"
    chunks = _cut(chunker, text + f"{mark}\nshort()\n{closing}\n")
    for chunk in chunks:
        marks = [line for line in chunk.text.split("\n") if line.startswith(closing)]
        assert len(marks) % 2 == 0, chunk.text
        assert re.search(r"\w", chunk.text)
    for number in range(60):
        assert any(f"value_{number} = " in chunk.text for chunk in chunks)


def test_passages_that_say_nothing_are_left_out(chunker: Chunker) -> None:
    rules = "\n\n".join(["-" * 90, "* * *" * 30] * 6)
    chunks = _cut(chunker, f"Before.\n\n{rules}\n\nAfter.")
    assert chunks
    assert all(re.search(r"\w", chunk.text) for chunk in chunks)


@pytest.mark.parametrize(
    "sentence",
    [
        "Торцевое уплотнение необходимо заменить после двух тысяч часов работы. ",
        "Η μηχανική σφράγιση πρέπει να αντικατασταθεί μετά από δύο χιλιάδες ώρες. ",
        "ต้องเปลี่ยนซีลเชิงกลหลังจากใช้งานสองพันชั่วโมงไม่ว่าตัวบ่งชี้จะแสดงอะไรก็ตาม",
        "يجب استبدال الختم الميكانيكي بعد ألفي ساعة بغض النظر عما يظهره المؤشر. ",
    ],
)
def test_passages_of_any_alphabet_are_as_long_as_others(chunker: Chunker, sentence: str) -> None:
    chunks = _cut(chunker, sentence * 40, is_markdown=False)
    lengths = [len(chunk.text) for chunk in chunks[:-1]]
    assert min(lengths) > 60
    assert max(lengths) <= 60 * 3
    assert all(chunk.tokens >= len(chunk.text) // 3 for chunk in chunks)


def test_a_word_without_end_is_no_passage_of_one_token(chunker: Chunker) -> None:
    chunks = _cut(chunker, "Encoded: " + "QUJD" * 20_000)
    assert max(len(chunk.text) for chunk in chunks) <= 60 * 12
    assert sum(len(chunk.text) for chunk in chunks) > 80_000
    assert all(chunk.tokens >= len(chunk.text) // 12 for chunk in chunks)


def test_a_heading_of_blanks_takes_no_time(chunker: Chunker) -> None:
    chunks = _cut(chunker, "# a" + " " * 300_000 + "x\n\nText.")
    assert chunks[-1].text.endswith("Text.")
