"""Which schemas are refused, what a quote is, and what the grammar lets through."""

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights import errors
from insights.inference import quotes
from insights.inference.constraint import Compiler, check_schema
from insights.inference.grammar import Grammar
from insights.model import Json
from insights.steps import content
from tests.accepting import TOKENIZER, accepts

PASSAGES = {1: "Restart the router. Then wait.", 2: "Reset the password", 3: "Call us"}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "category": {"enum": ["network", "printer"]},
        "count": {"type": "integer"},
        "cited_passages": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 1,
            "maxItems": 2,
            "uniqueItems": True,
        },
        "next_step": {"type": "string", "x-quote": "passages", "x-quote-words": [2, 4]},
        "problem": {"type": "string", "x-quote": "row.body"},
        "note": {"type": ["string", "null"], "x-quote": "row.note"},
    },
    "required": ["category", "count", "cited_passages", "next_step", "problem"],
}
GOOD = {
    "category": "network",
    "count": 5,
    "cited_passages": [2],
    "next_step": "Reset the",
    "problem": "VPN",
}


def grammar(body: str, **changes: Any) -> str:  # noqa: ANN401
    row = {"body": body, "note": changes.pop("note", "")}
    return Grammar(SCHEMA, ("no passage answers",), row, PASSAGES, **changes).lark


BODY = 'The "VPN" fails\nafter 3.5 hours. 東京へ行く, don\'t \\ stop\tthere.'


@pytest.mark.parametrize(
    ("changed", "allowed"),
    [
        ({}, True),
        ({"cited_passages": [3, 1]}, True),
        ({"cited_passages": [2, 2]}, False),
        ({"cited_passages": []}, False),
        ({"cited_passages": [4]}, False),
        ({"next_step": "Reset"}, False),
        ({"next_step": "Restart the router. Then"}, True),
        ({"next_step": "Restart the router. Then wait"}, False),
        ({"problem": ""}, False),
        ({"problem": " "}, False),
        ({"problem": "."}, False),
        ({"problem": '"VPN" fails'}, True),
        ({"problem": "fails\nafter"}, True),
        ({"problem": "fails\n"}, False),
        ({"problem": "fails after"}, False),
        ({"problem": ", don't"}, False),
        ({"problem": "3.5 hours"}, True),
        ({"problem": "3.6 hours"}, False),
        ({"problem": "3"}, False),
        ({"problem": "東京"}, True),
        ({"problem": "京東"}, False),
        ({"problem": "don't"}, True),
        ({"problem": "don"}, False),
        ({"problem": "\\ stop\tthere"}, True),
        ({"note": None}, True),
        ({"note": "text"}, False),
        ({"count": 10**40}, False),
        ({"category": "phone"}, False),
    ],
)
def test_only_what_the_sources_and_the_schema_allow(changed: Json, allowed: bool) -> None:  # noqa: FBT001
    assert accepts(grammar(BODY), {**GOOD, **changed}) is allowed


def test_abstaining_is_an_alternative_for_the_listed_reasons() -> None:
    assert accepts(grammar(BODY), {"abstain": "no passage answers"})
    assert not accepts(grammar(BODY), {"abstain": "bored"})


def test_once_passages_are_cited_only_they_can_be_quoted() -> None:
    written = '{"category":"network","count":5,"cited_passages":[2]'
    lark = grammar(BODY, written=written, cited=[2])
    assert accepts(lark, GOOD)
    assert not accepts(lark, {**GOOD, "next_step": "Restart the router"})


def test_without_anything_to_quote_only_abstention_is_left() -> None:
    lark = grammar("...")
    assert accepts(lark, {"abstain": "no passage answers"})
    assert not accepts(lark, GOOD)
    with pytest.raises(errors.RowError, match=r"row\.body holds nothing to quote"):
        Grammar(SCHEMA, (), {"body": ""}, PASSAGES)


def test_quotes_in_arrays_and_nested_objects_are_constrained_too() -> None:
    schema = {
        "type": "object",
        "properties": {
            "evidence": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "says": {"type": "string", "x-quote": "row.body"},
                        "weight": {"enum": [1, 2]},
                    },
                    "required": ["says"],
                },
                "maxItems": 2,
            }
        },
        "required": ["evidence"],
    }
    check_schema(schema)
    lark = Grammar(schema, (), {"body": "red light blinks"}).lark
    assert accepts(lark, {"evidence": []})
    assert accepts(lark, {"evidence": [{"says": "red light", "weight": 2}, {"says": "blinks"}]})
    assert not accepts(lark, {"evidence": [{"says": "green light"}]})
    assert not accepts(lark, {"evidence": [{"says": "red"}] * 3})


def _sentence(*bounds: int) -> dict[str, Any]:
    words = {"x-quote-words": list(bounds)} if bounds else {}
    part = {"type": "string", "x-quote": "row.body", "x-quote-unit": "sentence", **words}
    return {"type": "object", "properties": {"q": part}, "required": ["q"]}


def test_a_quote_may_be_held_to_whole_sentences() -> None:
    body = 'Hello,\nthe "VPN" is down. Do not restart it! See J. Smith.'
    check_schema(_sentence())
    lark = Grammar(_sentence(), (), {"body": body}).lark
    for whole in ("Hello,", 'the "VPN" is down.', "Do not restart it!", "See J. Smith."):
        assert accepts(lark, {"q": whole})
        assert quotes.find_spans({"q": whole}, _sentence(), {"row.body": body})
    for cut in ("restart it!", "Do not", "Smith.", f"{body[7:]}", ""):
        assert not accepts(lark, {"q": cut})
        assert not quotes.find_spans({"q": cut}, _sentence(), {"row.body": body})
    lark = Grammar(_sentence(4, 9), (), {"body": body}).lark
    assert accepts(lark, {"q": "Do not restart it!"})
    assert not accepts(lark, {"q": "See J. Smith."})
    with pytest.raises(errors.RowError, match="no sentence of that length"):
        Grammar(_sentence(20, 30), (), {"body": body})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# Reset (short)\n\n- Press e.g. this.\n1. Wait 3.5 s.\n2) Done", 4),
        ("it stops... WHY?! ok", 3),
        ("重启路由器。然后打电话。好", 3),
        ("no end", 1),
        ("... \n --", 0),
    ],
)
def test_sentences_end_where_people_end_them(text: str, found: int) -> None:
    assert len(quotes.sentences(text)) == found
    assert all(sentence in text for sentence in quotes.sentences(text))


@given(
    body=st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=40),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_every_run_of_words_can_be_quoted_and_found_again(body: str, data: st.DataObject) -> None:
    pieces = quotes.words(body)
    assert "".join(pieces) == body
    start = data.draw(st.integers(0, len(pieces) - 1))
    end = data.draw(st.integers(start + 1, len(pieces)))
    quote = "".join(pieces[start:end])
    visible = quote == quote.strip() and quote[0].isalnum() and quote[-1].isalnum()
    if not visible or not content.says(quote, [body]):
        return
    schema = {
        "type": "object",
        "properties": {"q": {"type": "string", "x-quote": "row.body"}},
        "required": ["q"],
    }
    assert accepts(Grammar(schema, (), {"body": body}).lark, {"q": quote})
    (span,) = quotes.find_spans({"q": quote}, schema, {"row.body": body})
    assert body[span.start : span.end] == quote


@pytest.mark.parametrize("body", ["A\u1100", "T\u6064", "\ud55cB", "USB\u7dda"])
def test_letters_beside_signs_that_are_words_can_be_quoted(body: str) -> None:
    schema = {
        "type": "object",
        "properties": {"q": {"type": "string", "x-quote": "row.body"}},
        "required": ["q"],
    }
    assert content.says(body, [body])
    assert accepts(Grammar(schema, (), {"body": body}).lark, {"q": body})


def test_a_letter_that_is_newer_than_the_interpreter_can_be_quoted() -> None:
    body = "A:::\U00018cffA"  # a letter since Unicode 16
    schema = {
        "type": "object",
        "properties": {"q": {"type": "string", "x-quote": "row.body"}},
        "required": ["q"],
    }
    assert content.says(body, [body])
    assert accepts(Grammar(schema, (), {"body": body}).lark, {"q": body})


def _with(name: str, part: Json) -> Json:
    return {"type": "object", "properties": {name: part}, "required": [name]}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (_with("a", {"not": {"minLength": 3}}), "`not` cannot be enforced"),
        (_with("a", {"if": {}, "then": {}}), "`if` cannot be enforced"),
        (_with("a", {"type": "array", "contains": {}}), "`contains` cannot be enforced"),
        (_with("a", {"type": "strin"}), "not valid JSON Schema at #/properties/a/type"),
        (_with("a", {"type": "string", "x-quote": "column"}), 'set it to "passages"'),
        (_with("a", {"type": "integer", "x-quote": "row.b"}), "must be a string"),
        (_with("a", {"type": "string", "x-quote": "row.b", "maxLength": 9}), "no meaning"),
        (_with("a", {"type": "string", "x-quote": "row.b", "x-quote-words": [3, 1]}), "least"),
        (_with("a", {"type": "string", "x-quote": "row.b", "x-quote-unit": "line"}), "sentence"),
        (
            _with("a", {"anyOf": [{"type": "string", "x-quote": "row.b"}, {"type": "integer"}]}),
            "stand here",
        ),
        ({"type": "array", "items": {"type": "string"}}, "must be an object with properties"),
        (_with("a", {"$ref": "https://example.org/x.json"}), "cannot be generated"),
    ],
)
def test_what_generation_would_not_hold_is_refused_by_its_place(schema: Json, message: str) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        check_schema(schema, where="config/schemas/x.json")
    assert message in str(caught.value)
    assert "config/schemas/x.json" in str(caught.value)


def test_a_good_schema_passes() -> None:
    assert check_schema(SCHEMA, ("no passage answers",)) == []


def test_integers_without_bounds_are_bounded_and_written_compactly() -> None:
    lark = Grammar(_with("a", {"type": "integer"})).lark
    assert accepts(lark, {"a": 2**53})
    assert not accepts(lark, {"a": 2**70})


def test_a_token_that_ends_a_generation_is_no_part_of_its_text() -> None:
    compiler = Compiler.__new__(Compiler)
    compiler.tokenizer, compiler.ends = TOKENIZER, frozenset({256})
    compiler._prototypes, compiler._lock = {}, threading.Lock()
    constraint = compiler.constraint(_with("a", {"const": 1}))
    matcher = constraint._matcher
    tokens = [*b'{"a":1}']

    class Eager:
        """Says that the end is forced, too."""

        def compute_ff_tokens(self) -> list[int]:
            return [*tokens, 256]

        def __getattr__(self, name: str) -> object:
            return getattr(matcher, name)

    constraint._matcher = Eager()
    assert constraint.forced() == tokens
    constraint.consume([*tokens, 256])
    assert constraint.text == '{"a":1}'
    assert constraint.finished
