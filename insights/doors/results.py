"""Outcomes as a file of the format that the records came in, and the report of the bad ones."""

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from insights.doors.records import Layout, Refused
from insights.doors.sending import Sending
from insights.model import Answer

_NAMES = ("standing", "status", "confidence", "reason", "request")
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
    names = [*key, "standing", "status", *_named(output, key), "confidence", "reason", "request"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=layout.delimiter or ",")
    writer.writerow(names)
    for one in sending.accepted:
        answer = sending.answers[one.request]
        found: dict[str, Any] = answer.output if isinstance(answer.output, dict) else {}
        writer.writerow(
            [
                *(one.key[name] for name in key),
                answer.standing,
                answer.status or "",
                *(_cell(found.get(name)) for name in output),
                "" if answer.confidence is None else answer.confidence,
                _cell(answer.reason),
                one.request,
            ]
        )
    return text.getvalue().encode(layout.encoding or "utf-8", errors="replace")


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
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text
