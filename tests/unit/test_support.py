"""Sentences, and what becomes of them where their support can or cannot be told."""

from collections.abc import Sequence

import pytest

from insights import errors
from insights.model import Citation, Claims, Generation, Passage, Span, Support, Verdict
from insights.steps.attribution import Judged, scored, sentences
from insights.steps.validate import validate

_SCHEMA = {
    "type": "object",
    "properties": {
        "answer": {"type": "string"},
        "steps": {"type": "array", "items": {"type": "string"}},
        "quote": {"type": "string", "x-quote": "passages"},
        "kind": {"type": "string", "enum": ["printer", "vpn"]},
        "cited_passages": {"type": "array", "items": {"type": "integer"}},
    },
}
_ROW = {"subject": "Printer offline", "body": None}
_PASSAGES = (
    Passage(passage_id=11, number=1, uri="kb/KB-0042.md", title="Queue", text="Clear the queue."),
    Passage(passage_id=12, number=2, uri="kb/KB-0007.md", title="Spooler", text="Restart it."),
)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Clear it. Then wait! Really?", ["Clear it.", "Then wait!", "Really?"]),
        ("Use a tool, e.g. the spooler. 3 tries.", ["Use a tool, e.g. the spooler.", "3 tries."]),
        (" one\n\n- two  \n", ["one", "- two"]),
        ("Version 10.2 of the driver", ["Version 10.2 of the driver"]),
        ("  \n ", []),
    ],
)
def test_sentences_are_where_people_see_them(text: str, parts: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == parts


class _Grounds:
    """Supports a sentence by its length; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Claims] = []

    def support(
        self, outputs: Sequence[Claims], collections: Sequence[str]
    ) -> list[tuple[Support, ...]]:
        assert collections == ["kb"]
        self.asked += outputs
        return [
            tuple(Support(share=1 / len(text), source="passage.1") for text in output.sentences)
            for output in outputs
        ]


class _Away(_Grounds):
    def support(
        self, outputs: Sequence[Claims], collections: Sequence[str]
    ) -> list[tuple[Support, ...]]:
        super().support(outputs, collections)
        raise errors.StoreUnavailable("the store does not answer", where="store")


def _verdict(cited: str = "[1]") -> Verdict:
    text = (
        '{"answer": "Clear it. Wait.", "steps": ["Go"], "quote": "Clear the", "kind": "vpn",'
        f' "cited_passages": {cited}}}'
    )
    span = Span(field="/quote", source="passage.1", start=0, end=9)
    made = Generation(text=text, finish="stop", model="m", quotes=(span,))
    verdict = validate(made, _SCHEMA, _ROW, _PASSAGES)
    assert verdict.status == "ok"
    return verdict


def test_each_sentence_of_free_text_gets_its_support_and_its_source() -> None:
    grounds = _Grounds()
    [verdict] = scored([Judged(_verdict(), _ROW, _PASSAGES)], grounds, ["kb"]) or []
    assert grounds.asked == [
        Claims(
            sentences=("Clear it.", "Wait.", "Go"),
            sources={"row.subject": "Printer offline", "passage.1": "Queue\nClear the queue."},
        )
    ]
    found = [
        (one.field, one.claim_start, one.claim_end, one.support, one.uri)
        for one in verdict.citations
        if one.claim_start is not None
    ]
    uri = "kb/KB-0042.md"
    assert found == [
        ("/answer", 0, 9, 1 / 9, uri),
        ("/answer", 10, 15, 1 / 5, uri),
        ("/steps/0", 0, 2, 1 / 2, uri),
    ]


def test_a_sentence_that_turns_its_source_round_is_not_supported_and_told() -> None:
    verdict = Verdict(
        status="ok",
        output={"answer": "Do not clear the queue.", "cited_passages": [1]},
        citations=(Citation(field="/answer", source="prompt", claim_start=0, claim_end=23),),
        notes=("cut",),
    )
    [found] = scored([Judged(verdict, _ROW, _PASSAGES)], _Grounds(), ["kb"]) or []
    assert found.citations[0].support == 0.0
    assert found.notes == (
        "cut",
        "/answer may turn its source round: it negates 'clear', and its source does not",
    )


def test_an_output_that_cites_nothing_may_stand_on_every_passage() -> None:
    grounds = _Grounds()
    scored([Judged(_verdict("[]"), _ROW, _PASSAGES)], grounds, ["kb"])
    assert {"passage.1", "passage.2"} <= set(grounds.asked[0].sources)


def test_without_an_answer_the_verdict_stands_unscored() -> None:
    verdict = _verdict()
    assert scored([Judged(verdict, _ROW, _PASSAGES)], _Away(), ["kb"]) is None  # it stands
    assert [one.support for one in verdict.citations] == [None, 1.0, None, None, None]
