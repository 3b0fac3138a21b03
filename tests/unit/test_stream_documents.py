"""Rows as documents: a fake source pages and fetches, so that only the adapter is under test."""

import uuid
from collections.abc import Sequence
from typing import cast

import pytest

from insights import errors
from insights.knowledge.stream import StreamDocuments
from insights.model import Bookmark, Page, Row, StreamSpec
from insights.ports import Source

_ROWS: dict[str, dict[str, str | None]] = {
    f"k{n}": {"subject": f"Case {n}", "answer": f"Do {n}.", "tenant": f"0{n}"} for n in range(5)
}
_ROWS["a\tb\\n"] = {"subject": None, "answer": "  ", "tenant": None}
_SPEC = StreamSpec(name="cases", source="erp", key=("id",), inputs=("subject", "answer", "tenant"))


class _Source:
    """Two rows a page; counts fetches."""

    def __init__(self) -> None:
        self.fetches = 0

    def page(self, stream: StreamSpec, after: Bookmark | None, *, by: str) -> Page:
        assert (stream, by) == (_SPEC, "key")
        keys = list(_ROWS)
        start = keys.index(after.key[0]) + 1 if after else 0
        chosen = keys[start : start + 2]
        lines = [
            key.replace("\\", "\\\\").replace("\t", "\\t") + f"\t{uuid.UUID(int=n)}\t\\N\n"
            for n, key in enumerate(chosen, start)
        ]
        return Page(
            rows=len(chosen),
            block="".join(lines).encode(),
            last=Bookmark(key=(chosen[-1],)),
            complete=start + 2 >= len(keys),
        )

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        assert stream == _SPEC
        self.fetches += 1
        return [
            Row(key=key, input_hash=b"", cursor=None, values=_ROWS[key])
            for key in keys
            if key != "k3"  # deleted since it was listed
        ]


def _documents(source: Source, spec: StreamSpec = _SPEC) -> StreamDocuments:
    return StreamDocuments(
        source, spec, title="subject", text=["answer"], filters={"tenant": "integer"}
    )


def test_rows_are_listed_by_key_and_fetched_in_few_queries() -> None:
    source = _Source()
    documents = _documents(cast("Source", source))
    assert [uri for uri, _ in documents.listing()] == list(_ROWS)
    loaded = [documents.load(f"k{n}") for n in (0, 1, 2, 4)]
    assert [document.text for document in loaded] == ["Do 0.", "Do 1.", "Do 2.", "Do 4."]
    assert loaded[1].title == "Case 1"
    assert loaded[1].filters == {"tenant": "1"}
    assert source.fetches == 1


def test_rows_that_went_or_say_nothing_are_problems_of_their_own() -> None:
    documents = _documents(cast("Source", _Source()))
    assert len(list(documents.listing())) == 6
    with pytest.raises(errors.KnowledgeError, match="gone"):
        documents.load("k3")
    with pytest.raises(errors.KnowledgeError, match="no text"):
        documents.load("a\tb\\n")


def test_a_personal_key_never_becomes_a_citation() -> None:
    spec = StreamSpec(name="c", source="s", key=("mail",), inputs=("answer",), key_personal=True)
    with pytest.raises(errors.SettingsError, match="personal"):
        _documents(cast("Source", _Source()), spec)
