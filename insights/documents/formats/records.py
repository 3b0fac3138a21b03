"""Rows of a table as text: a section for each record, `column: value` lines."""

import re
from collections import Counter
from collections.abc import Sequence

from insights.documents.formats.cleaning import one_line

_LONGEST_HEAD = 120
_HEADER_WITHIN = 30  # lines above a header are a title, a date, a filter: not pages of text
_FILLED = 0.6  # of the columns that most rows fill: fewer are a line above the table
_YEARS = range(1900, 2200)
# What names no column; "No" does, it is short for number.
_VALUE = re.compile(
    r"[-+(]?[\d.,' \u00a0]*\d[\d.,' \u00a0]*[)%€$£]?|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}.*"
    r"|\d{1,2}:\d\d.*"
    r"|[\w.+-]+@[\w-]+\.\w+|(?:true|false|yes|ja|nein|wahr|falsch|null|n/a)",
    re.IGNORECASE,
)


def sections(rows: Sequence[Sequence[str]], level: str = "##") -> str:
    """Return Markdown of a table: what stands above its header, then a section for each record.

    Without a header the columns are numbered. No cell is left out but empty ones; columns without
    values are named once.
    """
    above, header, records = split([[one_line(cell) for cell in row] for row in rows])
    written = [" | ".join(filter(None, row)) for row in above]
    filled = {at for record in records for at, value in enumerate(record) if value}
    unused = [name for at, name in enumerate(header) if name and at not in filled]
    if unused and records:
        written.append(f"Without values: {', '.join(unused)}")
    text = ["\n".join(written)] if written else []
    text += [_section(header, record, level) for record in records]
    return "\n\n".join(text)


def split(
    rows: Sequence[Sequence[str]],
) -> tuple[Sequence[Sequence[str]], Sequence[str], Sequence[Sequence[str]]]:
    """Return the lines above the header, the header (empty: there is none), and the records.

    Empty rows are left out.
    """
    filled = [sum(map(bool, row)) for row in rows]
    if not any(filled):
        return (), (), ()
    typical = _typical([count for count in filled if count])
    start = next(
        (at for at in range(min(len(rows), _HEADER_WITHIN)) if _begins(filled, at, typical)), 0
    )
    above = [row for row in rows[:start] if any(row)]
    named = _names(rows[start])
    records = [row for row in rows[start + named :] if any(row)]
    return above, rows[start] if named else (), records


def _begins(filled: Sequence[int], at: int, typical: int) -> bool:
    """Tell whether a table begins at a row, which lacks cells only where the next is full too.

    A line above the header that is cut in two by chance (a place and a date) stands before an empty
    row or another such line.
    """
    enough = max(2 if typical > 1 else 1, _FILLED * typical)
    following = filled[at + 1] if at + 1 < len(filled) else 0
    return filled[at] >= enough and (filled[at] >= typical or following >= enough)


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
