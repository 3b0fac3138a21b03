"""Kinds of schema from a public collection (JSONSchemaBench), judged by python's jsonschema."""

import itertools
import json
from typing import Any

import jsonschema
import pytest

from insights import errors
from insights.inference.constraint import check_schema
from insights.inference.grammar import Grammar
from insights.model import Json
from insights.steps.normalise import normalised
from insights.steps.schema import validator
from tests.accepting import accepts

_TEXT: Json = {"type": "string"}
_NODE: Json = {
    "type": "object",
    "properties": {"c": {"oneOf": [_TEXT, {"type": "boolean"}, {"$ref": "#/$defs/node"}]}},
}


def _object(properties: Json | None = None, **more: Any) -> Json:  # noqa: ANN401
    named = {"a": _TEXT, "b": _TEXT, "c": _TEXT} if properties is None else properties
    return {"type": "object", "properties": named, **more}


def _held(schema: Json, value: Json) -> bool:
    """Tell whether a value is held, by validation and by the grammar, which must agree."""
    lark = Grammar(normalised(schema)).lark
    made = any(accepts(lark, dict(order)) for order in itertools.permutations(value.items()))
    assert validator(schema).is_valid(value) == made, value
    return made


@pytest.mark.parametrize(
    "name", ["x-format", "x-enum", "x-uniqueItems", "x-type", "_format", "_enum", "//pattern"]
)
def test_names_of_ones_own_and_keywords_switched_off_pass(name: str) -> None:
    assert check_schema(_object({"a": {**_TEXT, name: "date"}})) == []


@pytest.mark.parametrize(
    ("part", "meant"),
    [
        ({**_TEXT, "maxlength": 3}, "maxLength"),
        ({**_TEXT, "x-quotes": "row.a"}, "x-quote"),
        ({"type": "object", "requird": ["a"]}, "required"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_its_name(part: Json, meant: str) -> None:
    with pytest.raises(errors.SettingsError) as told:
        check_schema(_object({"a": part}))
    assert f"did you mean `{meant}`" in told.value.fix


def test_what_the_keyword_could_not_say_is_no_slip() -> None:
    assert check_schema(_object({"a": {**_TEXT, "note": ["as printed"]}})) == []


@pytest.mark.parametrize(
    ("schema", "into"),
    [
        ({"type": "object", "patternProperties": {"^a": _TEXT}}, '"values"'),
        ({"type": "object", "additionalProperties": _TEXT}, '"values"'),
        ({"type": "object", "minProperties": 1}, '"values"'),
        ({"type": "array", "items": _TEXT}, '"items"'),
        (_TEXT, '"value"'),
        ({"type": ["string", "null"]}, '"value"'),
        ({"oneOf": [_TEXT, {"type": "null"}]}, '"value"'),
        ({"type": ["array", "null"], "items": _TEXT}, '"items"'),
    ],
)
def test_another_root_is_refused_with_where_to_put_it(schema: Json, into: str) -> None:
    with pytest.raises(errors.SettingsError, match="must be an object") as told:
        check_schema(schema)
    assert into in told.value.fix
    put = _object({into.strip('"'): schema}, required=[into.strip('"')])
    assert check_schema(put) == []


_CONDITIONS = [
    _object(oneOf=[{"required": ["a"]}, {"required": ["b"]}]),
    _object(oneOf=[{"required": ["a", "b"]}, {"required": ["c"], "description": "alone"}]),
    _object(oneOf=[{"required": ["a"]}, {"required": ["b"]}, {"required": ["a"]}]),
    _object({"o": _object(oneOf=[{"required": ["a"]}, {"required": ["b"]}])}),
    _object({"a": _TEXT, "b": _TEXT}, **{"not": {"description": "d", "required": ["a", "b"]}}),
    _object(**{"not": {"allOf": [{"required": ["a"]}, {"required": ["b", "c"]}]}}),
    _object(**{"not": {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}}),
    _object(dependentSchemas={"a": {"properties": {"b": {"const": "x"}}, "required": ["b"]}}),
    _object(dependentSchemas={"a": False}),
    _object(
        additionalProperties=False, dependentSchemas={"m": {"properties": {"a": {"enum": ["x"]}}}}
    ),
    _object(
        dependentSchemas={
            "a": {"oneOf": [{"properties": {"a": {"const": way}}} for way in ("x", "y")]}
        }
    ),
    _object({"a": {"not": {"type": ["array", "object", "null"]}}, "b": _TEXT}),
    _object({"a": _TEXT, "o": {"not": {"type": "string"}}}),
    _object(dependencies={"a": ["b"], "b": {"properties": {"c": {"enum": ["x"]}}}}),
    {
        "oneOf": [
            _object({"a": {"const": "x"}, "b": _TEXT}, required=["a"]),
            _object({"a": {"const": "y"}}, required=["a"], additionalProperties=False),
        ]
    },
]
# A condition of a name beside a pattern that the name has, in parts that are merged.
_PATTERNED: Json = {
    "type": "object",
    "patternProperties": {"^[a-z]$": {"maxLength": 1}},
    "additionalProperties": False,
}
_CONDITIONS += [
    _object({"o": {"allOf": [_object({"a": {"enum": ["x"]}}, required=asked), _PATTERNED]}})
    for asked in ([], ["a"])
]
_VALUES: list[Json] = [
    {}, {"a": "x"}, {"b": "x"}, {"c": "x"}, {"a": "x", "b": "x"}, {"a": "x", "c": "x"},
    {"b": "y", "c": "y"}, {"a": "x", "b": "y"}, {"a": "y"}, {"a": "y", "b": "x"},
    {"a": "x", "b": "x", "c": "x"}, {"a": "x", "b": "y", "c": "y"},
    {"o": {"a": "y"}}, {"o": {"d": "yy"}}, {"o": {"d": "y"}}, {"o": {"D": "y"}},
    {"o": {"a": "x"}}, {"o": {"a": "x", "b": "x"}}, {"o": {}},
]  # fmt: skip


# What is forbidden in an object that may have others, too.
_OPEN: list[Json] = [
    _object({"a": _TEXT, "z": False}, additionalProperties=True),
    _object({"a": _TEXT, "z": {"not": {}}}, additionalProperties=True),
    _object(
        {"o": _object({"a": _TEXT, "z": False}, additionalProperties={"type": "integer"})},
        additionalProperties=False,
    ),
    _object({"a": _TEXT, "x1": False}, patternProperties={"^x": _TEXT}, additionalProperties=False),
    _object({"a": _TEXT, "xa": _TEXT}, patternProperties={"^x": False}, additionalProperties=True),
    _object({"a": _TEXT, "b": _TEXT}, additionalProperties=True, dependentRequired={"a": ["b"]}),
    _object({"a": _TEXT}, additionalProperties=True, dependentSchemas={"z": {"required": ["a"]}}),
    _object(
        {"a": _TEXT, "b": _TEXT}, additionalProperties=True, **{"not": {"required": ["a", "b"]}}
    ),
    _object(
        {"a": _TEXT}, additionalProperties=True, oneOf=[{"required": ["a"]}, {"required": ["z"]}]
    ),
    {
        "allOf": [
            _object({"a": _TEXT}, additionalProperties=_TEXT),
            _object({"z": {"type": "integer"}}, additionalProperties=True),
        ]
    },
    {
        "anyOf": [
            _object({"a": _TEXT}, additionalProperties=True, required=["a"]),
            _object({"b": _TEXT}, additionalProperties=False),
        ]
    },
]
_OTHERS: list[Json] = [
    {}, {"z": 1}, {"z": "s"}, {"q": 1}, {"q": "s"}, {"a": "x"}, {"b": "x"}, {"b": 1},
    {"a": "x", "z": 1}, {"a": "x", "b": "y"}, {"a": "x", "q": 1}, {"b": "x", "q": 1},
    {"x1": "s"}, {"x2": "s"}, {"x2": 1}, {"xa": "s"}, {"o": {"z": 1}}, {"o": {"q": 1}},
    {"o": {"q": "s"}}, {"a": "x", "z": "s", "b": "y"},
]  # fmt: skip


@pytest.mark.parametrize("schema", _OPEN, ids=json.dumps)
def test_what_is_forbidden_stays_so_where_others_may_be(schema: Json) -> None:
    assert check_schema(schema) == []
    for form in (schema, normalised(schema)):
        held = [value for value in _OTHERS if _held(form, value)]
        judge = jsonschema.Draft202012Validator(schema)
        assert held == [value for value in _OTHERS if judge.is_valid(value)]


def test_alternatives_of_the_root_keep_their_own_properties_when_read_again() -> None:
    inner = [_object({name: _TEXT}) for name in ("x", "y")]
    schema = {
        "anyOf": [
            _object({"p": inner[0], "i": _TEXT}, required=["i"]),
            _object({"p": inner[1], "k": {"const": 1}}, required=["k"]),
        ]
    }
    form = normalised(schema)
    assert normalised(form) == form
    for again in (schema, form):
        assert _held(again, {"i": "a", "p": {"x": "q"}})
        assert not _held(again, {"i": "a", "p": {"y": "q"}})


@pytest.mark.parametrize(
    ("schema", "held", "not_held"),
    [
        (  # `anyOf` of what is required, written with the properties: both may be there
            _object(
                {"a": _TEXT, "b": _TEXT},
                anyOf=[{"properties": {n: _TEXT}, "required": [n]} for n in ("a", "b")],
            ),
            {"a": "x", "b": "y"},
            {},
        ),
        (  # closed alternatives that list all properties, and a name that the whole requires
            _object(
                {"a": _TEXT, "b": _TEXT},
                required=["a"],
                anyOf=[_object({"a": _TEXT, "b": _TEXT}, additionalProperties=False)],
            ),
            {"a": "x"},
            {"b": "x"},
        ),
        (  # open alternatives within what is closed
            _object(
                {"a": _TEXT, "b": _TEXT},
                additionalProperties=False,
                anyOf=[_object({n: _TEXT}, additionalProperties=True) for n in ("a", "b")],
            ),
            {"a": "x", "b": "y"},
            {"q": 1},
        ),
    ],
)
def test_what_people_write_beside_alternatives_is_held(
    schema: Json, held: Json, not_held: Json
) -> None:
    """It looks like what the normal form writes there, which is passed over."""
    assert check_schema(schema) == []
    for form in (schema, normalised(schema)):
        assert _held(form, held)
        assert not _held(form, not_held)


def test_a_recursive_alternative_may_leave_a_required_name_open() -> None:
    plain = _object({"d": {"const": "x"}}, required=["d"])
    node = _object({"d": True, "c": {"oneOf": [plain, {"$ref": "#/$defs/n"}]}}, required=["d", "c"])
    with pytest.raises(errors.SettingsError, match="overlap"):
        check_schema(_object({"n": {"$ref": "#/$defs/n"}}, **{"$defs": {"n": node}}))


def test_null_beside_a_recursive_part_that_may_be_null_overlaps() -> None:
    node = _object({"c": {"$ref": "#/$defs/n"}}, nullable=True)  # OpenAPI 3.0
    either = {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/n"}]}
    with pytest.raises(errors.SettingsError, match="overlap"):
        check_schema(_object({"c": either}, **{"$defs": {"n": node}}))


def test_a_recursive_part_that_nothing_satisfies_is_told_by_its_place() -> None:
    never = {"allOf": [_TEXT, {"type": "object"}], "properties": {"n": {"$ref": "#/$defs/n"}}}
    schema = _object({"n": {"anyOf": [_TEXT, {"$ref": "#/$defs/n"}]}}, **{"$defs": {"n": never}})
    with pytest.raises(errors.SettingsError, match="no output can satisfy it") as told:
        check_schema(schema)
    assert str(told.value.where).endswith("#/$defs/n")


@pytest.mark.parametrize("schema", _CONDITIONS, ids=json.dumps)
def test_conditions_are_held_as_the_standard_says(schema: Json) -> None:
    assert check_schema(schema) == []
    parts = [schema, *schema.get("oneOf", ())]
    named = {name for part in parts for name in part.get("properties", ())}
    judge = jsonschema.Draft7Validator(schema)  # knows `dependencies`
    if "dependentSchemas" in schema:
        judge = jsonschema.Draft202012Validator(schema)
    known = [value for value in _VALUES if value.keys() <= named]
    held = [value for value in known if _held(schema, value)]
    assert held == [value for value in known if judge.is_valid(value)]
    assert held


def test_alternatives_that_overlap_are_refused_at_the_root_too() -> None:
    """They were taken for `anyOf` there, and outputs that the schema forbids were shown."""
    schema = {
        "oneOf": [
            _object({"n": {"type": "integer", "multipleOf": 3}}, required=["n"]),
            _object({"n": {"type": "integer", "multipleOf": 5}}, required=["n"]),
        ]
    }
    with pytest.raises(errors.SettingsError, match="alternatives of oneOf overlap") as told:
        check_schema(schema)
    assert "anyOf" in told.value.fix
    assert "coerce" not in str(told.value)


def test_a_required_constant_tells_from_an_alternative_that_refers_to_itself() -> None:
    kids = {"type": "array", "items": {"$ref": "#/$defs/s"}}
    tagged = _object({"d": {"enum": ["s"]}, "kids": kids}, required=["d", "kids"])
    plain = _object({"d": {"enum": ["p"]}}, required=["d"])
    schema = _object({"v": {"oneOf": [plain, {"$ref": "#/$defs/s"}]}}, **{"$defs": {"s": tagged}})
    assert check_schema(schema) == []
    assert _held(schema, {"v": {"d": "p"}})
    assert _held(schema, {"v": {"d": "s", "kids": []}})
    assert not _held(schema, {"v": {"d": "s"}})


def test_a_normal_form_that_refers_to_itself_is_its_own() -> None:
    schema = _object({"a": _TEXT, "b": {"$ref": "#"}}, dependentRequired={"b": ["a"]})
    form = normalised(schema)
    assert normalised(form) == form
    assert check_schema(form) == []


def test_an_end_within_a_group_is_told_as_such() -> None:
    with pytest.raises(errors.SettingsError, match="within a group") as told:
        check_schema(_object({"a": {**_TEXT, "pattern": r"^(a($|\/))*$"}}))
    assert "end of the whole pattern" in told.value.fix


def test_a_root_that_may_be_more_than_an_object_is_told_so() -> None:
    with pytest.raises(errors.SettingsError, match="nothing else") as told:
        check_schema({**_object(), "type": ["object", "boolean"]})
    assert told.value.fix == 'write "type": "object"'


def test_alternatives_of_other_types_exclude_each_other_though_one_refers_to_itself() -> None:
    schema = {**_NODE, "$defs": {"node": _NODE}}
    assert check_schema(schema) == []
    for value in ({"c": "x"}, {"c": True}, {"c": {"c": {"c": "x"}}}):
        assert _held(schema, value)
    assert not _held(schema, {"c": 3})


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (_object({"a": {"$ref": "#"}}, required=["a"]), "#"),
        (
            _object(
                {"a": {"$ref": "#/$defs/list"}},
                **{
                    "$defs": {
                        "list": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/list"}}
                    }
                },
            ),
            "#/$defs/list",
        ),
    ],
)
def test_what_refers_to_itself_without_end_is_refused(schema: Json, place: str) -> None:
    with pytest.raises(errors.SettingsError, match="without end") as told:
        check_schema(schema)
    assert str(told.value.where).endswith(f" {place}")


def test_what_refers_to_itself_and_can_end_is_taken() -> None:
    inner: Json = {"type": "array", "items": {"$ref": "#/$defs/list"}}
    schema = _object({"a": {"$ref": "#/$defs/list"}}, **{"$defs": {"list": inner}})
    assert check_schema(schema) == []
    assert _held(schema, {"a": [[], [[]]]})


def test_a_pattern_and_lengths_of_which_nothing_can_be_written_are_refused() -> None:
    """They compiled, and each row failed at its first signs."""
    words = {**_TEXT, "pattern": r"^(?:\S+\s+)*\S+$", "maxLength": 5_000}
    with pytest.raises(errors.SettingsError, match="too much to hold") as told:
        check_schema(_object({"a": words}))
    assert str(told.value.where).endswith("#/properties/a")
    for taken in ({**words, "maxLength": 200}, {**words, "pattern": "^[a-z]+( [a-z]+)*$"}):
        assert check_schema(_object({"a": taken})) == []


def test_a_list_that_can_only_be_empty_is_told() -> None:
    never = {"allOf": [_TEXT, {"type": "object"}]}
    (told,) = check_schema(_object({"a": {"type": "array", "items": never}}))
    assert told.startswith("#/properties/a: ")


def test_values_that_contradict_their_type_are_told() -> None:
    (told,) = check_schema(_object({"a": {"type": "object", "enum": ["x"]}, "b": _TEXT}))
    assert told.startswith("#/properties/a: none of its values")


def test_a_choice_within_an_alternative_of_the_output_that_overlaps_is_told() -> None:
    overlap = {"oneOf": [{"required": ["a"]}, {"properties": {"a": {"const": "x"}}}]}
    schema = {"anyOf": [{**_object(), **overlap}, _object({"z": _TEXT}, required=["z"])]}
    with pytest.raises(errors.SettingsError, match="alternatives overlap") as told:
        check_schema(schema)
    assert "anyOf" in told.value.fix


def test_a_condition_that_nothing_satisfies_is_told_by_its_place() -> None:
    schema = _object({"a": {"allOf": [_TEXT, {"type": "object"}]}}, required=["a"])
    with pytest.raises(errors.SettingsError, match="no output can satisfy it") as told:
        check_schema(schema)
    assert str(told.value.where).endswith("#/properties/a")


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d$", r"^\w$", r"^\W$", r"^\D$", r"^\s$", r"^\S$", r"^[\d]$", r"^[^\d]$", r"^[\w-]$",
        r"^[\W_]$", r"^[[:alpha:]]$", r"^[^[:digit:]]$", r"^[\]\d]$", r"^a$", r"^(a|b$)", r"^[a$]$",
        r"^\$$", r"^\\d$", r"^\p{L}$", r"^.$",
    ],
)  # fmt: skip
def test_patterns_are_judged_as_they_are_generated(pattern: str) -> None:
    schema = _object({"a": {**_TEXT, "pattern": pattern}})
    texts = (
        "3", "\u0663", "\u00e9", "a", "_", "\u00a0", " ", "\n", "a\n", "-", "]", "$", "$\n", "d",
        "\\d", "[", "^", "`", "{", "\\", "/", ":", "@", "Z",
    )  # fmt: skip
    held = [_held(schema, {"a": text}) for text in texts]
    assert any(held)
    assert not all(held)


def test_escaped_angles_are_signs_as_in_ecmascript() -> None:
    """They are the beginning and the end of a word to the grammar."""
    schema = _object({"a": {**_TEXT, "pattern": r"^\w+ \<\w+\>$"}})
    assert check_schema(schema) == []
    assert _held(schema, {"a": "Ann <ann>"})
    assert not _held(schema, {"a": "Ann ann"})
