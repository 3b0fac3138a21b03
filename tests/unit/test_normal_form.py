"""Schemas as people and tools write them: one normal form that all readers share."""

import datetime as dt
import enum
import json
from typing import Annotated, Any, Literal

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, Field, RootModel
from sqlalchemy.schema import CreateTable

from insights import errors
from insights.inference.constraint import check_schema
from insights.inference.grammar import Grammar
from insights.model import Generation, Json, SinkSpec
from insights.sinks import ddl
from insights.steps.normalise import normalised
from insights.steps.schema import closed, kind, validator
from insights.steps.validate import validate
from insights.store.views import typed_view
from tests.accepting import accepts


class Severity(enum.StrEnum):
    CRITICAL = "S1 critical"
    MINOR = "S3 minor"


class Priority(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Pump(BaseModel):
    kind: Literal["pump"] = "pump"
    litres: float


class Valve(BaseModel):
    kind: Literal["valve"] = "valve"
    open: bool


class Part(BaseModel):
    name: str
    parts: list["Part"] = []


class Report(BaseModel):
    """What Pydantic makes of it has $ref, anyOf with null, const, oneOf, recursion, maps."""

    severity: Severity
    team: Literal["team 1", "team 2"] | None = None
    priority: Priority | None = None
    due: dt.date | None
    score: Annotated[float, Field(ge=0, le=1)]
    device: Annotated[Pump | Valve, Field(discriminator="kind")]
    whole: Part
    counts: dict[str, int] = {}
    by_severity: dict[Severity, int] = {}
    pair: tuple[int, str]
    quote: Annotated[str | None, Field(json_schema_extra={"x-quote": "row.body"})]
    tags: list[Severity] = []


REPORT: Json = Report.model_json_schema()
GOOD: Json = {
    "severity": "S1 critical",
    "team": None,
    "priority": 2,
    "due": "2026-11-28",
    "score": 0.5,
    "device": {"kind": "valve", "open": True},
    "whole": {"name": "pump house", "parts": [{"name": "pump house"}]},
    "counts": {"a": 1},
    "by_severity": {"S3 minor": 3},
    "pair": [1, "one"],
    "quote": "pump house",
    "tags": ["S3 minor"],
}


def sink(schema: Json) -> SinkSpec:
    return SinkSpec(name="s", source="s", table="t", key=("id",), output_schema=schema)


def object_of(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_every_reader_understands_what_pydantic_writes() -> None:
    assert check_schema(REPORT) == []
    lark = Grammar(normalised(REPORT), (), {"body": "the pump house leaks"}).lark
    assert accepts(lark, GOOD)
    assert accepts(lark, {**GOOD, "quote": None})
    assert not accepts(lark, {**GOOD, "quote": "invented"})
    assert not accepts(lark, {**GOOD, "severity": "S2"})
    assert not accepts(lark, {**GOOD, "device": {"kind": "valve", "litres": 1}})
    made = Generation(text=json.dumps(GOOD), finish="stop", model="m")
    verdict = validate(made, REPORT, {"body": "the pump house leaks"}, [])
    assert verdict.reason == "/quote is no literal quote"  # the test's generation names no place
    table = ddl.sink_table(sink(REPORT), {"id": sa.Integer()}, sa.MetaData())
    said = CreateTable(table).compile(dialect=ddl.dialect("postgresql")).string
    lines = [line.split() for line in said.splitlines() if line.startswith(("\t", "    "))]
    types = {line[0]: line[1] for line in lines}
    assert types["severity"].startswith("VARCHAR(32)")
    assert types["team"].startswith("VARCHAR(32)")
    assert types["priority"].startswith("BIGINT")
    assert types["due"].startswith("DATE")
    assert types["score"].startswith("DOUBLE")
    view = typed_view("report", "rows", REPORT).create
    assert "(c.output ->> 'priority')::numeric::bigint END END AS \"priority\"" in view
    assert "c.output ->> 'team' AS \"team\"" in view
    assert "c.output -> 'device'" in view


def test_closed_fields_behind_references_and_choices_need_no_ground() -> None:
    schema: Json = {
        "type": "object",
        "$defs": {"Severity": {"enum": ["S1 critical", "S2 major"], "type": "string"}},
        "properties": {
            "severity": {"$ref": "#/$defs/Severity"},
            "team": {"anyOf": [{"enum": ["team 1", "team 2"], "type": "string"}, {"type": "null"}]},
            "due": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "grade": {"oneOf": [{"const": "grade 7", "title": "high"}, {"const": "grade 8"}]},
        },
        "required": ["severity", "team", "due"],
    }
    output = {"severity": "S2 major", "team": "team 2", "due": "2031-02-03", "grade": "grade 8"}
    made = Generation(text=json.dumps(output), finish="stop", model="m")
    assert validate(made, schema, {"body": "nothing of it"}, []).status == "ok"
    free: Json = json.loads(json.dumps(schema))
    free["properties"]["why"] = {"type": "string"}
    made = Generation(text=json.dumps({**output, "why": "error 4711"}), finish="stop", model="m")
    assert "4711" in str(validate(made, free, {"body": "nothing of it"}, []).reason)


@pytest.mark.parametrize(
    ("part", "form"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["string", "null"]}),
        ({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}, {"enum": ["a", None]}),
        ({"oneOf": [{"const": 1}, {"const": 2, "title": "two"}]}, {"enum": [1, 2]}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        (
            {"allOf": [{"type": "number", "minimum": 1}, {"type": "integer", "maximum": 5}]},
            {"type": "integer", "minimum": 1, "maximum": 5},
        ),
        ({"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, {"enum": ["b"]}),
        (
            {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
            {"type": "integer", "exclusiveMinimum": 3},
        ),
        (
            {"type": "array", "items": [{"type": "string"}], "additionalItems": False},
            {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        ),
        ({"type": "string", "format": "password"}, {"type": "string"}),
        ({"type": "array", "minItems": 2.0}, {"type": "array", "minItems": 2}),
        ({"enum": ["b"], "description": "it"}, {"enum": ["b"], "description": "it"}),
        ({"$ref": "#/$defs/E", "description": "mine"}, {"enum": [1], "description": "mine"}),
    ],
)
def test_a_part_has_one_form(part: Json, form: Json) -> None:
    schema = {**object_of(a=part), "$defs": {"E": {"enum": [1], "description": "its"}}}
    assert normalised(schema)["properties"]["a"] == form


def test_the_normal_form_of_a_normal_form_is_itself() -> None:
    form = normalised(REPORT)
    assert normalised(form) == form
    plain = object_of(a={"type": "string", "x-quote": "row.a"}, b={"enum": [1, 2]})
    assert normalised(plain) == plain
    assert list(normalised({"$schema": "x", **plain})) == ["$schema", *plain]


def test_merged_objects_are_closed_as_a_whole() -> None:
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}},
        "required": ["kind"],
        "anyOf": [
            {"properties": {"x": {"type": "integer"}}, "required": ["x"]},
            {"$ref": "#/$defs/Y"},
        ],
        "$defs": {"Y": {"type": "object", "properties": {"y": {"type": "boolean"}}}},
    }
    assert check_schema(schema) == []
    form = normalised(schema)
    assert normalised(form) == form
    assert list(form["properties"]) == ["kind", "x", "y"]  # what a sink has columns for
    lark = Grammar(form).lark
    for output, allowed in (
        ({"kind": "a", "x": 1}, True),
        ({"kind": "b", "y": True}, True),
        ({"kind": "b"}, True),
        ({"kind": "a", "z": 1}, False),
        ({"x": 1}, False),
    ):
        assert accepts(lark, output) is allowed
        assert validator(schema).is_valid(output) is allowed


def test_an_object_made_of_parts_can_be_satisfied() -> None:
    schema = {
        "allOf": [{"$ref": "#/definitions/Base"}],
        "properties": {"own": {"type": "string"}},
        "required": ["own"],
        "definitions": {"Base": object_of(id={"type": "integer"})},
    }
    assert check_schema(schema) == []
    assert accepts(Grammar(normalised(schema)).lark, {"own": "x", "id": 1})
    shut = {"allOf": [{**object_of(a={}), "additionalProperties": False}, object_of(b={})]}
    with pytest.raises(errors.SettingsError, match=r"'b' is required here and forbidden there"):
        normalised(shut)


class Devices(RootModel[Annotated[Pump | Valve, Field(discriminator="kind")]]):
    pass


@pytest.mark.parametrize(
    ("root", "output"),
    [
        ({"$ref": "#/$defs/A", "$defs": {"A": object_of(a={"type": "integer"})}}, {"a": 1}),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 1}),
        ({"$ref": "#/$defs/P", "$defs": {"P": Part.model_json_schema()["$defs"]["Part"] | {
            "properties": {"name": {"type": "string"}, "parts": {
                "type": "array", "items": {"$ref": "#/$defs/P"}}}}}}, {"name": "a", "parts": []}),
        (Devices.model_json_schema(), {"kind": "pump", "litres": 1.5}),
        ({"oneOf": [object_of(a={"const": 1}), object_of(b={"const": 2})]}, {"b": 2}),
        ({"allOf": [object_of(a={"const": 1}), object_of(b={"const": 2})]}, {"a": 1, "b": 2}),
    ],
)  # fmt: skip
def test_the_root_may_be_any_shape_that_ends_in_an_object(root: Json, output: Json) -> None:
    assert check_schema(root) == []
    assert accepts(Grammar(normalised(root)).lark, output)
    assert validator(root).is_valid(output)
    assert set(output) <= set(normalised(root)["properties"])


@pytest.mark.parametrize(
    ("document", "place", "message"),
    [
        ({"type": "array", "items": {}}, "#", '"properties": {"items"'),
        ({"anyOf": [object_of(a={}), {"type": "null"}]}, "#", "abstains by itself"),
        (object_of(a={"type": "string", "maxlength": 3}), "#/properties/a", "`maxLength`"),
        (object_of(a={"type": "string", "x-quotes": "row.a"}), "#/properties/a", "`x-quote`"),
        ({**object_of(a={}), "requird": ["a"]}, "#", "`required`"),
        (object_of(a={"not": {}}), "#/properties/a", "enum, anyOf or a pattern"),
        (object_of(a={"items": {"minContains": 2}}), "#/properties/a/items", "remove it"),
        (object_of(a={"$ref": "#/$defs/B"}), "#/properties/a", "leads nowhere"),
        (object_of(a={"$ref": "b.json"}), "#/properties/a", "copy what it means"),
        (object_of(a={"type": "string", "pattern": r"[a-z"}), "#/properties/a", "not valid"),
        (object_of(a={"type": "STRING"}), "#/properties/a", 'write "type": "string"'),
        (object_of(a={"type": "float"}), "#/properties/a", 'write "type": "number"'),
        (object_of(a={"type": "any"}), "#/properties/a", "leave `type` out"),
        (object_of(a={"type": "string", "pattern": "(?!x)y"}), "#/properties/a", "look-around"),
        (object_of(a={"oneOf": [{"type": "number"}, {}]}), "#/properties/a", "use anyOf"),
        (
            object_of(a={"allOf": [{"type": "string"}, {"type": "null"}]}),
            "#/properties/a",
            "no output",
        ),
    ],
)
def test_a_refusal_names_the_place_and_the_way_out(
    document: Json, place: str, message: str
) -> None:
    with pytest.raises(errors.SettingsError) as caught:
        check_schema(document, where="report.json")
    assert caught.value.where == f"report.json {place}"
    assert message in str(caught.value)


def test_what_only_says_something_passes() -> None:
    told: Any = {
        "$id": "https://example.org/a", "$comment": "c", "x-ui-order": 3, "readonly": True,
        "example": "e", "xml": {"name": "a"}, "enumNames": ["A"], "errorMessage": "no",
    }  # fmt: skip
    assert check_schema({**object_of(a={"type": "string", **told}), **told}) == []


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"type": ["integer", "null"]}, "integer"),
        ({"enum": [1, 2], "type": "integer"}, "integer"),
        ({"enum": ["a", None]}, "enum"),
        ({"type": ["string", "null"], "format": "date"}, "date"),
        ({"type": ["object", "null"], "properties": {"a": {}}}, "json"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, "number"),
        ({"anyOf": [{"type": "array"}, {"type": "string"}]}, "json"),
        ({}, "text"),
    ],
)
def test_kinds_of_normal_forms(part: Json, found: str) -> None:
    assert kind(part) == found


def test_what_is_required_and_not_declared_may_be_anything() -> None:
    schema = {**object_of(a={"type": "integer"}), "required": ["a", "b"]}
    assert check_schema(schema) == []
    lark = Grammar(normalised(schema)).lark
    assert accepts(lark, {"a": 1, "b": "x"})
    assert not accepts(lark, {"a": 1})


def test_drafts_are_read_as_what_they_mean_or_refused() -> None:
    four = {"$schema": "http://json-schema.org/draft-04/schema#", "id": "x",
            **object_of(a={"type": "integer", "minimum": 0, "exclusiveMinimum": True})}  # fmt: skip
    words = object_of(a={"type": "object", "patternProperties": {r"^(\p{L}": {}}})
    with pytest.raises(errors.SettingsError, match="not valid here"):
        normalised(words)
    assert normalised(four)["properties"]["a"]["exclusiveMinimum"] == 0
    odd = {"$schema": "http://json-schema.org/schema#", **object_of(a={"type": "string"})}
    assert check_schema(odd) == []
    three = {"$schema": "http://json-schema.org/draft-03/schema#", **object_of(a={})}
    with pytest.raises(errors.SettingsError, match="draft 3"):
        normalised(three)


_PLAIN = object_of(x={"type": "string"})
_MOST = 1.7976931348623157e308
_DECIMAL = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"
_MAIL = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+"
    r"[A-Za-z]{2,}$"
)


@pytest.mark.parametrize(
    ("part", "good", "bad"),
    [
        # Zod 3 and 4
        ({"anyOf": [{"type": "string", "const": "x"}, {"type": "number", "const": 3}]}, 3, 4),
        ({"type": "object", "propertyNames": {"type": "string"},
          "additionalProperties": {"type": "number"}}, {"k": 1}, {"k": "s"}),
        ({"anyOf": [{"not": {}}, {"type": "string"}]}, "x", 1),
        ({"type": "object", "properties": {"x": {"not": {}}, "y": {"type": "string"}}},
         {"y": "s"}, {"x": 1}),
        ({"type": "array", "prefixItems": [{"type": "string"}], "unevaluatedItems": False},
         ["x"], ["x", "y"]),
        ({"type": "string", "format": "email", "pattern": _MAIL}, "a.b@x.example", ".a@x.example"),
        ({"type": "string", "pattern": _MAIL}, "o'b-@x.co", "a..b@x.example"),
        # OpenAPI 3.0
        ({"nullable": True, "allOf": [_PLAIN]}, None, {"x": 1}),
        ({"nullable": True, "allOf": [_PLAIN]}, {"x": "s"}, "s"),
        ({"nullable": True, "oneOf": [{"type": "integer"}, {"type": "boolean"}]}, None, "s"),
        ({"nullable": True, "$ref": "#/$defs/Plain"}, None, 1),
        ({"nullable": True, "enum": ["x"]}, None, "y"),
        ({"nullable": True, "description": "anything"}, 1, ...),
        # Pydantic
        ({"anyOf": [{"type": "number"}, {"type": "string", "pattern": _DECIMAL}]}, "-0.50", "-."),
        ({"type": "string", "pattern": _DECIMAL}, ".5", "."),
        # by the document's own address
        ({"$ref": "https://x.example/r.json#/$defs/Plain"}, {"x": "s"}, {"x": 1}),
        ({"$ref": "r.json#/$defs/Plain"}, {"x": "s"}, {"x": 1}),
        # the bounds of a machine's numbers: C#, Java, Go
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, -5, 2**60),
        ({"type": ["integer", "null"], "minimum": 0, "maximum": 2**64 - 1}, 5, -1),
        ({"type": "number", "minimum": -_MOST, "maximum": _MOST}, -2.5, "2"),
        # classes of letters, as ECMAScript, Java and POSIX write them
        ({"type": "string", "pattern": r"^\p{Lu}\p{L}*$"}, "Äb", "äb"),
        ({"type": "string", "pattern": r"^(?<year>\d{4})$"}, "2026", "26"),
        ({"type": "string", "pattern": "^[[:alpha:]]+$"}, "ab", "a1"),
        ({"type": "object", "patternProperties": {r"^\p{L}+$": {"type": "integer"}},
          "additionalProperties": False}, {"ä": 1}, {"ä": "x"}),
    ],
)  # fmt: skip
def test_what_generators_write_means_what_they_mean(part: Json, good: Any, bad: Any) -> None:  # noqa: ANN401
    document = {"$id": "https://x.example/r.json", "$defs": {"Plain": _PLAIN}, **object_of(a=part)}
    assert check_schema(document) == []
    lark = Grammar(normalised(document)).lark
    assert accepts(lark, {"a": good})
    assert validator(document).is_valid({"a": good})
    if bad is not ...:
        assert not accepts(lark, {"a": bad})
        assert not validator(document).is_valid({"a": bad})


@pytest.mark.parametrize(
    ("document", "fix"),
    [
        ({"name": "r", "strict": True, "schema": _PLAIN}, "under its `schema`"),
        (
            {"type": "json_schema", "json_schema": {"name": "r", "schema": _PLAIN}},
            "schema.schema`",
        ),
        ({"type": "function", "function": {"parameters": _PLAIN}}, "its `function.parameters`"),
        ({"name": "r", "description": "d", "input_schema": _PLAIN}, "its `input_schema`"),
        ({"openapi": "3.0.0", "components": {"schemas": {"R": _PLAIN}}}, "#/components/schemas/"),
        ({"swagger": "2.0", "definitions": {"R": _PLAIN}}, "#/definitions/"),
        ({"definitions": {"R": _PLAIN}}, '"$ref": "#/definitions/R"'),
        ({"$defs": {"R": _PLAIN, "S": _PLAIN}}, "R, S"),
    ],
)
def test_a_file_that_only_holds_schemas_says_how_to_name_one(document: Json, fix: str) -> None:
    with pytest.raises(errors.SettingsError, match="holds schemas") as caught:
        normalised(document, "report.json")
    assert fix in caught.value.fix


def test_a_list_of_one_type_is_that_type() -> None:
    assert normalised({**object_of(a={"type": ["string"]}), "type": ["object"]})["type"] == "object"


def test_nullable_integers_are_bounded_too() -> None:
    form = closed(object_of(a={"type": ["integer", "null"]}))
    assert form["properties"]["a"]["maximum"] == 2**53
