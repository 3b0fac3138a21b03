"""The door to calamine: workbooks (XLSX, XLSM, XLSB, XLS, ODS), each sheet as its records."""

import io
from datetime import date, datetime, time, timedelta

import python_calamine

from insights import errors
from insights.documents.formats import archive, old_dates
from insights.documents.formats.cleaning import clean
from insights.documents.formats.records import sections
from insights.documents.messages import Limits, Loaded

_ZIP = b"PK"
_OLD = b"\x09\x08"  # an XLS without its container


def load(data: bytes, limits: Limits) -> Loaded:
    """Return the visible sheets: values as they are stored, formulas as their last results.

    Raises:
        errors.KnowledgeError: If the file is damaged or locked.
    """
    if data.startswith(_ZIP):
        archive.opened(data, limits, "workbook", ".xlsx")
    try:
        book = python_calamine.load_workbook(io.BytesIO(old_dates.mended(data)))
        parts = []
        for sheet in book.sheets_metadata:
            if sheet.visible != python_calamine.SheetVisibleEnum.Visible:
                continue
            if sheet.typ != python_calamine.SheetTypeEnum.WorkSheet:
                continue
            rows = book.get_sheet_by_name(sheet.name).to_python()
            if text := sections([[_written(cell) for cell in row] for row in rows]):
                parts.append(f"# {clean(sheet.name)}\n\n{text}")
    except python_calamine.PasswordError as exc:
        raise errors.KnowledgeError("is encrypted", fix="store it without a password") from exc
    except python_calamine.CalamineError as exc:
        raise errors.KnowledgeError(
            "is no readable workbook", fix="save it again as .xlsx"
        ) from exc
    return Loaded(text="\n\n".join(parts))


def _written(cell: float | str | bool | time | date | datetime | timedelta) -> str:  # noqa: FBT001
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
