"""Workbooks: what a person reads in a cell, which is not always what is stored in it."""

import pytest

from insights import errors
from insights.documents.formats import number_formats
from insights.documents.messages import Limits, Loaded
from insights.documents.registry import read
from tests.papers import workbook_of


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
