"""Files become records; what is wrong with one is told with its place, and costs no other."""

import csv
import io

import pytest

from insights.doors import results
from insights.doors.layouts import Layout, Record, Refused, Unreadable
from insights.doors.records import read

WANTED = ("id", "body")


def found(data: bytes, form: str = "csv", **known: str) -> list[Record | Refused]:
    layout = Layout(form=form, **known)  # type: ignore[arg-type]
    return list(read(data, layout, WANTED)[1])


def good(records: list[Record | Refused]) -> list[object]:
    return [one.fields for one in records if isinstance(one, Record)]


def bad(records: list[Record | Refused]) -> list[tuple[int, int | None]]:
    return [(one.line, one.column) for one in records if isinstance(one, Refused)]


@pytest.mark.parametrize("delimiter", ["\t", ";", "|", ","])
def test_the_header_tells_the_delimiter(delimiter: str) -> None:
    text = f'body{delimiter}id\r\n"a; b, c | d\te\nf"{delimiter}7\r\n'
    layout, records = read(text.encode(), Layout("csv"), WANTED)
    assert layout.delimiter == delimiter
    assert good(list(records)) == [{"body": "a; b, c | d\te\nf", "id": "7"}]


def test_the_first_line_of_excel_and_blank_lines_are_no_records() -> None:
    assert good(found(b"sep=;\r\n\r\nid;body\r\n\r\n1;a\r\n;\r\n")) == [{"id": "1", "body": "a"}]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("id,body\n1,Ärger\n".encode(), "utf-8"),
        ("id,body\n1,Ärger\n".encode("utf-8-sig"), "utf-8-sig"),
        ("id,body\n1,Ärger\n".encode("utf-16"), "utf-16"),
        ("id,body\n1,Ärger\n".encode("cp1252"), "cp1252"),
    ],
)
def test_the_encoding_is_found(data: bytes, encoding: str) -> None:
    layout, records = read(data, Layout("csv"), WANTED)
    assert layout.encoding == encoding
    assert good(list(records)) == [{"id": "1", "body": "Ärger"}]


def test_a_named_encoding_is_taken() -> None:
    data = "id,body\n1,Łódź\n".encode("cp1250")
    assert good(found(data, encoding="cp1250")) == [{"id": "1", "body": "Łódź"}]


def test_one_bad_byte_costs_one_record_and_turns_no_other_text() -> None:
    records = found("id,body\n1,Ärger Übel\n2,".encode() + b"\xff\n")
    assert good(records) == [
        {"id": "1", "body": "Ärger Übel"},
        {"id": "2", "body": "\udcff"},  # which the check refuses: it is no valid Unicode
    ]


@pytest.mark.parametrize(
    ("text", "goods", "bads"),
    [
        ('id,body\n1,a\n2,"never closed\n3,c\n', ["1", "3"], [(3, 2)]),
        ('id,body\n1,"a"b"\n3,c\n', ["3"], [(2, 2)]),
        ('id,body\n1,"a\n2,b\n3,"c"\n4,d\n', ["2", "3", "4"], [(2, 2)]),
        ("id,body\n1\n2,b,c\n3,d\n", ["3"], [(2, 2), (3, 3)]),
        ('id,body\n1,"two\nlines"\n2\n', ["1"], [(4, 2)]),
    ],
)
def test_a_broken_row_costs_no_neighbour(
    text: str, goods: list[str], bads: list[tuple[int, int]]
) -> None:
    records = found(text.encode())
    assert [one["id"] for one in good(records) if isinstance(one, dict)] == goods
    assert bad(records) == bads


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", (1, None, "")),
        (b"\n\n", (1, None, "")),
        (b"id,text\n1,a\n", (1, None, "body")),
        (b"\nid,body,more\n1,a,b\n", (2, 3, "more")),
        (b"id,body,id\n1,a,2\n", (1, 3, "id")),
    ],
)
def test_another_header_refuses_the_file_and_says_where(
    data: bytes, place: tuple[int, int | None, str]
) -> None:
    with pytest.raises(Unreadable) as caught:
        found(data)
    first = caught.value.refused[0]
    assert (first.line, first.column, first.field) == place


def test_a_line_of_json_that_is_none_costs_no_other() -> None:
    deep = "[" * 100_000
    lines = ['{"id": 1, "body": null}', "", '{"id": 2,, }', deep, '{"id": NaN}', "9" * 5000, "[3]"]
    records = found("\n".join(lines).encode(), "jsonl")
    assert good(records) == [{"id": 1, "body": None}, [3]]
    assert bad(records) == [(3, 10), (4, None), (5, None), (6, None)]


def test_a_field_of_json_has_the_place_of_its_name() -> None:
    (record,) = found(b'{"id": 1, "body": 2}', "jsonl")
    assert isinstance(record, Record)
    assert record.columns == {"id": 2, "body": 11}


def test_a_report_is_read_as_csv_and_starts_no_formula() -> None:
    made = results.report([Refused(3, 2, "=1+1", "no, really", "say so")])
    assert list(csv.reader(io.StringIO(made.decode()))) == [
        ["line", "column", "field", "reason", "fix"],
        ["3", "2", "'=1+1", "no, really", "say so"],
    ]
