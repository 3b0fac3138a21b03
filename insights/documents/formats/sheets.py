"""The door to calamine: workbooks (XLSX, XLSM, XLSB, XLS, ODS), each sheet as its records."""

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import python_calamine

from insights import errors
from insights.documents.formats import archive, merged, old_dates
from insights.documents.formats.cleaning import clean
from insights.documents.formats.old_formats import OldFormats
from insights.documents.formats.records import sections
from insights.documents.formats.sheet_formats import Places, SheetFormats
from insights.documents.messages import Limits, Loaded

_ZIP = b"PK"
# What calamine raises over some damaged files: no Exception, and in no module to import it from.
_PANIC = "PanicException"
# White space around a number: XML Schema takes it away, calamine refuses the sheet.
_LOOSE = re.compile(rb"<((?:\w+:)?v)>\s*([-+.\dEe]+)\s*</")
_CELL_BYTES = 32  # of calamine's, for each place from the first value to the last
_Cell = float | str | bool | time | date | datetime | timedelta


def load(data: bytes, limits: Limits) -> Loaded:
    """Return the visible sheets: values as they are stored, formulas as their last results.

    Numbers have what their formats write around them, `12.5%`, `9.90 €`, `0471`, but in ODS, XLSB.

    Raises:
        errors.KnowledgeError: If the file is damaged or locked.
    """
    package = None
    if data.startswith(_ZIP):
        package = archive.opened(data, limits, "workbook", ".xlsx")
        if not archive.part(package, "xl/workbook.xml"):
            package = None
    try:
        places = limits.memory_bytes // 2 // _CELL_BYTES
        loaded, broken = _read(old_dates.mended(data), package, places)
        if broken and package:
            loaded, broken = _read(_tightened(package), package, places)
    except python_calamine.PasswordError as exc:
        raise errors.KnowledgeError("is encrypted", fix="store it without a password") from exc
    except BaseException as exc:
        if not isinstance(exc, python_calamine.CalamineError) and type(exc).__name__ != _PANIC:
            raise
        raise _unreadable() from exc
    if broken and not loaded:
        raise _unreadable()
    doubts = tuple(f"the sheet {clean(name)} cannot be read" for name in broken)
    return Loaded(text="\n\n".join(loaded), doubts=doubts)


def _unreadable() -> errors.KnowledgeError:
    return errors.KnowledgeError("is no readable workbook", fix="save it again as .xlsx")


def _read(data: bytes, package: zipfile.ZipFile | None, places: int) -> tuple[list[str], list[str]]:
    """Return the text of each sheet, and the names of those that are damaged."""
    formats = SheetFormats(package, places) if package else OldFormats(data)
    book = python_calamine.load_workbook(io.BytesIO(data))
    parts, broken = [], []
    for sheet in book.sheets_metadata:
        if sheet.visible != python_calamine.SheetVisibleEnum.Visible:
            continue
        if sheet.typ != python_calamine.SheetTypeEnum.WorkSheet:
            continue
        written = formats.of(sheet.name)
        try:
            cells = book.get_sheet_by_name(sheet.name)
        except python_calamine.CalamineError:
            broken.append(sheet.name)
            continue
        if text := sections(_rows(cells, written)):
            parts.append(f"# {clean(sheet.name)}\n\n{text}")
    return parts, broken


def _rows(sheet: python_calamine.CalamineSheet, formats: Places) -> Sequence[Sequence[str]]:
    start = sheet.start or (0, 0)
    rows = [
        [
            _formatted(cell, formats, (row, column)) or _written(cell)
            for column, cell in enumerate(cells, start[1])
        ]
        if cells.count("") < len(cells)
        else []  # as most of the million rows are below a table with a value at the very end
        for row, cells in enumerate(sheet.to_python(), start[0])
    ]
    return merged.filled(rows, sheet.merged_cell_ranges or (), start)


def _formatted(cell: _Cell, formats: Places, place: tuple[int, int]) -> str:
    if not formats or isinstance(cell, bool) or not isinstance(cell, int | float):
        return ""
    return clean(formats[place].written(cell)) if place in formats else ""


def _tightened(package: zipfile.ZipFile) -> bytes:
    """Return a workbook's bytes without white space around its numbers."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as copy:
        for part in package.namelist():
            data = archive.part(package, part)
            sheet = part.startswith("xl/worksheets/")
            copy.writestr(part, _LOOSE.sub(rb"<\1>\2</", data) if sheet else data)
    return made.getvalue()


def _written(cell: _Cell) -> str:
    if isinstance(cell, str):
        return clean(cell)
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | float):  # old workbooks store small numbers as integers
        return str(int(cell)) if float(cell).is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"  # noqa: PLR2004
    if isinstance(cell, datetime):
        return cell.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(round(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return cell.isoformat()
