"""The door to olefile: which cells of an old workbook (XLS) have a format that adds to a number.

As `sheet_formats`, for the records of Excel 97 to 2003 (MS-XLS; the numbers below are its own).
"""

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

import olefile

from insights import errors
from insights.documents.formats import number_formats
from insights.documents.formats.sheet_formats import Places
from insights.documents.signatures import OLE

_END, _SHEET, _FORMAT, _STYLE = 0x0A, 0x85, 0x41E, 0xE0
_NUMBER, _SMALL, _MANY_SMALL, _FORMULA = 0x203, 0x27E, 0xBD, 0x06
_VALUES = frozenset({_NUMBER, _SMALL, _MANY_SMALL, _FORMULA, 0x204, 0x205, 0xD6, 0xFD})
_COLUMNS = 256
_LEAST = 6  # bytes of a cell: its row, column and style


class OldFormats:
    """The number formats of a workbook.

    Args:
        data: Its file.

    Raises:
        errors.KnowledgeError: If it has no workbook, or a value in a column that none has: calamine
            aborts over some of the former, and takes memory for all places up to the latter.
    """

    def __init__(self, data: bytes) -> None:
        self._stream = _stream(data)
        self._formats: dict[int, number_formats.Format] = {}
        self._sheets: dict[str, int] = {}
        codes: dict[int, str] = {}
        styles: list[int] = []
        for kind, body in _records(self._stream, 0):
            if kind == _FORMAT and len(body) > _LEAST:
                codes[_short(body, 0)] = _text(body, 4, _short(body, 2))
            elif kind == _STYLE and len(body) >= _LEAST:
                styles.append(_short(body, 2))
            elif kind == _SHEET and len(body) > _LEAST + 2:
                self._sheets[_text(body, 7, body[6])] = struct.unpack_from("<I", body)[0]
        for number, identity in enumerate(styles):
            code = codes.get(identity)
            form = number_formats.of(code) if code else number_formats.built_in(identity)
            if form:
                self._formats[number] = form
        for begin in self._sheets.values():
            for kind, body in _records(self._stream, begin):
                if kind in _VALUES and _short(body, 2) >= _COLUMNS:
                    raise errors.KnowledgeError("is damaged", fix="save it again as .xlsx")

    def of(self, sheet: str) -> Places:
        """Return the formats of a sheet's cells by row and column from 0 on, where they add."""
        begin = self._sheets.get(sheet)
        if begin is None or not self._formats:
            return {}
        return {
            (cell.row, cell.column): self._formats[cell.style]
            for kind, body in _records(self._stream, begin)
            for cell in _cells(kind, body)
            if cell.style in self._formats
        }


class _Cell(NamedTuple):
    row: int
    column: int
    style: int


def _cells(kind: int, body: bytes) -> Iterator[_Cell]:
    if kind in (_NUMBER, _SMALL, _FORMULA) and len(body) >= _LEAST:
        yield _Cell(*struct.unpack_from("<HHH", body))
    elif kind == _MANY_SMALL and len(body) >= _LEAST:
        row, first = struct.unpack_from("<HH", body)
        for number, at in enumerate(range(4, len(body) - 2, 6)):
            yield _Cell(row, first + number, _short(body, at))


def _stream(data: bytes) -> bytes:
    """Return the stream of records; nothing where the file is another kind, or cannot be read."""
    if not data.startswith(OLE):
        return b""
    try:
        with olefile.OleFileIO(io.BytesIO(data)) as container:
            if container.exists("Workbook"):
                return bytes(container.openstream("Workbook").read())
            named = container.exists("Book")  # Excel 5 and 95
    except Exception:  # noqa: BLE001 - of a damaged file; its values are read without it
        return b""
    if named:
        return b""
    raise errors.KnowledgeError("holds no workbook", fix="save it again as .xlsx")


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield the records of one part of the stream: those of the book, or of a sheet."""
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        if kind == _END:
            return
        yield kind, stream[at + 4 : at + 4 + length]
        at += 4 + length


def _short(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + 2], "little")


def _text(body: bytes, at: int, length: int) -> str:
    """Return a text of so many characters, before which stands how wide they are."""
    wide = body[at] & 1
    text = body[at + 1 : at + 1 + length * (1 + wide)]
    return text.decode("utf-16-le" if wide else "latin-1", "replace")
