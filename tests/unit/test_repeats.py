"""Lists that name nothing twice: accepted, generated as any other, and freed of what repeats."""

from typing import Literal

import pydantic
import pytest

from insights.inference.constraint import check_schema
from insights.inference.grammar import Grammar
from insights.model import Generation, Json, Span
from insights.steps.repeats import dropped
from insights.steps.schema import normal
from insights.steps.validate import validate
from tests.accepting import accepts

TAGS: Json = {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True}


def _schema(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _made(text: str, **more: object) -> Generation:
    return Generation(text=text, finish="stop", model="m", **more)  # type: ignore[arg-type]


def test_sets_as_pydantic_writes_them_are_generated_and_judged() -> None:
    class Ticket(pydantic.BaseModel):
        tags: set[Literal["pump", "valve"]]
        codes: frozenset[int] = pydantic.Field(max_length=3)
        flags: set[bool] | None

    schema = Ticket.model_json_schema()
    assert check_schema(schema) == []
    parts = normal(schema)["properties"]
    assert (parts["tags"]["maxItems"], parts["flags"]["maxItems"]) == (2, 2)
    made = dropped(_made('{"tags":["pump","pump"],"codes":[2,1,2],"flags":null}'), schema)
    assert made.text == '{"tags":["pump"],"codes":[2,1],"flags":null}'
    verdict = validate(made, schema, {"body": "2 of 1"}, ())
    assert verdict.output == {"tags": ["pump"], "codes": [2, 1], "flags": None}
    assert accepts(Grammar(normal(schema)).lark, verdict.output)


@pytest.mark.parametrize(
    ("part", "said", "kept"),
    [
        (TAGS, '["b","a","b","a"]', '["b","a"]'),
        ({"type": "array", "uniqueItems": True}, '[1,1.0,true,"1",{"x":1},{"x":1.0}]', None),
        ({"type": "array", "items": {"type": "string"}}, '["a","a"]', '["a","a"]'),
        ({"type": "array", "items": TAGS, "uniqueItems": True}, '[["a","a"],["a"],["b"]]', None),
        ({"anyOf": [{**TAGS, "minItems": 1}, {"type": "string"}]}, '["a","a"]', '["a"]'),
        ({"anyOf": [{**TAGS, "minItems": 1}, {"type": "string"}]}, '"a, a"', '"a, a"'),
    ],
)
def test_what_repeats_is_left_out(part: Json, said: str, kept: str | None) -> None:
    schema = _schema(a=part)
    check_schema(schema)
    made = dropped(_made(f'{{"a":{said}}}'), schema)
    expected = kept or {"[1": '[1,true,"1",{"x":1}]', "[[": '[["a"],["b"]]'}[said[:2]]
    assert made.text == f'{{"a":{expected}}}'
    assert validate(made, schema, {"body": "1"}, ()).status == "ok"


def test_quotes_and_confidence_follow_their_items() -> None:
    schema = _schema(
        steps={
            "type": "array",
            "items": {"type": "string", "x-quote": "row.body"},
            "uniqueItems": True,
        },
        tags=TAGS,
    )
    assert check_schema(schema) == []
    quotes = tuple(
        Span(field=f"/steps/{at}", source="row.body", start=start, end=start + 4)
        for at, start in enumerate((0, 0, 5))
    )
    sure = {"/tags/0": 0.9, "/tags/1": 0.8, "/tags/2": 0.7}
    made = dropped(
        _made(
            '{"steps":["pump","pump","leak"],"tags":["a","a","c"]}', quotes=quotes, confidence=sure
        ),
        schema,
    )
    assert [(span.field, span.start) for span in made.quotes] == [("/steps/0", 0), ("/steps/1", 5)]
    assert made.confidence == {"/tags/0": 0.9, "/tags/1": 0.7}
    verdict = validate(made, schema, {"body": "pump leak"}, ())
    assert verdict.status == "ok"
    assert [one.quote for one in verdict.citations] == ["pump", "leak"]


def test_a_list_that_is_too_short_without_its_repeats_is_withheld() -> None:
    schema = _schema(a={**TAGS, "minItems": 2})
    made = dropped(_made('{"a":["a","a"]}'), schema)
    assert validate(made, schema, {}, ()).status == "withheld"


def test_what_is_no_json_or_has_no_repeats_comes_back_as_it_is() -> None:
    for text in ('{"a":["a"', '{"a": ["a"]}', '{"abstain":"no"}'):
        made = _made(text)
        assert dropped(made, _schema(a=TAGS)) is made
