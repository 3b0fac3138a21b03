"""Cells of workbooks as programs show and store them: part of the references of `_reading`."""

import csv
import importlib
import io
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

_TODAY = f"{datetime.now(UTC):%Y-%m-%d}"
_TRUTH = 4  # what xlrd calls a truth value
_TYPED = (1, 2, _TRUTH)  # text and numbers
_MOMENT = re.compile(
    r"(?:(?P<month>\d\d?)/(?P<day>\d\d?)/(?P<year>\d{2,4}))?\s*"
    r"(?:(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?(?: (?P<half>[AP])M)?)?"
)
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # thousands
_ERROR = re.compile(
    r"#(?:[A-Z]+/?[A0]?[!?]?|N/A)(?=[,\s\"]|$)|Err:\d{3}", re.MULTILINE
)  # a formula's

Place = tuple[str, int, int]
"""Sheet, row and column of a cell, from 0 on."""


def compared(
    path: Path, stored: Sequence[Path], seen: Sequence[Path]
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return cells that have one form, the forms of those that have several, and what is passed by.

    A percentage is stored and shown in two forms, a time in three. What says when it is read, and
    hidden sheets, need not be kept.

    Args:
        path: The workbook.
        stored: A CSV a sheet, made by LibreOffice, with values as they are stored.
        seen: The same as a person sees them.
    """
    told, hidden = _told(path)
    alike: list[str] = []
    cells: list[list[str]] = []
    passed: list[str] = []
    for (place, first), (_, grouped) in zip(_cells(stored), _cells(seen), strict=True):
        second = _GROUPED.sub("", grouped)
        forms = {first, second, _moment(first), _moment(second), told.get(place, first)}
        if place[0] in hidden:
            continue
        if _TODAY in {form[:10] for form in forms}:
            passed.extend(forms)
        elif len(forms) == 1:
            alike.append(first)
        else:
            cells.append(sorted(forms))
    return alike, cells, passed


def _cells(sheets: Sequence[Path]) -> Iterator[tuple[Place, str]]:
    """Yield the cells of sheets in their order, without what formulas say of errors."""
    for sheet in sheets:
        text = io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline="")
        for row, cells in enumerate(csv.reader(text)):
            for column, cell in enumerate(cells):
                yield (sheet.stem.partition("-")[2], row, column), _ERROR.sub("", cell)


def _moment(cell: str) -> str:
    """Return a date or time as ISO 8601 has it, that the program writes as Americans do."""
    match = _MOMENT.fullmatch(cell)
    if not match or not cell:
        return cell
    clock = [match["hour"], match["minute"], match["second"] or "00"] if match["hour"] else []
    if match["half"]:
        clock[0] = f"{int(match['hour']) % 12 + 12 * (match['half'] == 'P'):02}"
    day = (match["year"], match["month"], match["day"]) if match["year"] else ()
    if day and not any(map(int, clock)):
        clock = []
    return " ".join(filter(None, ("-".join(day), ":".join(clock))))


def _told(path: Path) -> tuple[dict[Place, str], set[str]]:
    """Return what other libraries find stored in cells, and hidden sheets, where they are there.

    LibreOffice calculates some formulas anew that it is told to leave.
    """
    try:
        if path.suffix.lower() == ".xls":
            book = importlib.import_module("xlrd").open_workbook(path)
            cells = {
                (sheet.name, row, column): _plain(sheet.cell_value(row, column), kind)
                for sheet in book.sheets()
                for row in range(sheet.nrows)
                for column in range(sheet.ncols)
                if (kind := sheet.cell_type(row, column)) in _TYPED
            }
            return cells, {sheet.name for sheet in book.sheets() if sheet.visibility}
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            book = importlib.import_module("openpyxl").load_workbook(path, data_only=True)
            cells = {
                (sheet.title, cell.row - 1, cell.column - 1): _plain(cell.value)
                for sheet in book.worksheets
                for row in sheet.iter_rows()
                for cell in row
                if isinstance(cell.value, str | int | float | date | time)
            }
            return cells, {one.title for one in book.worksheets if one.sheet_state != "visible"}
    except Exception as exc:  # noqa: BLE001 - a file that one of them cannot read
        print(f"{path.name}: LibreOffice alone ({exc!r})", file=sys.stderr)
    return {}, set()


def _plain(value: str | float | date | time, kind: int = 0) -> str:
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bool) or kind == _TRUTH:
        return str(bool(value)).lower()
    return value if isinstance(value, str) else f"{value:.15g}"
