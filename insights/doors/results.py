"""Outcomes as a file of the format that the records came in, and the report of the bad ones."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr  # nosec B406 - writes only

from insights.doors import widths
from insights.doors.layouts import Column, Layout, Refused
from insights.doors.sending import Sending
from insights.model import Answer

_NAMES = ("standing", "status", "confidence", "reason", "request")
_WIDE = {"standing": 10, "status": 9, "confidence": 8, "reason": 80, "request": 36}
_OUTPUT_WIDE = 40
_ELEMENT = re.compile(r"[A-Za-z_][\w.-]*\Z")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")


def outcomes(sending: Sending, layout: Layout, key: Sequence[str], output: Sequence[str]) -> bytes:
    """Return the outcomes of a file, in the order of its records.

    Args:
        sending: What was accepted, with every answer.
        layout: How the file was written.
        key: The key's fields, which come first.
        output: The output's fields, in the schema's order.
    """
    if layout.form == "jsonl":
        made = "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in _objects(sending))
        return made.encode(layout.encoding or "utf-8", errors="backslashreplace")
    columns = names(key, output)
    rows = _rows(sending, key, output)
    if layout.form == "xml":
        return _xml(columns, rows).encode()
    if layout.form == "fixed":
        return _fixed(columns, rows, layout)
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=layout.delimiter or ",")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([*row[: len(key)], *(_cell(value) for value in row[len(key) :])])
    return text.getvalue().encode(layout.encoding or "utf-8", errors="replace")


def _rows(sending: Sending, key: Sequence[str], output: Sequence[str]) -> Iterator[list[Any]]:
    for one in sending.accepted:
        answer = sending.answers[one.request]
        found: dict[str, Any] = answer.output if isinstance(answer.output, dict) else {}
        yield [
            *(one.key[name] for name in key),
            answer.standing,
            answer.status,
            *(found.get(name) for name in output),
            answer.confidence,
            answer.reason,
            one.request,
        ]


def _xml(names: Sequence[str], rows: Iterator[list[Any]]) -> str:
    """Return outcomes as XML in UTF-8; a value that is not there has no element."""
    made = ['<?xml version="1.0" encoding="utf-8"?>', "<outcomes>"]
    for row in rows:
        made.append("  <outcome>")
        for name, value in zip(names, row, strict=True):
            if value is None:
                continue
            told = escape(_NO_XML.sub("\ufffd", _plain(value)))
            tag = name if _ELEMENT.match(name) else "field"
            named = "" if tag == name else f" name={quoteattr(name)}"
            made.append(f"    <{tag}{named}>{told}</{tag}>")
        made.append("  </outcome>")
    return "\n".join([*made, "</outcomes>", ""])


def _fixed(names: Sequence[str], rows: Iterator[list[Any]], layout: Layout) -> bytes:
    columns = layout.result or default_result(names, layout)
    at = {name: number for number, name in enumerate(names)}
    made = ([_plain(row[at[one.name]]) for one in columns] for row in rows)
    return widths.lines(made, columns, layout)


def default_result(names: Sequence[str], layout: Layout) -> tuple[Column, ...]:
    """Return how outcomes of a fixed-width file are written where nothing says it."""
    wide = {one.name: one.width for one in layout.columns}
    return tuple(Column(name, wide.get(name, _WIDE.get(name, _OUTPUT_WIDE))) for name in names)


def names(key: Sequence[str], output: Sequence[str]) -> list[str]:
    """Return what an outcome has, in order: the columns of CSV."""
    return [*key, "standing", "status", *_named(output, key), "confidence", "reason", "request"]


def report(refused: Sequence[Refused]) -> bytes:
    """Return what is wrong with a file, a line for each record, as CSV in UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["line", "column", "field", "reason", "fix"])
    for one in refused:
        column = "" if one.column is None else one.column
        writer.writerow([one.line, column, _cell(one.field), one.what, one.fix])
    return text.getvalue().encode(errors="backslashreplace")


def write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever is killed.

    Raises:
        OSError: If it cannot be written; nothing of it is left.
    """
    made = path.with_name(f".{path.name}.part")
    try:
        with made.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        made.rename(path)
    except OSError:
        made.unlink(missing_ok=True)
        raise
    settle(path.parent)


def settle(folder: Path) -> None:
    """Let a folder's renames survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _objects(sending: Sending) -> Iterator[dict[str, Any]]:
    for one in sending.accepted:
        yield {**one.key, "request": one.request, **_facts(sending.answers[one.request])}


def _facts(answer: Answer) -> dict[str, Any]:
    facts = {
        "standing": answer.standing,
        "status": answer.status,
        "output": answer.output,
        "citations": list(answer.citations),
        "confidence": answer.confidence,
        "reason": answer.reason,
    }
    return {name: value for name, value in facts.items() if value not in (None, [])}


def _named(output: Sequence[str], key: Sequence[str]) -> list[str]:
    """Return the columns of the output's fields; one that is taken says whose it is."""
    taken = {*key, *_NAMES}
    return [f"output_{name}" if name in taken else name for name in output]


def _cell(value: object) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    text = _plain(value)
    is_text = not isinstance(value, bool | int | float)
    return f"'{text}" if is_text and text.startswith(_FORMULA) else text


def _plain(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
