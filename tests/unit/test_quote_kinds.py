"""Quotes of a kind: sentences that match a pattern, passages under a heading; made and checked."""

from typing import Any

import pytest

from insights import errors
from insights.inference import quotes
from insights.inference.constraint import check_schema
from insights.inference.grammar import Grammar
from insights.model import Json
from tests.accepting import accepts

BODY = "The cylinder leaks badly. Replace the seal kit. Check the hose for wear."
STEPS = ("Replace the seal kit.", "Check the hose for wear.")
TEXTS = {1: "Turn the valve off first.", 2: "Nobody was hurt that day.", 3: "Turn the key left."}
HEADINGS = {1: "Manual > Procedure", 2: "History", 3: "Preface"}


def schema(part: Json, kind: Any = "string") -> Json:  # noqa: ANN401
    made = {"type": kind, "x-quote-unit": "sentence", **part}
    return {"type": "object", "properties": {"step": made}, "required": ["step"]}


PATTERN = schema({"x-quote": "row.body", "x-quote-pattern": r"^(Replace|Check)\b"})
HEADING = schema({"x-quote": "passages", "x-quote-heading": "Procedure$"})


def found(output: str, wanted: Json, headings: dict[int, str] | None = None) -> int:
    """Return how many quotes of an answer stand where they must: the check of a remote model."""
    texts = {"row.body": BODY, **{f"passage.{n}": text for n, text in TEXTS.items()}}
    return len(quotes.find_spans({"step": output}, wanted, texts, headings))


def test_a_pattern_lets_only_sentences_of_its_kind_be_made() -> None:
    check_schema(PATTERN)
    lark = Grammar(PATTERN, (), {"body": BODY}).lark
    assert all(accepts(lark, {"step": step}) for step in STEPS)
    assert not accepts(lark, {"step": "The cylinder leaks badly."})


def test_a_pattern_is_asked_of_what_a_remote_model_answered() -> None:
    assert [found(step, PATTERN) for step in STEPS] == [1, 1]
    assert found("The cylinder leaks badly.", PATTERN) == 0
    assert found("The cylinder leaks badly.", schema({"x-quote": "row.body"})) == 1


def test_where_no_sentence_is_of_the_kind_only_null_or_an_abstention_is_left() -> None:
    body = {"body": "The cylinder leaks badly."}
    with pytest.raises(errors.RowError, match="no sentence of that kind"):
        Grammar(PATTERN, (), body)
    lark = Grammar(PATTERN, ("no step",), body).lark
    assert accepts(lark, {"abstain": "no step"})
    assert not accepts(lark, {"step": body["body"]})
    optional = schema({"x-quote": "row.body", "x-quote-pattern": "^Replace"}, ["string", "null"])
    lark = Grammar(optional, (), body).lark
    assert accepts(lark, {"step": None})
    assert not accepts(lark, {"step": body["body"]})


def test_a_heading_lets_only_its_passages_be_quoted() -> None:
    check_schema(HEADING)
    lark = Grammar(HEADING, (), {}, TEXTS, headings=HEADINGS).lark
    assert accepts(lark, {"step": TEXTS[1]})
    assert not accepts(lark, {"step": TEXTS[2]})
    assert not accepts(lark, {"step": TEXTS[3]})
    with pytest.raises(errors.RowError, match="passages"):
        Grammar(HEADING, (), {}, TEXTS, headings={1: "Preface", 2: "Preface", 3: "Preface"})


def test_a_heading_is_asked_of_what_a_remote_model_answered() -> None:
    assert [found(TEXTS[n], HEADING, HEADINGS) for n in TEXTS] == [1, 0, 0]
    assert found(TEXTS[1], HEADING, {}) == 0  # nothing is known of its title
    anywhere = schema({"x-quote": "passages"})
    assert [found(TEXTS[n], anywhere, HEADINGS) for n in TEXTS] == [1, 1, 1]


def test_pattern_and_heading_both_bind() -> None:
    both = schema(
        {"x-quote": "passages", "x-quote-heading": "Procedure|Preface", "x-quote-pattern": "left"}
    )
    check_schema(both)
    lark = Grammar(both, (), {}, TEXTS, headings=HEADINGS).lark
    assert [accepts(lark, {"step": TEXTS[n]}) for n in TEXTS] == [False, False, True]
    assert [found(TEXTS[n], both, HEADINGS) for n in TEXTS] == [0, 0, 1]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"x-quote": "row.body", "x-quote-pattern": "("}, "x-quote-pattern"),
        ({"x-quote": "row.body", "x-quote-heading": "Procedure"}, "x-quote-heading"),
        (
            {"x-quote": "row.body", "x-quote-unit": "words", "x-quote-pattern": "a"},
            "x-quote",
        ),
    ],
)
def test_a_kind_that_means_nothing_is_refused(part: Json, message: str) -> None:
    with pytest.raises(errors.SettingsError, match=message):
        check_schema(schema(part))
