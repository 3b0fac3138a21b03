"""What people said of insights becomes labels: where they agree, of rows that read as they did."""

from collections import Counter
from uuid import UUID

import msgspec
import pytest

from insights.enriching.feedback import agreed, labelled
from insights.enriching.recipe import Recipe
from insights.model import Json, Said, Sampling, StreamSpec
from insights.steps.prompt import Template
from insights.testing import MemorySource, ScriptedGenerator

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["short", "long"]},
        "urgent": {"type": "boolean"},
        "note": {"type": "string"},
    },
    "required": ["kind"],
}
OUTPUT: Json = {"kind": "short", "urgent": False, "note": "words of the model"}


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        name="triage",
        stream=StreamSpec(name="t", source="s", key=("id",), inputs=("body",), table="t"),
        source=MemorySource({"t": [{"id": n, "body": f"b{n}", "more": "m"} for n in range(1, 9)]}),
        generator=ScriptedGenerator(lambda _: OUTPUT),
        template=Template("{{ row.body }}", where="p"),
        output_schema=SCHEMA,
        abstain=(),
        sampling=Sampling(),
        cut=(),
        retriever=None,
        query_columns=("body",),
        deadline_s=10,
        version_id=1,
    )


def said(recipe: Recipe, number: int, corrected: Json | None = None, **more: object) -> Said:
    """Return a verdict on a row as it is: right, or wrong where something is corrected."""
    columns = more.get("columns", ("body",))
    spec = msgspec.structs.replace(recipe.stream, inputs=columns)
    (row,) = recipe.source.fetch(spec, [str(number)])
    made = Said(
        insight_id=number,
        row_key=str(number),
        verdict="right" if corrected is None else "wrong",
        corrected=corrected or None,
        output=OUTPUT,
        input_hash=UUID(bytes=row.input_hash),
        version="a",
        columns=("body",),
    )
    return msgspec.structs.replace(made, **more)


def test_closed_fields_of_what_was_right_and_corrections_are_labels(recipe: Recipe) -> None:
    given = [
        said(recipe, 1),
        said(recipe, 2, {"kind": "long"}),
        said(recipe, 3, {}),
        said(recipe, 4, columns=("body", "more")),
        said(recipe, 5, {"kind": "none of these"}),
    ]
    made = labelled(recipe, given, 10)
    right = {"kind": "short", "urgent": False}
    assert made.truth == {"1": right, "2": {"kind": "long"}, "4": right}
    assert made.left_out == {
        "it is wrong, and nobody says what is right": 1,
        "the schema does not allow its label": 1,
    }
    assert list(labelled(recipe, given, 1).truth) == ["1"]


def test_a_row_that_changed_or_went_since_is_no_label(recipe: Recipe) -> None:
    given = [said(recipe, 1), said(recipe, 2), said(recipe, 3, columns=("body", "more"))]
    table = recipe.source.tables["t"]  # type: ignore[attr-defined]
    table[1]["body"] = "another"
    table[2]["more"] = "another"  # which this recipe does not read, and the judged version did
    gone = msgspec.structs.replace(given[0], insight_id=99, row_key="99")
    made = labelled(recipe, [*given, gone], 10)
    assert set(made.truth) == {"1"}
    assert made.left_out == {"the row is gone from the replica, or has changed since": 3}


def test_where_people_disagree_there_is_no_label(recipe: Recipe) -> None:
    other = {"insight_id": 40, "row_key": "4", "version": "b"}
    given = [
        said(recipe, 1), said(recipe, 1, {"kind": "long"}),
        said(recipe, 2, {"kind": "long"}), said(recipe, 2, {"kind": "short"}),
        said(recipe, 3, {"kind": "long"}), said(recipe, 3, {"urgent": True}),
        said(recipe, 4), said(recipe, 4, {"kind": "long"}, **other),
        said(recipe, 5, {"kind": "long"}), said(recipe, 5, {"kind": "long"}), said(recipe, 5, {}),
    ]  # fmt: skip
    made = labelled(recipe, given, 10)
    assert made.truth == {"3": {"kind": "long", "urgent": True}, "5": {"kind": "long"}}
    assert made.left_out == {"people disagree": 3}


def test_the_answer_is_what_was_shown_with_what_was_corrected(recipe: Recipe) -> None:
    (one, two) = agreed([said(recipe, 1), said(recipe, 2, {"kind": "long"})], Counter())
    assert one.answer == OUTPUT
    assert two.answer == {**OUTPUT, "kind": "long"}
