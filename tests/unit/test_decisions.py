"""What `insights init` takes for decisions of people, and for their time."""

from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.cli import deciding, recipes, writing
from insights.cli.asking import Asking
from insights.model import ColumnProfile, Example, StreamSpec, TableProfile
from insights.site import candidates, decisions, definitions, files
from insights.site.candidates import Candidate
from tests.unit.test_init import ID, _choices

SPEC = StreamSpec(name="t", source="legacy", key=("id",), inputs=("body",))
SILENT = Asking(silent=True)


def _column(name: str, kind: str = "text", **told: Any) -> ColumnProfile:  # noqa: ANN401
    some = {"filled": 100, "distinct": 100, "words": 8.0 if kind == "text" else 1.0}
    return ColumnProfile(name=name, type=kind.upper(), kind=kind, **{**some, **told})


def _labels(name: str, *values: str, **told: Any) -> ColumnProfile:  # noqa: ANN401
    return _column(name, words=1.0, distinct=len(values), values=values, **told)


def _table(*columns: ColumnProfile) -> TableProfile:
    return TableProfile(
        columns=(ID, _column("body"), *columns), unique=(("id",),), proven=(), rows=100,
        counted=1_000_000, sampled=100, dialect="sqlite", is_view=False,
    )  # fmt: skip


CATEGORY = _labels("Category", "Printer", "Network", filled=70)
OPENED, CLOSED = _column("opened_at", "datetime"), _column("closed_at", "datetime", filled=70)
UPDATED = _column("sys_updated_on", "datetime")


def test_a_label_is_graded_by_its_name_and_by_the_rows_that_lack_it() -> None:
    table = _table(
        _labels("colour", "red", "blue"), _labels("priority", "1 low", "2 high"), CATEGORY,
        _labels("modified_by", "Al B", "Bo C"), _labels("country", "AT", "DE", filled=9),
        _column("title"),
    )  # fmt: skip
    found = list(decisions.labels(table, {"modified_by"}, ["id"]))
    assert [(one.columns[0], one.grade) for one in found] == [
        ("Category", "good"),
        ("priority", "fair"),
        ("colour", "poor"),
    ]
    assert found[0].why == "2 values, 30% of the rows have none yet"


@pytest.mark.parametrize(
    ("columns", "decided", "asked"),
    [
        ((OPENED, CLOSED, UPDATED), "closed_at", "opened_at"),
        ((OPENED, UPDATED), "sys_updated_on", "opened_at"),
        ((OPENED,), "opened_at", "opened_at"),
        ((UPDATED,), "id", "id"),  # each change would move the row's own time
    ],
)
def test_an_example_is_of_the_past_by_the_surest_column(
    columns: tuple[ColumnProfile, ...], decided: str, asked: str
) -> None:
    found = decisions.times(_table(*columns), (), ["id"], None)
    assert found is not None
    assert (found.decided, found.asked) == (decided, asked)


def test_without_a_time_or_a_growing_key_nothing_is_an_example() -> None:
    guid = _column("guid", "guid", unique=True)
    table = TableProfile(
        columns=(guid, _column("body"), CATEGORY), unique=(("guid",),), proven=(), rows=100,
        counted=1_000_000, sampled=100, dialect="sqlite", is_view=False,
    )  # fmt: skip
    spec = StreamSpec(name="t", source="legacy", key=("guid",), inputs=("body",))
    with pytest.raises(errors.SettingsError, match="no time and no growing number"):
        deciding.decided(
            table, (), spec, Candidate((), "fair", ""), {"category": "Category"}, ["body"]
        )


@pytest.mark.parametrize(
    ("name", "hidden"), [("body", ()), ("id", ()), ("Category", ("Category",))]
)
def test_what_is_no_label_is_refused_and_those_that_are_get_named(
    name: str, hidden: tuple[str, ...]
) -> None:
    table = _table(CATEGORY, _labels("priority", "low", "high"))
    with pytest.raises(errors.SettingsError, match="is no label") as caught:
        deciding.chosen(table, hidden, ["id"], [name], SILENT)
    assert "priority" in caught.value.fix
    assert deciding.chosen(table, (), ["id"], ["Category"], SILENT) == ("Category",)
    assert deciding.chosen(table, (), ["id"], None, SILENT) == ()  # --yes changes no meaning


def test_the_settings_of_labels_run_and_show_examples_but_no_answer(tmp_path: Path) -> None:
    table = _table(CATEGORY, _labels("status", "ok", "bad"), OPENED, CLOSED)
    shown = deciding.shown_beside(
        table, candidates.shown(table, (), ["id"]), ["Category", "status"]
    )
    assert not {"Category", "status", "closed_at"} & set(shown)
    made, labels = recipes.labelled(table, shown, ["Category", "status"], key=["id"])
    assert labels == {"category": "Category", "ai_status": "status"}  # each sink has a status
    examples = deciding.decided(table, (), SPEC, Candidate((), "fair", ""), labels, shown)
    target = tmp_path / "insights.toml"
    contents = writing.files(writing.Site(target, {}), _choices(examples=examples), table, made)
    writing.write(contents, replaced=target, force=False)
    defined = definitions.read(files.load(target), "t")
    assert defined.labels == labels
    assert defined.output_schema["properties"]["category"] == {"enum": ["Printer", "Network"]}
    example = Example(
        number=1, passage_id=1, uri="7", title="", text="paper jam", output={"category": "Printer"},
        similarity=0.9,
    )  # fmt: skip
    row = {"body": "no paper", "opened_at": None}
    prompt = repr(defined.template.render(row, (), "{}", (example,)))
    assert prompt.index("paper jam") < prompt.index("Printer") < prompt.index("no paper")
