"""Records of fixed-width lines, by a list of columns that count characters or bytes.

A line that ends too early is told, never filled up: what a full disk cut off is no record. Only in
its last column may it end, as programs leave out the blanks there.
"""

import codecs
from collections.abc import Iterable, Iterator, Sequence

from insights.doors.layouts import Column, Layout, Record, Refused


def read(data: bytes, text: str, layout: Layout) -> Iterator[Record | Refused]:
    """Yield a record for each line that is not blank.

    Args:
        data: The file.
        text: The same as text; a lone surrogate stands for a byte that is none.
        layout: `columns`, each in `unit`, and the encoding.
    """
    columns = layout.columns
    last = max(columns, key=lambda one: one.at)
    end = max(one.end for one in columns)
    places = {one.name: one.at for one in columns}
    for number, line in enumerate(_lines(data, text, layout), start=1):
        if not line.strip():
            continue
        if len(line) < last.at:
            what = f"the line has {len(line)} {layout.unit}, and {last.name!r} begins at {last.at}"
            yield Refused(number, len(line) + 1, last.name, what, "fill it up with blanks")
        elif line[end:].strip():
            what = f"the line has {len(line)} {layout.unit}, and the columns end at {end}"
            yield Refused(number, end + 1, "", what, "name every column that is used")
        else:
            cells = {one.name: _text(line[one.at - 1 : one.end], layout) for one in columns}
            yield Record(number, cells, places)


def lines(rows: Iterable[Sequence[str]], columns: Sequence[Column], layout: Layout) -> bytes:
    """Return lines of values, each filled up with blanks to its column's width.

    A longer one ends in an ellipsis (a point, where the encoding has none); a line break in a value
    is a blank. In `bytes` a width counts bytes of the encoding, and no character is cut in two.
    """
    encoding = layout.encoding or "utf-8"
    measured = "utf-8" if encoding == "utf-8-sig" else encoding
    mark = "…" if "…".encode(measured, errors="replace") != b"?" else "."

    def size(text: str) -> int:
        in_bytes = layout.unit == "bytes"
        return len(text.encode(measured, errors="replace")) if in_bytes else len(text)

    def cell(value: str, width: int) -> str:
        value = " ".join(value.split())
        if size(value) > width:
            end = mark if size(mark) <= width else "."
            value = value[: width - size(end)]
            while size(value) + size(end) > width:
                value = value[:-1]
            value += end
        return value + " " * (width - size(value))

    made = [
        "".join(cell(value, one.width) for value, one in zip(row, columns, strict=True))
        for row in rows
    ]
    return "".join(f"{one}\n" for one in made).encode(encoding, errors="replace")


def _lines(data: bytes, text: str, layout: Layout) -> Sequence[bytes | str]:
    if layout.unit == "bytes":
        data = data.removeprefix(codecs.BOM_UTF8)
        return [one.removesuffix(b"\r") for one in data.split(b"\n")]
    return [one.removesuffix("\r") for one in text.split("\n")]


def _text(cell: bytes | str, layout: Layout) -> str:
    if isinstance(cell, bytes):
        cell = cell.decode(layout.encoding or "utf-8", errors="surrogateescape")
    return cell.strip(" ")
