"""A file's records, each with its place; what is wrong with one costs no other.

Everything is in memory: no raw text is written anywhere. Bytes that are no text of the encoding
stay as lone surrogates, so that the check of the one record that holds them refuses it.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import NoReturn

import msgspec

from insights import errors
from insights.doors import elements, widths
from insights.doors.layouts import Form, Layout, Record, Refused, Unreadable

FORMS: dict[str, Form] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xml": "xml",
}
MOST_BYTES = 256 * 1024 * 1024

_DELIMITERS = "\t;|,"  # in the order of how seldom each stands in a name
_NAMED = re.compile(r"\A\"?sep=(?P<delimiter>.)\"?\r?\n")  # Excel's own first line
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ESCAPED = re.compile("[\udc80-\udcff]")
_WIDE = re.compile(r"[^\x00-\x7f\udc80-\udcff]")
_NO_CP1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_FIRST_CELLS = 131_072


def read(
    data: bytes, layout: Layout, wanted: Sequence[str]
) -> tuple[Layout, Iterator[Record | Refused]]:
    """Return how a file is written, and its records in order.

    Args:
        data: Its content.
        layout: What is known of it.
        wanted: The fields that a record must have.

    Raises:
        Unreadable: If it has no header, or another, or cannot be text.
    """
    if len(data) > MOST_BYTES:
        most = MOST_BYTES // 1024 // 1024
        raise Unreadable(Refused(1, None, "", f"the file is larger than {most} MiB", "split it"))
    named = layout.encoding
    if named is None and layout.form == "xml" and not data.startswith(tuple(m for m, _ in _MARKS)):
        named = elements.declared(data) or "utf-8"
    text, encoding = _text(data, named)
    layout = msgspec.structs.replace(layout, encoding=encoding)
    if layout.form == "xml":
        return layout, elements.read(text, layout)
    if layout.form == "fixed":
        if layout.unit == "bytes" and len("\n".encode(encoding.removesuffix("-sig"))) != 1:
            what = f"the file is {encoding}, which has no byte for a line's end"
            raise Unreadable(Refused(1, None, "", what, "count characters"))
        return layout, widths.read(data, text, layout)
    lines = list(io.StringIO(text, newline=""))
    if layout.form == "jsonl":
        return layout, _json(lines)
    return _csv(lines, layout, wanted)


def _text(data: bytes, named: str | None) -> tuple[str, str]:
    """Return the text and its encoding: as named, by its mark, UTF-8, or windows-1252."""
    encoding = named or next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is not None:
        if data.startswith(codecs.BOM_UTF8) and codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"
        try:
            return data.decode(encoding, errors="surrogateescape"), encoding
        except LookupError:
            refused = Refused(1, None, "", f"there is no encoding {encoding[:40]!r}", "set another")
            raise Unreadable(refused) from None
        except UnicodeDecodeError as exc:
            refused = Refused(1, None, "", f"the file is no {encoding}: {exc.reason}")
            raise Unreadable(refused) from None
    text = data.decode(errors="surrogateescape")
    bad = len(_ESCAPED.findall(text))
    if bad and len(_WIDE.findall(text)) < bad and not _NO_CP1252.search(data):
        return data.decode("cp1252"), "cp1252"
    return text, "utf-8"


def _csv(
    lines: list[str], layout: Layout, wanted: Sequence[str]
) -> tuple[Layout, Iterator[Record | Refused]]:
    csv.field_size_limit(max(_FIRST_CELLS, layout.most))
    first = 0
    delimiter = layout.delimiter
    if lines and (named := _NAMED.match(lines[0])):
        delimiter, first = delimiter or named["delimiter"], 1
    while first < len(lines) and not lines[first].strip():
        first += 1
    if first == len(lines):
        raise Unreadable(Refused(1, None, "", "the file is empty: there is no header"))
    known = set(wanted)
    found = {one: _header(lines, first, one) for one in delimiter or _DELIMITERS}
    delimiter = max(found, key=lambda one: len(known & set(found[one][0])))
    header, end = found[delimiter]
    if wrong := list(_wrong(header, first + 1, wanted)):
        raise Unreadable(*wrong)
    layout = msgspec.structs.replace(layout, delimiter=delimiter)
    return layout, _rows(lines, end, header, delimiter)


def _header(lines: list[str], first: int, delimiter: str) -> tuple[list[str], int]:
    reader = csv.reader((lines[at] for at in range(first, len(lines))), delimiter=delimiter)
    try:
        return [cell.strip() for cell in next(reader)], first + reader.line_num
    except csv.Error:
        return [], first + 1


def _wrong(header: Sequence[str], line: int, wanted: Sequence[str]) -> Iterator[Refused]:
    for name in wanted:
        if name not in header:
            fix = f"columns: {', '.join(wanted)}"
            yield Refused(line, None, name, f"the column {name!r} is missing", fix)
    for at, name in enumerate(header, start=1):
        shown = name[:60] if name.isprintable() else "?"
        if name not in wanted:
            yield Refused(line, at, shown, "there is no such field", "take the column out")
        elif name in header[: at - 1]:
            yield Refused(line, at, shown, "the column is there twice")


def _rows(
    lines: list[str], at: int, header: Sequence[str], delimiter: str
) -> Iterator[Record | Refused]:
    """Yield the rows; after one that is wrong, reading goes on in the line after its first."""
    columns = {name: number for number, name in enumerate(header, start=1)}
    while at < len(lines):
        reader = csv.reader(
            (lines[n] for n in range(at, len(lines))), delimiter=delimiter, strict=True
        )
        start = at
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield _row(start + 1, row, header, columns)
                start = at + reader.line_num
        except csv.Error as exc:
            before = lines[start].partition('"')[0]
            cell = before.count(delimiter) + 1
            what = "a quote is not closed, or closed within a cell"
            if "limit" in str(exc):
                what = f"a cell has more than {csv.field_size_limit():,} characters"
            name = header[cell - 1] if cell <= len(header) else ""
            yield Refused(start + 1, cell, name, what, "double the quotes within a quoted cell")
            at = start + 1
        else:
            return


def _row(
    line: int, row: Sequence[str], header: Sequence[str], columns: dict[str, int]
) -> Record | Refused:
    if len(row) != len(header):
        what = f"the record has {len(row)} cells, and the header {len(header)}"
        return Refused(line, min(len(row), len(header)) + 1, "", what)
    return Record(line, dict(zip(header, row, strict=True)), columns)


def _json(lines: Sequence[str]) -> Iterator[Record | Refused]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line, parse_constant=_no_constant)
        except json.JSONDecodeError as exc:
            yield Refused(number, exc.colno, "", f"no JSON: {exc.msg}")
        except RecursionError:
            yield Refused(number, None, "", "nested too deep")
        except ValueError as exc:
            yield Refused(number, None, "", f"no JSON: {str(exc)[:100]}")
        else:
            names = fields if isinstance(fields, dict) else ()
            places = {name: line.find(json.dumps(name, ensure_ascii=False)) + 1 for name in names}
            yield Record(number, fields, places)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def refusal(record: Record, exc: errors.RequestRefused) -> Refused:
    """Return a check's complaint about one record, with its place in the file."""
    field = exc.where.removeprefix("/").replace("~1", "/").replace("~0", "~")
    line = record.lines.get(field, record.line)
    return Refused(line, record.columns.get(field), field, exc.what, exc.fix)
