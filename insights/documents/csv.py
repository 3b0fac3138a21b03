"""CSV with a header row: each record becomes a section of `column: value` lines."""

import csv
from pathlib import Path

from insights import errors
from insights.documents.loaded import Loaded, read_text

_SNIFFED_CHARS = 8_192


def load(path: Path) -> Loaded:
    """Return the records as Markdown sections headed by their first column.

    Raises:
        errors.KnowledgeError: If there is no header and record.
    """
    text = read_text(path)
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:_SNIFFED_CHARS], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(text.splitlines(keepends=True), dialect) if any(row)]
    except csv.Error as exc:
        raise errors.KnowledgeError(f"is no CSV: {exc}") from exc
    if len(rows) < 2:  # noqa: PLR2004 - a header and a record
        raise errors.KnowledgeError("has no record below a header")
    header, *records = rows
    return Loaded("", "\n\n".join(_section(header, record) for record in records))


def _section(header: list[str], record: list[str]) -> str:
    fields = [
        f"{name.strip()}: {' '.join(value.split())}"
        for name, value in zip(header, record, strict=False)
        if value.strip()
    ]
    head = " ".join(record[0].split()) or "record"
    return f"## {head}\n\n" + "\n".join(fields)
