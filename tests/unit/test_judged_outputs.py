"""An output of choices and numbers comes again: what it breaks of its schema is looked for once."""

from typing import Any

import msgspec
import pytest

from insights.model import Generation, Json, Verdict
from insights.steps import schema as schemas
from insights.steps.validate import validate


def _schema(*choices: str) -> Json:
    return {
        "type": "object",
        "properties": {"category": {"enum": [*choices]}, "note": {"type": "string"}},
        "required": ["category"],
        "additionalProperties": False,
    }


def _validated(text: str, schema: Json) -> Verdict:
    return validate(Generation(text=text, finish="stop", model="m"), schema, {}, ())


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """Return the outputs that are judged, as they come."""
    outputs: list[Json] = []
    found = schemas._Judge._found

    def noted(judge: Any, output: Json) -> str:  # noqa: ANN401 - of a private class
        outputs.append(output)
        return found(judge, output)

    monkeypatch.setattr(schemas._Judge, "_found", noted)
    schemas._judge.cache_clear()
    return outputs


def test_the_same_short_output_is_judged_once_by_each_schema(looked: list[Json]) -> None:
    text, wide, narrow = '{"category":"a"}', _schema("a", "b"), _schema("b", "c")
    for _ in range(3):
        assert _validated(text, wide).output == {"category": "a"}
        assert _validated(text, narrow).reason == "the output breaks its schema at category: enum"
    assert looked == [{"category": "a"}] * 2
    # What it is made into is nobody else's: who changes one changes no other.
    first = _validated(text, wide)
    assert first.output is not None
    first.output["category"] = "z"
    assert _validated(text, wide).output == {"category": "a"}


def test_long_outputs_and_too_many_are_not_kept(looked: list[Json]) -> None:
    long = '{"category":"a","note":"' + "x" * schemas._SHORT + '"}'
    for _ in range(2):
        assert _validated(long, _schema("a")).status == "ok"
    assert len(looked) == 2
    for number in range(schemas._KEPT + 2):
        assert _validated(f'{{"category":"{number}"}}', _schema("a")).status == "withheld"
    kept = schemas._judge(msgspec.json.encode(_schema("a")))._kept
    assert 0 < len(kept) <= schemas._KEPT


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        ('{"n":1e309}', "stop", "the output has a number that no database holds"),
        ('{"n":1', "stop", "the output is not JSON"),
        ('{"n":1', "length", "the output reached max_tokens"),
        ("[1]", "stop", "the output is no object"),
    ],
)
def test_what_is_no_output_is_withheld_with_why(text: str, finish: Any, reason: str) -> None:  # noqa: ANN401
    made = Generation(text=text, finish=finish, model="m")
    schema = {"type": "object", "properties": {"n": {"type": "number"}}}
    verdict = validate(made, schema, {}, ())
    assert (verdict.status, verdict.reason) == ("withheld", reason)
