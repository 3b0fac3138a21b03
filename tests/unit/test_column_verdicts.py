"""What a column of the legacy table says of an insight, and of what it says nothing."""

import pytest

from insights.enriching.columns import Columns
from insights.model import Row, Shown, Spoken, StreamSpec

SCHEMA = {
    "properties": {
        "category": {"enum": ["printing", "network"]},
        "urgent": {"type": "boolean"},
        "note": {"type": "string"},
    }
}
OF = {"category": "kind", "urgent": "prio"}
WROTE = {"category": "printing", "urgent": False, "note": "x"}


def _said(columns: Columns, output: dict[str, object], **values: str | None) -> Spoken:
    shown = [Shown(7, "1", 70, output)]
    (found,) = columns.verdicts(SCHEMA, shown, [Row("1", b"h", None, dict(values))])
    return found


def test_what_a_clerk_decided_is_right_or_says_what_would_have_been() -> None:
    columns = Columns(OF)
    assert _said(columns, WROTE, kind=" PRINTING", prio="n") == Spoken(70, "right", None)
    wrong = Spoken(70, "wrong", {"category": "network"})
    assert _said(columns, WROTE, kind="network", prio="no") == wrong
    both = Spoken(70, "wrong", {"category": "network", "urgent": True})
    assert _said(columns, WROTE, kind="network", prio="1") == both
    assert _said(columns, WROTE, kind="printing", prio=None) == Spoken(70, "right", None)
    assert columns.name == "kind, prio"


@pytest.mark.parametrize(
    "values", [{}, {"kind": ""}, {"kind": "  "}, {"kind": "furniture"}, {"kind": None}]
)
def test_of_what_is_not_decided_or_no_value_of_the_output_it_says_nothing(
    values: dict[str, str | None],
) -> None:
    assert _said(Columns(OF), WROTE, **values) == Spoken(70, None, None)


def test_a_row_counts_once_it_is_decided() -> None:
    columns = Columns(OF, decided="closed_at")
    assert _said(columns, WROTE, kind="network") == Spoken(70, None, None)
    closed = _said(columns, WROTE, kind="network", closed_at="2026-01-02")
    assert closed.verdict == "wrong"


def test_a_row_that_is_gone_and_a_property_that_was_not_said_have_no_verdict() -> None:
    columns = Columns(OF)
    assert columns.verdicts(SCHEMA, [Shown(7, "1", 70, dict(WROTE))], []) == [
        Spoken(70, None, None)
    ]
    assert _said(columns, {"category": None}, kind="network") == Spoken(70, None, None)


def test_only_these_columns_are_read_and_no_file_is_opened() -> None:
    stream = StreamSpec(
        name="t", source="s", key=("id",), inputs=("body",), extra=("name",), attachment="scan"
    )
    spec = Columns(OF, decided="closed_at").spec(stream)
    assert (spec.inputs, spec.extra, spec.attachment) == (("closed_at", "kind", "prio"), (), None)
