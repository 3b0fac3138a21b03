"""Workbooks: what a person reads in a cell, which is not always what is stored in it."""

import struct
import time
from email.message import EmailMessage

import pytest

from insights import errors
from insights.documents.formats import number_formats
from insights.documents.messages import Limits, Loaded
from insights.documents.registry import read
from tests.papers import old_workbook_of, workbook_of


def _book(sheets: dict[str, str], styles: str = "") -> Loaded:
    return read("a.xlsx", workbook_of(sheets, styles), Limits())


def _row(number: int, *cells: str) -> str:
    """Write a row of `value` or `value~style` cells, from column A on; an empty one is left out."""
    made = ""
    for column, cell in zip("ABCDEFG", cells, strict=False):
        value, _, style = cell.partition("~")
        place = f'r="{column}{number}"'
        if style:
            made += f'<c {place} s="{style}" t="n"><v>{value}</v></c>'
        elif value:
            made += f'<c {place} t="inlineStr"><is><t>{value}</t></is></c>'
    return f'<row r="{number}">{made}</row>'


def _sheet(*rows: str, merged: tuple[str, ...] = ()) -> str:
    ranges = "".join(f'<mergeCell ref="{one}"/>' for one in merged)
    joined = f"<mergeCells>{ranges}</mergeCells>" if ranges else ""
    return f"<sheetData>{''.join(rows)}</sheetData>{joined}"


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("0%", 0.125, "12.5%"),
        ("0%", 0.5, "50%"),
        ("0.0%", 1 / 3, "33.3%"),
        ('#,##0.00 "€"', 1234.5, "1234.50 €"),
        ("#,##0.00\\ [$€-407]", -1234.567, "-1234.57 €"),
        ("[$$-409]#,##0.00_);[Red]\\([$$-409]#,##0.00\\)", -99.999, "-$100.00"),
        ('_-* #,##0.00\\ "CHF"_-;\\-* #,##0.00\\ "CHF"_-', 12, "12.00 CHF"),
        ("0%", 1 / 3, "33%"),
        ('0.00 "€"', 0.0345, "0.0345 €"),  # 0.03 would say too little
        ('0.00 "€"', 0, "0.00 €"),
        ("00000", 471, "00471"),
        ('"Nr. "0000', 7, "Nr. 0007"),
        ('General" kg"', 12.25, "12.25 kg"),
        ('0" kg; net"', 2, "2 kg; net"),
    ],
)
def test_a_number_has_what_its_format_writes_around_it(code: str, value: float, shown: str) -> None:
    form = number_formats.of(code)
    assert form is not None
    assert form.written(value) == shown


@pytest.mark.parametrize(
    "code",
    ["General", "0.00", "#,##0", "yyyy-mm-dd", "[h]:mm", "# ?/?", "0.00E+00", "@", "+0;-0", "0,"],
)
def test_a_format_that_adds_nothing_leaves_a_number_as_it_is_stored(code: str) -> None:
    assert number_formats.of(code) is None


def test_what_cannot_be_written_in_a_format_stays_as_it_is_stored() -> None:
    form = number_formats.of("0%")
    assert form is not None
    assert not form.written(float("inf"))


def test_percentages_currencies_and_leading_zeros_are_read_as_shown() -> None:
    styles = (
        '<numFmts><numFmt numFmtId="164" formatCode="00000"/>'
        '<numFmt numFmtId="165" formatCode="#,##0.00\\ &quot;€&quot;"/></numFmts>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="10"/><xf numFmtId="164"/><xf numFmtId="165"/>'
        '<xf numFmtId="4"/></cellXfs>'
    )
    rows = (
        _row(3, "Part", "Discount", "Price", "Weight"),
        _row(4, "471~2", "0.125~1", "9.9~3", "2.5~4"),
    )
    assert _book({"Prices": _sheet(*rows)}, styles).text == (
        "# Prices\n\n## 00471\n\nPart: 00471\nDiscount: 12.50%\nPrice: 9.90 €\nWeight: 2.5"
    )


def test_blanks_around_a_number_do_not_lose_the_workbook() -> None:
    rows = (_row(1, "Part", "Count"), _row(2, "A-1", " 41~0"))
    assert _book({"Stock": _sheet(*rows)}).text == "# Stock\n\n## A-1\n\nPart: A-1\nCount: 41"


def test_a_damaged_sheet_is_told_and_the_others_are_read() -> None:
    good, bad = _sheet(_row(1, "Part"), _row(2, "A-1")), _sheet(_row(1, "x~0"))
    loaded = _book({"Stock": good, "Broken": bad})
    assert loaded.text == "# Stock\n\n## A-1\n\nPart: A-1"
    assert loaded.doubts == ("the sheet Broken cannot be read",)
    with pytest.raises(errors.KnowledgeError, match="no readable workbook"):
        _book({"Broken": bad})


def test_what_is_merged_over_rows_belongs_to_each_record() -> None:
    rows = (
        _row(1, "Region", "Town"), _row(2, "North", "Kiel"), _row(3, "", "Husum"),
        _row(4, "South", "Ulm"),
    )  # fmt: skip
    text = _book({"Shops": _sheet(*rows, merged=("A2:A3",))}).text
    assert "Region: North\nTown: Husum" in text
    assert "Region: South\nTown: Ulm" in text


def test_a_header_of_two_lines_names_each_column_once() -> None:
    rows = (
        _row(1, "Shop", "2023", "", "2024"), _row(2, "", "Plan", "Actual", "Plan", "Actual"),
        _row(3, "Kiel", "5", "6", "7", "8"), _row(4, "Ulm", "1", "2", "3", "4"),
    )  # fmt: skip
    text = _book({"Sales": _sheet(*rows, merged=("A1:A2", "B1:C1", "D1:E1"))}).text
    assert text == (
        "# Sales\n\n## Kiel\n\nShop: Kiel\n2023 Plan: 5\n2023 Actual: 6\n2024 Plan: 7\n"
        "2024 Actual: 8\n\n## Ulm\n\nShop: Ulm\n2023 Plan: 1\n2023 Actual: 2\n2024 Plan: 3\n"
        "2024 Actual: 4"
    )


def test_a_column_without_values_is_named() -> None:
    rows = (_row(1, "Part", "Note", "Count"), _row(2, "A-1", "", "x"), _row(3, "A-2", "", "y"))
    text = _book({"Stock": _sheet(*rows)}).text
    assert text.startswith("# Stock\n\nWithout values: Note\n\n## A-1\n\nPart: A-1\nCount: x")


def test_a_title_merged_over_all_columns_stands_above_them() -> None:
    rows = (_row(1, "Stock of May"), _row(2, "Part", "Count"), _row(3, "A-1", "x"))
    text = _book({"Stock": _sheet(*rows, merged=("A1:B1",))}).text
    assert text == "# Stock\n\nStock of May\n\n## A-1\n\nPart: A-1\nCount: x"


def test_numbers_of_old_workbooks_are_read_as_shown() -> None:
    formats: list[str | int] = ["General", "0.0%", '#,##0.00 "\u20ac"', "00000", 9]
    cells = [(0.125, 1), (9.9, 2), (4711.0, 3), (12.0, 0), (0.5, 4), (7.0, 3), (3.0, 0)]
    names = ["Share", "Price", "Part", "Count", "Half", "Place", "Shelf"]
    text = read("a.xls", old_workbook_of(names, cells, formats), Limits()).text
    said = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    assert said == {
        "Share": "12.5%", "Price": "9.90 \u20ac", "Part": "04711", "Count": "12", "Half": "50%",
        "Place": "00007", "Shelf": "3",
    }  # fmt: skip


def test_a_damaged_old_workbook_is_read_or_told_by_itself() -> None:
    """calamine panics over some, which is no Exception: a mail that has one would be lost."""
    cells = [(0.125, 1), (4711.0, 2)]
    whole = old_workbook_of(["Share", "Part"], cells, ["General", "0%", "00000"])
    told = 0
    for at in range(512, len(whole), 31):
        for spoilt in (whole[:at], whole[:at] + b"\xff\xff" + whole[at + 2 :]):
            try:
                read("a.xls", spoilt, Limits())
            except errors.KnowledgeError:
                told += 1
    assert told > 30
    mail = EmailMessage()
    mail.set_content("Plain words.")
    mail.add_attachment(whole[:1600], maintype="a", subtype="b", filename="list.xls")
    loaded = read("a.eml", mail.as_bytes(), Limits())
    assert loaded.text == "Plain words."
    assert loaded.doubts == ("the attachment list.xls was left out: is no readable workbook",)


def _with_value_at(place: str) -> bytes:
    row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return workbook_of({
        "Stock": '<sheetData><row r="1"><c r="A1" t="str"><v>Part</v></c></row>'
        '<row r="2"><c r="A2" t="str"><v>A-100</v></c><c r="XFD2" s="0"/><c r="XFC2"></c></row>'
        f'<row r="{row}"><c s="0" r="{place}" t="str"><v>B-200</v></c></row></sheetData>'
    })  # fmt: skip


def test_a_value_far_below_a_table_is_read_in_seconds() -> None:
    began = time.process_time()
    text = read("a.xlsx", _with_value_at("A1048576"), Limits()).text
    assert text == "# Stock\n\n## A-100\n\nPart: A-100\n\n## B-200\n\nPart: B-200"
    assert time.process_time() - began < 30


@pytest.mark.parametrize("place", ["XFD5000", "XFD1048576"])
def test_a_value_that_no_memory_reaches_is_told_by_its_place(place: str) -> None:
    """calamine takes memory for all places between: it aborted, and a mail's rest was lost."""
    with pytest.raises(errors.KnowledgeError, match=f"Stock has a value far .* in {place}") as told:
        read("a.xlsx", _with_value_at(place), Limits())
    assert "delete that row or column" in told.value.fix
    mail = EmailMessage()
    mail.set_content("Plain words.")
    data = _with_value_at(place)
    mail.add_attachment(data, maintype="a", subtype="b", filename="list.xlsx")
    loaded = read("a.eml", mail.as_bytes(), Limits())
    assert loaded.text == "Plain words."
    assert len(loaded.doubts) == 1


def test_an_old_workbook_with_more_columns_than_there_are_is_told() -> None:
    data = old_workbook_of(["Share"], [(0.125, 0)], ["0%"])
    number = struct.pack("<HHHHHd", 0x203, 14, 1, 0, 0, 0.125)
    assert data.count(number) == 1
    far = struct.pack("<HHHHHd", 0x203, 14, 60_000, 60_000, 0, 0.125)
    assert read("a.xls", data, Limits()).text.endswith("Share: 12.5%")
    other = data.replace("Workbook".encode("utf-16-le"), "Workfolk".encode("utf-16-le"))
    with pytest.raises(errors.KnowledgeError, match="holds no workbook"):
        read("a.xls", other, Limits())
    with pytest.raises(errors.KnowledgeError, match="is damaged"):
        read("a.xls", data.replace(number, far), Limits())
