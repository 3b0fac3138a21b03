"""Pairs for fine-tuning: only with consent, only what the model was really asked."""

import hashlib
from collections import Counter
from uuid import UUID

import msgspec
import pytest

from insights.enriching.feedback import Agreed
from insights.enriching.guard import Guard
from insights.enriching.pairs import Asked, asked, ordered, split
from insights.enriching.recipe import Recipe, prompt_sha256, request_for
from insights.model import Json, Said, Sampling, StreamSpec
from insights.steps.prompt import Template
from insights.testing import MemorySource, ScriptedGenerator

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "urgent": {"type": "boolean"},
        "kind": {"enum": ["short", "long"]},
        "parts": {
            "type": "array",
            "items": {"type": "object", "properties": {"z": {}, "name": {}, "a": {}}},
        },
    },
    "required": ["kind"],
}
OUTPUT: Json = {"kind": "short", "urgent": False}
CANARY = "bocudilemofu"
CONSENTS = {1: "yes", 2: "no", 3: None, 4: "maybe", 5: "Y", 6: "1", 7: "true", 8: "t"}


@pytest.fixture
def recipe() -> Recipe:
    table = [
        {"id": n, "body": f"write to zelda{n}@example.net", "ok": ok} for n, ok in CONSENTS.items()
    ]
    return Recipe(
        name="triage",
        stream=StreamSpec(name="t", source="s", key=("id",), inputs=("body",), table="t"),
        source=MemorySource({"t": table}),
        generator=ScriptedGenerator(lambda _: OUTPUT),
        template=Template("{# system #}\nDecide.\n{# user #}\n{{ row.body }}", where="p"),
        output_schema=SCHEMA,
        abstain=(),
        sampling=Sampling(),
        cut=(),
        retriever=None,
        query_columns=("body",),
        deadline_s=10,
        version_id=1,
        guard=Guard(canary=CANARY),
    )


def judged(recipe: Recipe, number: int, **corrected: object) -> Agreed:
    """Return that a row's insight is right, or corrected, as the daemon made it."""
    (row,) = recipe.source.fetch(recipe.stream, [str(number)])
    said = Said(
        insight_id=number,
        row_key=str(number),
        verdict="wrong" if corrected else "right",
        corrected=corrected or None,
        output=OUTPUT,
        input_hash=UUID(bytes=row.input_hash),
        version="a",
        columns=("body",),
        prompt=prompt_sha256(request_for(recipe, row, (), ())),
    )
    return Agreed(said, corrected)


def made(
    recipe: Recipe, *found: Agreed, consent: str | None = None
) -> tuple[list[Asked], Counter[str]]:
    left_out: Counter[str] = Counter()
    return list(asked(recipe, found, consent, left_out)), left_out


def test_a_pair_is_the_redacted_prompt_and_the_answer_that_is_right(recipe: Recipe) -> None:
    (right, wrong), left_out = made(recipe, judged(recipe, 1), judged(recipe, 2, kind="long"))
    assert left_out == {}
    assert right.messages == [
        {"role": "system", "content": "Decide."},
        {"role": "user", "content": "write to <EMAIL_1>"},
        {"role": "assistant", "content": '{"urgent":false,"kind":"short"}'},
    ]
    assert wrong.messages[-1]["content"] == '{"urgent":false,"kind":"long"}'
    assert CANARY not in str(right.messages)


def test_without_consent_nothing_of_a_row_is_handed_over(recipe: Recipe) -> None:
    found, left_out = made(recipe, *(judged(recipe, n) for n in CONSENTS), consent="ok")
    assert {one.agreed.said.row_key for one in found} == {"1", "5", "6", "7", "8"}
    assert left_out == {"nobody consented": 3}


def test_what_the_model_was_not_asked_is_left_out(recipe: Recipe) -> None:
    found = [judged(recipe, n) for n in (1, 2, 3, 4, 5)]
    found[1] = Agreed(msgspec.structs.replace(found[1].said, prompt=None), {})
    found[2] = Agreed(msgspec.structs.replace(found[2].said, prompt="0" * 64), {})
    found[3] = judged(recipe, 4, kind="none of these")
    table = recipe.source.tables["t"]  # type: ignore[attr-defined]
    table[4]["body"] = "another text"
    del table[0]
    pairs, left_out = made(recipe, *found)
    assert pairs == []
    assert left_out == {
        "the row is gone from the replica": 1,
        "the audit does not have any more what the model was asked": 1,
        "the model would be asked something else today": 1,
        "the schema does not allow the correction": 1,
        "the row has changed since": 1,
    }


def test_a_row_has_one_split_on_every_host() -> None:
    keys = [hashlib.sha256(f"salt{n}".encode()).hexdigest()[:32] for n in range(20_000)]
    shares = Counter[str](map(split, keys))
    assert [split(key) for key in ("00000000", "ccccccc0", "cccccccd", "e6666667", "ffffffff")] == [
        "train", "train", "validation", "test", "test",
    ]  # fmt: skip
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(shares[name] / len(keys) - share) < 0.01


def test_an_answer_has_its_properties_as_the_model_writes_them() -> None:
    stored = {"kind": "long", "parts": [{"a": 1, "name": 2, "z": 3}, 4], "urgent": True}
    found = ordered(stored, SCHEMA)
    assert list(found) == ["urgent", "kind", "parts"]
    assert list(found["parts"][0]) == ["z", "name", "a"]
    assert found == stored
