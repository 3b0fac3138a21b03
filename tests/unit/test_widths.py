"""Lines of fixed width, counted in characters or in bytes; nothing is cut off in silence."""

import pytest

from insights.doors import widths
from insights.doors.layouts import Column, Layout, Record, Refused, Unit
from insights.doors.records import read
from insights.site.doors import DoorSettings

COLUMNS = (Column("id", 4, 1), Column("body", 6, 6))


def found(data: bytes, unit: Unit = "characters", encoding: str | None = None) -> list[object]:
    layout = Layout("fixed", columns=COLUMNS, unit=unit, encoding=encoding)
    return [
        one.fields if isinstance(one, Record) else (one.line, one.column)
        for one in read(data, layout, ("id", "body"))[1]
        if isinstance(one, Record | Refused)
    ]


def test_cells_are_read_by_place_and_blanks_around_them_are_none() -> None:
    lines = b"7    ab\r\n\r\n  8X cdefgh  \n"
    assert found(lines) == [{"id": "7", "body": "ab"}, {"id": "8X", "body": "cdefgh"}]


def test_a_line_too_short_or_too_long_costs_no_neighbour() -> None:
    assert found(b"1    a\n2\n3    abcdefg\n4    b\n") == [
        {"id": "1", "body": "a"},
        (2, 2),
        (3, 12),
        {"id": "4", "body": "b"},
    ]


def test_characters_and_bytes_are_counted_as_said() -> None:
    text = "Ä    bcdefg\n"
    assert found(text.encode()) == [{"id": "Ä", "body": "bcdefg"}]
    assert found(text.encode(), "bytes") == [(1, 12)]
    assert found("Ä   bcdefg\n".encode(), "bytes") == [{"id": "Ä", "body": "bcdefg"}]
    assert found(text.encode("cp1252"), "bytes", "cp1252") == [{"id": "Ä", "body": "bcdefg"}]
    assert found(text.encode("utf-8-sig")) == [{"id": "Ä", "body": "bcdefg"}]
    assert found(b"\xef\xbb\xbf7    a\n", "bytes") == [{"id": "7", "body": "a"}]


def test_a_character_that_a_column_cuts_in_two_is_no_text() -> None:
    (cells,) = found("123Ä 456\n".encode(), "bytes")
    assert cells == {"id": "123\udcc3", "body": "456"}  # which the check refuses with its place


@pytest.mark.parametrize(
    ("unit", "encoding", "wanted"),
    [
        ("characters", "utf-8", "7   ÄÄÄÄ…b c  \n"),
        ("bytes", "utf-8", "7   Ä…b c  \n"),
        ("bytes", "cp1252", "7   ÄÄÄÄ…b c  \n"),
        ("characters", "latin-1", "7   ÄÄÄÄ.b c  \n"),
        ("characters", "utf-16", "7   ÄÄÄÄ…b c  \n"),
    ],
)
def test_what_is_too_long_ends_in_a_mark(unit: Unit, encoding: str, wanted: str) -> None:
    layout = Layout("fixed", unit=unit, encoding=encoding)
    columns = (Column("id", 4), Column("category", 5), Column("reason", 5))
    made = widths.lines([("7", "ÄÄÄÄÄÄ", "b\nc")], columns, layout)
    assert made.decode(encoding) == wanted


ONE = {"name": "id", "at": 1, "width": 4}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"format": "fixed"}, "needs columns"),
        ({"format": "xml"}, "needs record"),
        ({"columns": [ONE]}, "format = 'fixed' alone"),
        ({"record": "a"}, "format = 'xml' alone"),
        ({"format": "fixed", "columns": [ONE, ONE]}, "there twice"),
        ({"format": "fixed", "columns": [ONE, {**ONE, "name": "b", "at": 4}]}, "overlap"),
        ({"format": "fixed", "columns": [ONE], "unit": "bytes", "encoding": "utf-16"}, "no byte"),
    ],
)
def test_settings_that_do_not_fit_say_so(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DoorSettings.model_validate({"folder": "/srv", "pipeline": "triage", **more})
