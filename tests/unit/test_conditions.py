"""Conditions of a schema that are written as alternatives and patterns: they mean the same."""

import itertools
from typing import Any

import jsonschema
import pytest
import regex

from insights import errors
from insights.inference.constraint import check_schema
from insights.inference.grammar import Grammar
from insights.model import Json
from insights.steps.schema import normal, validator
from tests.accepting import accepts

_AB: Json = {"kind": {"enum": ["a", "b", "c"]}, "x": {"type": "integer"}, "y": {"type": "string"}}
_VALUES: dict[str, list[Any]] = {"kind": ["a", "b", "c"], "x": [1], "y": ["", "other", "otherwise"]}


def _outputs() -> list[Json]:
    """Return every output of some of these properties with these values."""
    ways = [[(name, value) for value in [None, *values]] for name, values in _VALUES.items()]
    return [
        {name: value for name, value in way if value is not None}
        for way in itertools.product(*ways)
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"not": {"required": ["x"]}},
        {"not": {"required": ["x", "y"]}},
        {"not": {"type": "object", "required": ["x", "y"], "properties": {"x": True}}},
        {"allOf": [{"not": {"required": ["x"]}}]},
        {"dependentRequired": {"x": ["y"], "y": ["kind"]}},
        {"dependencies": {"x": ["y", "kind"]}},
        {"if": {"required": ["x"]}, "then": {"required": ["y"]}},
        {"if": {"required": ["x"]}, "else": {"properties": {"y": {"minLength": 6}}}},
        {"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}},
        {
            "if": {"properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]},
            "then": {"required": ["x"]},
            "else": {"properties": {"x": False}, "required": ["y"]},
        },
        {
            "if": {"properties": {"kind": {"const": "c"}}, "required": ["kind"]},
            "then": {"not": {"required": ["x"]}},
        },
        {"if": {"properties": {"y": {"const": "other"}}}, "then": {"required": ["x"]}},
        {  # as people write cases
            "required": ["kind"],
            "allOf": [
                {
                    "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                    "then": then,
                }
                for kind, then in (
                    ("a", {"required": ["x"]}),
                    ("b", {"properties": {"x": False}, "required": ["y"]}),
                    ("c", {"not": {"required": ["y"]}}),
                )
            ],
        },
        {"properties": {**_AB, "kind": {"enum": ["a", "b", "c"], "not": {"const": "b"}}}},
        {"properties": {**_AB, "y": {"type": "string", "not": {"enum": ["other", ""]}}}},
    ],
)
def test_a_condition_means_the_same_to_grammar_and_validator(said: Json) -> None:
    schema: Json = {"type": "object", "properties": _AB, **said}
    assert check_schema(schema) == []
    meant = jsonschema.Draft202012Validator(schema)
    older = said.get("dependencies")
    if older:
        meant = jsonschema.Draft7Validator(schema)
    lark = Grammar(normal(schema)).lark
    for output in _outputs():
        wanted = meant.is_valid(output)
        assert validator(schema).is_valid(output) == wanted, output
        assert accepts(lark, {name: output[name] for name in _order(schema, output)}) == wanted, (
            output
        )


def _order(schema: Json, output: Json) -> list[str]:
    """Return an output's properties as the alternative that it is of has them."""
    whole = normal(schema)
    judged = next(
        (
            one
            for one in whole.get("anyOf", ())
            if jsonschema.Draft202012Validator(one).is_valid(output)
        ),
        whole,
    )
    known = [name for name in judged["properties"] if name in output]
    return [*known, *(name for name in output if name not in known)]


_TEXTS = (
    "", " ", "a", "A", "aws", "aws:x", "AWS:x", "awx", "Abcdefg1", "abcdefg1", "ABCDEFGH", "foo",
    "foobar", "bar", "ba", "foo.", "x y", " x", "a-b", "-", "0000", "00001", "\n", "é",
)  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(?=.*[A-Z])(?=.*\d)[A-Za-z\d]{8,20}$",
        r"^(?=.{3,4}$)[a-z]+$",
        r"^(?!\s*$).+",
        r"^(?!\s*$).+$",
        r"^(?!aws:)[a-zA-Z+-=._:/]+$",
        r"^(?!foo|bar)",
        r"^(?!foo$|bar$).*$",
        r"\A(?!foo\.).+",
        r"^(?!-)(?!0000$).*$",
        r"^(?=[^(]*[(]?[a-z])(?!ba)[a-z-]+$",
        r"^(?=a|f)(?:foo|a[|]?)",
    ],
)
def test_looking_ahead_at_the_beginning_is_written_as_patterns(pattern: str) -> None:
    schema: Json = {"type": "object", "properties": {"t": {"type": "string", "pattern": pattern}}}
    assert check_schema(schema) == []
    lark = Grammar(normal(schema)).lark
    for text in _TEXTS:
        wanted = regex.search(pattern.replace("$", r"\Z"), text) is not None
        assert validator(schema).is_valid({"t": text}) == wanted, text
        if text.isprintable():
            assert accepts(lark, {"t": text}) == wanted, text


@pytest.mark.parametrize(
    ("part", "keyword"),
    [
        ({"not": {"type": "integer"}}, "not"),
        ({"type": "string", "not": {"pattern": "x"}}, "not"),
        ({"type": "object", "if": {"minProperties": 2}, "then": {"required": ["x"]}}, "if"),
        ({"dependentRequired": {"x": ["y"]}}, "dependentRequired"),
        ({"type": "object", "allOf": [{"if": {"minProperties": 2}, "then": {}}]}, "if"),
    ],
)
def test_what_cannot_be_written_so_is_refused(part: Json, keyword: str) -> None:
    with pytest.raises(errors.SettingsError, match=f"`{keyword}` cannot be enforced"):
        check_schema({"type": "object", "properties": {"a": part}})


@pytest.mark.parametrize(
    "pattern",
    [
        "^(?=a)b|c",  # what begins otherwise and has a `c` was looked at by nobody
        "^(?!a)(?=b)[|]|c",
        "^(?!a.*$)",  # a second line is no end of it
    ],
)
def test_looking_ahead_that_patterns_say_otherwise_is_refused(pattern: str) -> None:
    part = {"type": "string", "pattern": pattern}
    with pytest.raises(errors.SettingsError, match=r"#/properties/a: .*look-around"):
        check_schema({"type": "object", "properties": {"a": part}})


def test_of_several_patterns_each_holds() -> None:
    parts = [{"pattern": sign} for sign in "abc"]
    schema: Json = {"type": "object", "properties": {"t": {"type": "string", "allOf": parts}}}
    assert check_schema(schema) == []
    lark = Grammar(normal(schema)).lark
    for text, wanted in (("abc", True), ("ab", False), ("ac", False), ("bc", False)):
        assert validator(schema).is_valid({"t": text}) == wanted
        assert accepts(lark, {"t": text}) == wanted
