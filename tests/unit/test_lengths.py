"""Texts within their `maxLength` end at a boundary, and quotes say something."""

from typing import Any

import pytest

from insights.model import Citation, Generation, Passage, Span, Verdict
from insights.steps import content, lengths
from insights.steps.attribution import enough
from insights.steps.validate import validate

LONG = (
    "The intake gasket is a great deal older. It leaks at the flange and has to be replaced soon."
)


def schema(**fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"type": "object", "properties": fields, "required": list(fields)}


def text(limit: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": limit}


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (45, "The intake gasket is a great deal older."),  # the sentence
        (30, "The intake gasket is a great"),  # no sentence ends: the word
        (64, "The intake gasket is a great deal older."),
        (
            90,
            LONG.removesuffix(" soon."),
        ),
        (24, "The intake gasket is a"),
    ],
)
def test_a_text_ends_at_a_sentence_or_a_word(limit: int, kept: str) -> None:
    assert lengths.within(LONG, limit) == kept


@pytest.mark.parametrize("limit", range(1, len(LONG)))
def test_no_word_is_ever_cut(limit: int) -> None:
    kept = lengths.within(LONG, limit)
    assert len(kept) <= limit
    assert LONG.startswith(kept)
    if limit >= 3:  # room for its first word
        assert not LONG[len(kept)].isalnum() or not kept[-1].isalnum()


def test_other_scripts_and_single_words() -> None:
    assert lengths.within("\u5438\u6c14\u3002\u57ab\u7247\u6f0f\u6c14", 4) == "\u5438\u6c14\u3002"
    assert lengths.within("x" * 50, 30) == "x" * 30
    assert lengths.within("Druckluftkompressor, Ventil", 25) == "Druckluftkompressor"


def test_the_model_gets_room_and_the_reader_a_mark() -> None:
    wanted = schema(summary=text(45), code=text(4), steps={"type": "array", "items": text(40)})
    room = lengths.roomy(wanted)["properties"]
    assert room["summary"]["maxLength"] > 45 + 24
    assert room["code"]["maxLength"] == 4  # a code is no text
    assert room["steps"]["items"]["maxLength"] > 40
    output = {"summary": LONG[:77], "code": "AB12", "steps": ["Short.", LONG[:72]]}
    made, hit = lengths.fitted(output, wanted)
    assert made["summary"] == "The intake gasket is a great deal older."
    assert made["code"] == "AB12"
    assert made["steps"] == ["Short.", "The intake gasket is a great deal older."]
    assert hit == ("/summary", "/steps/1")


def test_an_output_that_hit_its_limit_is_ok_and_marked() -> None:
    encoded = '{"summary": "' + LONG[:77] + '"}'
    made = Generation(text=encoded, finish="stop", model="m")
    verdict = validate(made, schema(summary=text(45)), {}, ())
    assert (verdict.status, verdict.output) == (
        "ok",
        {"summary": "The intake gasket is a great deal older."},
    )
    assert verdict.notes == ("/summary reached its maxLength and was closed there",)
    assert all(c.claim_end is None or c.claim_end <= 45 for c in verdict.citations)


@pytest.mark.parametrize(
    ("quote", "source", "says"),
    [
        ("to", "the way to the printer", False),
        ("the printer", "the way to the printer", True),
        ("at 5", "turn it at 5", True),
        ("no ink", "no ink", True),  # there is nothing longer
        ("\u5438\u6c14", "\u5438\u6c14\u57ab\u7247", True),
        ("\u5438", "\u5438\u6c14\u57ab\u7247", False),
    ],
)
def test_a_quote_says_something(quote: str, source: str, *, says: bool) -> None:
    assert content.says(quote, [source]) is says
    made = Generation(
        text=f'{{"problem": "{quote}"}}',
        finish="stop",
        model="m",
        quotes=(Span(field="/problem", source="row.body", start=0, end=len(quote)),),
    )
    field = {"type": "string", "x-quote": "row.body"}
    verdict = validate(made, schema(problem=field), {"body": source}, ())
    assert (verdict.status == "ok") is says


def supported(share: float | None, **field: Any) -> Verdict:  # noqa: ANN401
    said = "Check the magneto timing."
    found = Citation(
        field="/advice", source="row.body", support=share, claim_start=0, claim_end=len(said)
    )
    verdict = Verdict(status="ok", output={"advice": said}, citations=(found,))
    return enough(verdict, schema(advice={"type": "string", **field}), 0.3)


def test_free_text_without_support_is_withheld_where_a_least_is_set() -> None:
    verdict = supported(0.0)
    assert (verdict.status, verdict.output) == ("withheld", None)
    assert "Check the magneto timing." in str(verdict.reason)
    assert "0.00" in str(verdict.reason)
    assert supported(0.31).status == "ok"
    assert supported(None).status == "ok"  # it has no word to go by
    assert supported(0.31, **{"x-min-support": 0.5}).status == "withheld"
    assert supported(0.1, **{"x-min-support": 0.0}).status == "ok"


def test_a_number_from_a_shown_passage_is_no_reason_to_withhold() -> None:
    made = Generation(text='{"advice": "Set 25 degrees."}', finish="stop", model="m")
    passages = (Passage(1, 1, "manual.md", "Timing", "The timing is 25 degrees.", 1.0),)
    verdict = validate(made, schema(advice={"type": "string"}), {"body": "rough"}, passages)
    assert verdict.status == "ok"
