"""Output schemas that people report: decimals, formats, bundled documents, and large ones."""

import re
from itertools import product
from typing import Any

import pytest

from insights import errors
from insights.inference import constraint
from insights.inference.constraint import check_schema
from insights.model import Json
from insights.steps import decimals, keywords
from insights.steps.normalise import normalised
from insights.steps.schema import validator


def _pydantic(digits: int | None, places: int | None) -> str:
    """Return the pattern of a decimal as Pydantic 2.12 writes it, each alternative to its end."""
    begin = r"^(?!^[-+.]*$)[+-]?0*"
    if digits is not None and places is not None:
        whole = max(0, digits - places)
        return begin + (
            rf"(?:\d{{0,{whole}}}|(?=[\d.]{{1,{digits + 1}}}0*$)"
            rf"\d{{0,{whole}}}\.\d{{0,{places}}}0*$)"
        )
    if digits is not None:
        return begin + rf"(?:\d{{0,{digits}}}|(?=[\d.]{{1,{digits + 1}}}0*$)\d*\.\d*0*$)"
    return begin + (r"\d*\.?\d*$" if places is None else rf"\d*\.?\d{{0,{places}}}0*$")


@pytest.mark.parametrize("digits", [None, 1, 2, 3])
@pytest.mark.parametrize("places", [None, 0, 1, 2])
def test_a_decimal_as_pydantic_writes_it_is_generated(
    digits: int | None, places: int | None
) -> None:
    if digits is not None and places is not None and places > digits:
        return
    pattern = _pydantic(digits, places)
    meant = re.compile(pattern.replace("|(?=", "$|(?="))  # it forgets the first one's end
    made = re.compile(decimals.written(pattern))
    for length in range(6):
        for signs in product("01.-", repeat=length):
            text = "".join(signs)
            assert bool(made.search(text)) == bool(meant.search(text)), text
    amount: Json = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": pattern}]}
    check_schema({"type": "object", "properties": {"amount": amount}, "required": ["amount"]})


@pytest.mark.parametrize(
    ("format_", "good", "bad"),
    [
        ("date", "2028-02-29", "2026-02-30"),
        ("date", "2026-01-01", "soon"),
        ("date-time", "2026-01-01T00:00:00.5+01:00", "2026-01-01 00:00:00"),
        ("time", "23:59:60Z", "24:00:00Z"),
        ("duration", "P1Y2M3DT4H", "PT"),
        ("email", "a.b@c.de", "a b"),
        ("hostname", "db1.example.com", "a_b"),
        ("ipv4", "10.1.2.3", "256.1.1.1"),
        ("ipv6", "2001:db8::1", "1:2"),
        ("uuid", "6F9619FF-8B86-D011-B42D-00C04FC964FF", "6F9619FF"),
        ("uri", "https://a.b/c", "a b"),
        ("phone", "anything", None),
    ],
)
def test_a_format_is_held_whoever_answers(format_: str, good: str, bad: str | None) -> None:
    """A model server need not know formats; the grammar here does."""
    judge = validator(
        {"type": "object", "properties": {"v": {"type": ["string", "null"], "format": format_}}}
    )
    assert judge.is_valid({"v": good})
    assert judge.is_valid({"v": None})
    assert bad is None or not judge.is_valid({"v": bad})


def _object(**properties: Any) -> Json:  # noqa: ANN401
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize("reference", ["short.json", "https://ex.com/a/short.json", "#short"])
def test_a_document_within_the_document_is_found_by_its_address(reference: str) -> None:
    bundle = {
        "$id": "https://ex.com/a/root.json",
        **_object(a={"$ref": reference}, b={"$ref": "parts/list.json#/$defs/item"}),
        "$defs": {
            "one": {"$id": "short.json", "$anchor": "short", "type": "string", "maxLength": 3},
            "two": {"$id": "parts/list.json", "$defs": {"item": {"type": "integer"}}},
        },
    }
    check_schema(bundle)
    assert validator(bundle).is_valid({"a": "abc", "b": 1})
    assert not validator(bundle).is_valid({"a": "abcd", "b": 1})
    assert not validator(bundle).is_valid({"a": "abc", "b": "x"})


def test_an_address_outside_the_document_is_refused() -> None:
    outside = {"$id": "https://ex.com/a.json", **_object(a={"$ref": "https://ex.com/b.json"})}
    with pytest.raises(errors.SettingsError, match="leads out of the file"):
        normalised(outside)


@pytest.mark.parametrize(
    ("type_", "good", "bad"), [("number", "-1.5", "a"), ("integer", "12", "1.5")]
)
def test_names_that_are_numbers_are_their_texts(type_: str, good: str, bad: str) -> None:
    record = _object(m={"type": "object", "propertyNames": {"type": type_},
                        "additionalProperties": {"type": "number"}})  # fmt: skip
    check_schema(record)
    assert validator(record).is_valid({"m": {good: 1}})
    assert not validator(record).is_valid({"m": {bad: 1}})


def _large(bad: Json) -> Json:
    """Return a schema of 600 parts, one of which cannot be generated."""
    step = _object(**{f"p{at}": {"type": "string"} for at in range(20)})
    steps = {f"s{at}": step for at in range(28)}
    return _object(**steps, last=_object(deep=_object(bad=bad)))


def test_the_place_of_what_cannot_be_generated_is_found_on_the_way_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    judged = constraint._judged

    def _counted(lark: str) -> Any:  # noqa: ANN401
        nonlocal asked
        asked += 1
        return judged(lark)

    monkeypatch.setattr(constraint, "_judged", _counted)
    with pytest.raises(errors.SettingsError, match="cannot be generated") as caught:
        check_schema(_large({"type": "string", "pattern": r"^(a|b)\1$"}))
    assert caught.value.where.endswith("#/properties/last/properties/deep/properties/bad")
    assert asked < 40  # not each of its 600 parts, with all that is in it


def test_a_schema_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    valid = keywords.valid

    def _counted(document: Any, where: str) -> None:  # noqa: ANN401
        nonlocal looked
        looked += 1
        valid(document, where)

    monkeypatch.setattr(keywords, "valid", _counted)
    check_schema(_large({"type": "string", "maxLength": 77}))
    assert looked == 1
