"""Labels from files and columns, and labelled rows through a recipe."""

import csv
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from insights import errors
from insights.cli import evaluation_page
from insights.enriching import evaluation, labels
from insights.enriching.certain import Certain
from insights.enriching.evaluation import Evaluation
from insights.enriching.labelled import outcomes
from insights.enriching.recipe import Recipe, agreement
from insights.model import (
    Claims,
    Example,
    GenerateRequest,
    Generation,
    Sampling,
    StreamSpec,
    Support,
)
from insights.steps.prompt import Template
from insights.testing import Cell, MemorySource

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["short", "long"]}, "note": {"type": "string"}},
    "required": ["kind"],
}
KEY = ("id",)


class Reads:
    """Says what stands behind `says`, as sure as stands behind it; counts what is under way."""

    def __init__(self) -> None:
        self.asked = 0

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        self.asked += 1
        text = "".join(s.text for m in request.messages for s in m.segments)
        made: Future[Generation] = Future()
        if "broken" in text:
            made.set_exception(errors.RowError("it broke"))
            return made
        kind, _, sure = text.rpartition("says ")[2].partition(" ")
        made.set_result(
            Generation(
                text=msgspec.json.encode({"kind": kind}).decode(), finish="stop", model="m",
                prompt_tokens=10, confidence={"/kind": float(sure)},
            )
        )  # fmt: skip
        return made


class Nothing:
    def support(self, outputs: Sequence[Claims], _: Sequence[str]) -> list[tuple[Support, ...]]:
        return [() for _ in outputs]


def _recipe(rows: dict[str, str], **more: object) -> Recipe:
    tables: dict[str, list[dict[str, Cell]]] = {
        "t": [{"id": key, "body": body} for key, body in rows.items()],
        "solved": [{"id": key, "what": "Short"} for key in rows],
    }
    return Recipe(
        name="triage",
        stream=StreamSpec(name="t", source="s", key=KEY, inputs=("body",), table="t"),
        source=MemorySource(tables),
        generator=Reads(),  # type: ignore[arg-type]
        template=Template("Say it.\n{{ row.body }}", where="p"),
        output_schema=SCHEMA,
        abstain=(),
        sampling=Sampling(),
        cut=(),
        retriever=None,
        query_columns=("body",),
        deadline_s=10,
        version_id=1,
        **more,  # type: ignore[arg-type]
    )


def test_labels_of_a_file_are_read_as_the_schema_has_them(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "\ufeffid;kind;other\n1;SHORT;x\n2; long ;y\n3;;z\n4;huge;z\n1;long;again\n",
        encoding="utf-8",
    )
    made = labels.from_file(file, KEY, SCHEMA)
    assert made.truth == {"1": {"kind": "short"}, "2": {"kind": "long"}}
    assert made.left_out == {
        "it has no label": 1,
        "the schema does not allow its label": 1,
        "its key has two labels": 1,
    }
    file.write_text('a,b,note\n1,2,"two\nlines"\n')
    two = labels.from_file(file, ("a", "b"), SCHEMA)
    assert two.truth == {'["1","2"]': {"note": "two\nlines"}}


def test_rows_without_a_key_are_left_out_and_what_is_no_csv_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("kind,id\nshort,1\nlong\nshort,  \n")
    made = labels.from_file(file, KEY, SCHEMA)
    assert (made.truth, made.left_out) == ({"1": {"kind": "short"}}, {"it has no key": 2})
    file.write_text("id,kind\n1,short\n2," + "x" * 200_000 + "\n")
    former = csv.field_size_limit(1_000)  # of the whole process: others raise it
    try:
        with pytest.raises(errors.SettingsError, match="what follows line 2 is no CSV"):
            labels.from_file(file, KEY, SCHEMA)
    finally:
        csv.field_size_limit(former)


@pytest.mark.parametrize("text", ["id,what\n1,short\n", "what,kind\n1,short\n", ""])
def test_a_file_without_key_or_property_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(errors.SettingsError, match="header"):
        labels.from_file(file, KEY, SCHEMA)
    with pytest.raises(errors.SettingsError, match="cannot be read"):
        labels.from_file(tmp_path / "none.csv", KEY, SCHEMA)


def test_labels_of_another_table_are_found_by_the_key() -> None:
    recipe = _recipe({str(key): "says short 0.9" for key in range(50)})
    column = labels.column("kind=solved.what", SCHEMA)
    assert (column.property, column.table, column.column) == ("kind", "solved", "what")
    made = labels.from_columns(recipe, [column], 12)
    assert len(made.truth) == 12
    assert set(map(str, made.truth.values())) == {"{'kind': 'short'}"}
    with pytest.raises(errors.SettingsError, match="no property 'what'"):
        labels.column("solved.what", SCHEMA)


def test_labelled_rows_get_what_the_daemon_would_give_them() -> None:
    rows = {"1": "says short 0.9", "2": "broken", "3": "says long 0.4", "4": "says huge 0.9"}
    recipe = _recipe(rows)
    told: list[int] = []
    truth = {key: {"kind": "short"} for key in [*rows, "9"]}
    made = outcomes(recipe, truth, Nothing(), done=told.append, window=2)
    assert [(one.key, one.status) for one in made] == [
        ("1", "ok"), ("2", "failed"), ("3", "ok"), ("4", "withheld"),
    ]  # fmt: skip
    assert told == [1, 2, 3, 4]
    assert made[0].confidence == {"kind": 0.9}
    assert made[3].proposed == {"kind": "huge"}
    sure = msgspec.structs.replace(recipe, certain=Certain({"kind": 0.5}))
    again = outcomes(sure, truth, Nothing())
    assert [one.status for one in again] == ["ok", "failed", "abstained", "withheld"]
    assert evaluation.judged("kind", made) == [(0.9, True), (0.4, False)]


def test_an_evaluation_counts_both_versions_and_shows_the_rows_to_look_at() -> None:
    rows = {str(n): "says short 0.9" if n % 3 else "says long 0.8" for n in range(1, 31)}
    rows["6"] = "<script>says long 0.8"
    truth = {key: {"kind": "short"} for key in rows}
    first = outcomes(_recipe(rows), truth, Nothing())
    better = {**rows, "3": "says short 0.6", "6": "<script>says short 0.6", "1": "says long 0.99"}
    second = outcomes(_recipe(better), truth, Nothing())
    side = evaluation.side("v1", first, SCHEMA)
    (field,) = side.fields
    assert (field.accuracy.share, field.of_all.rows, field.commonest) == (20 / 30, 30, 1.0)
    assert side.statuses == {"ok": 30}
    assert side.tokens == 10
    paired = evaluation.paired(first, second)["kind"]
    assert (paired.only_first, paired.only_second) == (1, 2)
    looked = evaluation.disagreements(first, second)
    assert [one.key for one in looked[:3]] == ["1", "3", "6"]
    assert looked[0].answers == ["short", "long"]
    assert len(looked) == 6  # three of those where both say long
    page = evaluation_page.page(
        Evaluation("triage", "labels.csv", {}, 0, [side, evaluation.side("v2", second, SCHEMA)],
                   {"kind": paired}, looked)
    )  # fmt: skip
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "http" not in page
    assert page.count("<svg") == 2


def test_how_sure_neighbours_are_is_their_nearness_and_their_agreement() -> None:
    def near(similarity: float, kind: str) -> Example:
        return Example(1, 1, "u", "t", "x", {"kind": kind}, similarity)

    assert agreement([]) == {}
    assert agreement([near(0.8, "a"), near(0.8, "a")]) == {"kind": pytest.approx(0.8)}
    assert agreement([near(0.8, "a"), near(0.4, "b")]) == {"kind": pytest.approx(0.8 * 2 / 3)}
    assert agreement([near(0.0, "a")]) == {"kind": 0.0}
