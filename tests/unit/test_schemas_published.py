"""Output schemas as published: references without end, parts that are none, looking ahead."""

import pytest

from insights import errors
from insights.inference.constraint import check_schema
from insights.model import Json
from insights.steps.normalise import normalised
from insights.steps.schema import validator


def test_a_recursive_reference_beside_what_it_says_itself_stays() -> None:
    tree: Json = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "part": {"type": "object", "$ref": "#"}},
    }
    made = normalised(tree)
    assert made["properties"]["part"] == {"$ref": "#/$defs/root"}
    check_schema(tree)
    assert validator(tree).is_valid({"name": "a", "part": {"name": "b", "part": {"name": "c"}}})
    assert not validator(tree).is_valid({"name": "a", "part": {"name": 1}})


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (
            {
                "properties": {"a": {"$ref": "#/$defs/a"}},
                "$defs": {
                    "a": {
                        "type": ["object", "boolean"],
                        "additionalProperties": {"minProperties": 1, "$ref": "#/$defs/a"},
                    }
                },
            },
            "refers to itself beside other conditions",
        ),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "properties": {"a": {"$ref": "#/parts/a"}},
                "parts": {"a": {"properties": {"$comment": "a text"}}},
            },
            "is no schema",
        ),
    ],
)
def test_what_has_no_end_or_is_no_schema_is_refused_by_its_place(document: Json, what: str) -> None:
    with pytest.raises(errors.SettingsError, match=what) as caught:
        normalised(document)
    assert "#" in caught.value.where
    assert caught.value.fix


def test_a_duration_as_zod_writes_it_is_generated() -> None:
    pattern = (
        r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?"
        r"(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$"
    )
    part = {"type": "string", "format": "duration", "pattern": pattern}
    schema: Json = {"type": "object", "properties": {"d": part}, "required": ["d"]}
    check_schema(schema)
    for good in ("P3W", "P1Y2M3DT4H5M6.5S", "P1D", "PT5M", "P2MT1S"):
        assert validator(schema).is_valid({"d": good}), good
    for bad in ("P", "PT", "P1DT", "P1Y1W", "1D"):
        assert not validator(schema).is_valid({"d": bad}), bad
