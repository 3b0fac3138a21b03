"""What differs between two versions, in the words of their settings."""

from typing import Any

import msgspec

from insights.site.versions import Change, changes


def _definition(**more: Any) -> dict[str, Any]:  # noqa: ANN401
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "string"}}}
    return {
        "template": "One.\n{{ row.body }}\nThree.",
        "schema": msgspec.json.encode(schema).decode(),
        "generator": "aa" * 32,
        "retrieval": {"passages": 3, "filters": {}},
        "abstain": ["not enough information"],
        **more,
    }


def test_equal_definitions_differ_in_nothing() -> None:
    assert changes(_definition(), _definition()) == []


def test_each_kind_of_change_is_told_by_its_setting() -> None:
    longer = {"type": "object", "properties": {"a": {"enum": ["x"]}, "b": {"type": "string"}}}
    after = _definition(
        template="One.\n{{ row.subject }}\nThree.",
        schema=msgspec.json.encode(longer).decode(),
        generator={"url": "https://gpu1/v1", "model": "m"},
        retrieval={"passages": 5, "filters": {}},
        min_support=0.3,
    )
    assert changes(_definition(), after) == [
        Change("prompt", lines=("@@ -1,3 +1,3 @@", " One.", "-{{ row.body }}",
                                "+{{ row.subject }}", " Three.")),
        Change("schema.properties.a.enum", '["x","y"]', '["x"]'),
        Change("model", "aa" * 32, '{"url":"https://gpu1/v1","model":"m"}'),
        Change("retrieval.passages", "3", "5"),
        Change("min_support", None, "0.3"),
    ]  # fmt: skip
    assert Change("min_support", "0.3", None) in changes(after, _definition())


def test_another_adapter_and_another_scale_are_told_apart() -> None:
    one, other = ({"sha256": mark * 64, "scale": 1.0} for mark in "12")
    assert changes(_definition(adapter=one), _definition(adapter=other)) == [
        Change("adapter.sha256", "1" * 64, "2" * 64)
    ]
    softer = _definition(adapter={**one, "scale": 0.5})
    assert changes(_definition(adapter=one), softer) == [Change("adapter.scale", "1.0", "0.5")]
    (found,) = changes(_definition(), _definition(adapter=one))
    assert (found.what, found.before) == ("adapter", None)


def test_an_order_of_properties_is_a_change() -> None:
    turned = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"enum": ["x", "y"]}}}
    (found,) = changes(_definition(), _definition(schema=msgspec.json.encode(turned).decode()))
    assert (found.what, found.before) == ("schema", "the same properties")


def test_against_nothing_all_of_it_is_told() -> None:
    told = {change.what for change in changes({}, _definition())}
    assert told == {"prompt", "schema", "model", "retrieval", "abstain"}
