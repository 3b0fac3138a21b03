"""Excel's XML of 2003, which applications write without Excel and call `.xls`."""

from typing import Any

from insights import errors
from insights.documents.formats.cleaning import clean
from insights.documents.formats.elements import BrokenXmlError, attribute, child, name, parsed
from insights.documents.formats.records import sections
from insights.documents.messages import Limits, Loaded

_HIDDEN = ("SheetHidden", "SheetVeryHidden")
_WIDEST = 16_384  # columns of a sheet: a number beyond is no place


def load(data: bytes, _: Limits) -> Loaded:
    """Return the visible sheets, each cell where it stands.

    Raises:
        errors.KnowledgeError: If it is no XML.
    """
    try:
        root = parsed(data)
    except BrokenXmlError as exc:
        raise errors.KnowledgeError(
            "is no readable workbook", fix="save it again as .xlsx"
        ) from exc
    parts = []
    for sheet in root:
        if name(sheet) != "Worksheet" or _hidden(sheet):
            continue
        if text := sections(_rows(child(sheet, "Table"))):
            parts.append(f"# {clean(attribute(sheet, 'Name'))}\n\n{text}")
    return Loaded(text="\n\n".join(parts))


def _hidden(sheet: Any) -> bool:  # noqa: ANN401 - lxml has no types
    visible = child(child(sheet, "WorksheetOptions"), "Visible")
    return visible is not None and (visible.text or "").strip() in _HIDDEN


def _rows(table: Any) -> list[list[str]]:  # noqa: ANN401
    rows: list[list[str]] = []
    for row in table if table is not None else ():
        if name(row) != "Row":
            continue
        cells: list[str] = []
        for cell in row:
            if name(cell) != "Cell":
                continue
            place = _number(attribute(cell, "Index"))  # where it says so, from 1 on
            cells.extend([""] * (min(place - 1, _WIDEST) - len(cells)))
            said = child(cell, "Data")
            text = "" if said is None else "".join(said.itertext())
            cells.append(clean(text.removesuffix("T00:00:00.000")).strip())
            cells.extend([""] * min(_number(attribute(cell, "MergeAcross")), _WIDEST - len(cells)))
        rows.append(cells)
    return rows


def _number(text: str) -> int:
    return int(text) if text.isdigit() and len(text) < 8 else 0  # noqa: PLR2004 - beyond every sheet
