"""What a part of a schema forbids, and what a recursive part is, for all that read it."""

import json
from typing import Any

import pytest

from insights.inference.constraint import check_schema
from insights.inference.grammar import Grammar
from insights.model import Json
from insights.steps.schema import kind, normal, validator
from tests.accepting import accepts

_X, _Y = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize("never", [False, {"not": {}}])
@pytest.mark.parametrize(
    ("parts", "valid", "invalid"),
    [
        (
            {"allOf": [{"properties": {"x": None}}]},
            [{"y": 1}],
            [{"x": "a", "y": 1}],
        ),
        (  # as TypeScript's exclusive unions are written
            {
                "anyOf": [
                    {"properties": {"x": None}, "required": ["y"]},
                    {"properties": {"y": None}},
                ]
            },
            [{"y": 1}, {"x": "a"}],
            [{"x": "a", "y": 1}],
        ),
        (  # what a third part says does not bring it back
            {"allOf": [{"properties": {"x": None}}, {"properties": {"x": {"minLength": 1}}}]},
            [{"y": 1}],
            [{"x": "a"}],
        ),
    ],
)
def test_what_a_part_forbids_stays_forbidden(
    never: Any,  # noqa: ANN401 - JSON
    parts: Json,
    valid: list[Json],
    invalid: list[Json],
) -> None:
    raw = json.dumps({"type": "object", "properties": {"x": _X, "y": _Y}, **parts})
    schema: Json = json.loads(raw.replace("null", json.dumps(never)))
    assert check_schema(schema) == []
    for output in (*valid, *invalid):
        assert validator(schema).is_valid(output) == (output in valid)
        assert accepts(Grammar(normal(schema)).lark, output) == (output in valid)


def test_a_recursive_part_is_json_to_columns_and_views() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": _Y}}
    whole = {"a": {"$ref": "#/$defs/node"}, "b": {"anyOf": [_X, {"$ref": "#/$defs/node"}]}}
    schema: Json = {"type": "object", "properties": whole}
    schema["$defs"] = {"node": node}
    parts = normal(schema)["properties"]
    assert [kind(parts[name]) for name in ("a", "b")] == ["json", "json"]


def test_an_alternative_that_requires_what_it_forbids_is_none() -> None:
    branches = [{"properties": {"x": False}, "required": ["x"]}, {"required": ["y"]}]
    schema: Json = {"type": "object", "properties": {"x": _X, "y": _Y}, "anyOf": branches}
    assert check_schema(schema) == []
    assert validator(schema).is_valid({"x": "a", "y": 1})
    assert not validator(schema).is_valid({"x": "a"})
