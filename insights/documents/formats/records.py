"""Rows of a table as text: a section for each record, `column: value` lines."""

import re
from collections import Counter
from collections.abc import Sequence

from insights.documents.formats.cleaning import one_line

_LONGEST_HEAD = 120
_HEADER_WITHIN = 30  # lines above a header are a title, a date, a filter: not pages of text
_FILLED = 0.6  # of the columns that most rows fill: fewer are a line above the table
_YEARS = range(1900, 2200)
_VALUE = re.compile(
    r"[-+(]?[\d.,' \u00a0]*\d[\d.,' \u00a0]*[)%€$£]?|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*"
    r"|\d{1,2}:\d\d.*"
    r"|[\w.+-]+@[\w-]+\.\w+|(?:true|false|yes|no|ja|nein|wahr|falsch|null|n/a)",
    re.IGNORECASE,
)


def sections(rows: Sequence[Sequence[str]], level: str = "##") -> str:
    """Return Markdown of a table: what stands above its header, then a section for each record.

    Without a header the columns are numbered. No cell is left out but empty ones.
    """
    kept = [cells for row in rows if any(cells := [one_line(cell) for cell in row])]
    if not kept:
        return ""
    above, header, records = split(kept)
    written = [" | ".join(filter(None, row)) for row in above]
    text = ["\n".join(written)] if written else []
    text += [_section(header, record, level) for record in records]
    return "\n\n".join(text)


def split(
    rows: Sequence[Sequence[str]],
) -> tuple[Sequence[Sequence[str]], Sequence[str], Sequence[Sequence[str]]]:
    """Return the lines above the header, the header (empty: there is none), and the records."""
    typical = _typical([sum(map(bool, row)) for row in rows])
    start = next(
        (
            number
            for number, row in enumerate(rows[:_HEADER_WITHIN])
            if sum(map(bool, row)) >= max(2 if typical > 1 else 1, _FILLED * typical)
        ),
        0,
    )
    if _names(rows[start]):
        return rows[:start], rows[start], rows[start + 1 :]
    return rows[:start], (), rows[start:]


def _typical(counts: Sequence[int]) -> int:
    """Return the number of filled cells that most rows have, the larger one of two as frequent."""
    return max(Counter(counts).items(), key=lambda item: (item[1], item[0]))[0]


def _names(row: Sequence[str]) -> bool:
    """Tell whether cells name columns: all differ, and none is a value, but for years."""
    filled = [cell for cell in row if cell]
    values = [cell for cell in filled if _VALUE.fullmatch(cell) and not _is_year(cell)]
    return not values and len(set(filled)) == len(filled)


def _is_year(cell: str) -> bool:
    return cell.isdecimal() and int(cell[:6]) in _YEARS


def _section(header: Sequence[str], record: Sequence[str], level: str) -> str:
    names = [*header, *[""] * (len(record) - len(header))]
    fields = [
        f"{name or f'column {number}'}: {value}"
        for number, (name, value) in enumerate(zip(names, record, strict=False), 1)
        if value
    ]
    head = next(filter(None, record))
    if len(head) > _LONGEST_HEAD:
        head = head[:_LONGEST_HEAD].rsplit(" ", 1)[0] + " …"
    return f"{level} {head}\n\n" + "\n".join(fields)
