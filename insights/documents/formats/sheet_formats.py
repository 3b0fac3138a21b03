"""Which cells of an Excel workbook (XLSX, XLSM) have a number format that adds to the number.

The library that reads values does not tell their formats, so that they are looked up in the parts
of the package: a cell names its style, a style its format. It also takes memory for every place
between the first and the last value of a sheet, so that how far they reach is looked at before.
"""

import posixpath
import re
import zipfile
from typing import Any

from insights import errors
from insights.documents.formats import archive, number_formats
from insights.documents.formats.cleaning import clean
from insights.documents.formats.elements import BrokenXmlError, attribute, name, parsed

_CELL = re.compile(rb"<(?:\w+:)?c(?:\s[^>]*[^/>])?>(?!</)")  # none that is empty
_STYLE = re.compile(rb'\ss="(\d{1,6})"')
_PLACE = re.compile(rb'\sr="([A-Z]{1,3})(\d{1,7})"')
_BOOK = "xl/workbook.xml"

Places = dict[tuple[int, int], number_formats.Format]


class SheetFormats:
    """The number formats of a workbook.

    Args:
        package: Its package.
        most: Places that a sheet may have from its first value to its last.
    """

    def __init__(self, package: zipfile.ZipFile, most: int) -> None:
        self._package = package
        self._most = most
        self._formats = _styles(_root(package, "xl/styles.xml"))
        links = {
            attribute(link, "Id"): posixpath.normpath(f"xl/{attribute(link, 'Target')}")
            if not attribute(link, "Target").startswith("/")
            else attribute(link, "Target").lstrip("/")
            for link in _root(package, "xl/_rels/workbook.xml.rels")
        }
        self._sheets = {
            str(one.get("name")): links.get(attribute(one, "id"), "")
            for one in _root(package, _BOOK).iter()
            if name(one) == "sheet"
        }

    def of(self, sheet: str) -> Places:
        """Return the formats of a sheet's cells by row and column from 0 on, where they add.

        Raises:
            errors.KnowledgeError: If the sheet's values lie further apart than wanted.
        """
        if not self._sheets.get(sheet):
            return {}
        places: Places = {}
        rows, columns = _Span(), _Span()
        far = b""
        for cell in _CELL.finditer(archive.part(self._package, self._sheets[sheet])):
            place, style = _PLACE.search(cell[0]), _STYLE.search(cell[0])
            letters, number = place.groups() if place else (b"A", b"1")
            row, column = int(number) - 1, _column(letters)
            if rows.reaches(row) | columns.reaches(column):
                far = letters + number
            if style and place and (found := self._formats.get(int(style[1]))):
                places[row, column] = found
        if rows.length * columns.length > self._most:
            raise errors.KnowledgeError(
                f"its sheet {clean(sheet)} has a value far from its others, in {far.decode()}",
                fix="delete that row or column, if nothing of it is wanted, and save it again",
            )
        return places


class _Span:
    """From the least to the greatest number seen."""

    def __init__(self) -> None:
        self._least, self._greatest = 1 << 30, -1

    @property
    def length(self) -> int:
        return max(self._greatest - self._least + 1, 0)

    def reaches(self, number: int) -> bool:
        """Take a number; tell whether it is the greatest one so far."""
        self._least = min(self._least, number)
        if number <= self._greatest:
            return False
        self._greatest = number
        return True


def _styles(root: Any) -> dict[int, number_formats.Format]:  # noqa: ANN401 - lxml has no types
    """Return the formats that add something, by the number of the style."""
    codes = {
        attribute(one, "numFmtId"): attribute(one, "formatCode")
        for one in root.iter()
        if name(one) == "numFmt"
    }
    styles = next((one for one in root.iter() if name(one) == "cellXfs"), ())
    found = {}
    for number, style in enumerate(styles):
        identity = attribute(style, "numFmtId")
        if identity in codes:
            form = number_formats.of(codes[identity])
        else:
            form = number_formats.built_in(int(identity)) if identity.isdecimal() else None
        if form:
            found[number] = form
    return found


def _root(package: zipfile.ZipFile, part: str) -> Any:  # noqa: ANN401
    try:
        return parsed(archive.part(package, part) or b"<none/>")
    except BrokenXmlError:  # values are read without it
        return parsed(b"<none/>")


def _column(letters: bytes) -> int:
    column = 0
    for letter in letters:
        column = column * 26 + letter - ord("A") + 1
    return column - 1
