"""CSV: each record becomes a section of `column: value` lines; nothing is dropped."""

import csv
import io
import re
import sys
from collections import Counter

from insights import errors
from insights.documents.formats.encoding import decode
from insights.documents.formats.records import sections, split
from insights.documents.messages import Limits, Loaded

# In the order of how seldom each stands in a text by chance, then what hosts and Hive write: these
# only where they cut lines more alike than all before.
_DELIMITERS = "\t;|,^~\xa6\xac\xa7"
_SEPARATORS = (b"\x1f", b"\x01")  # signs that no text has: ASCII's own, and Hive's
_SAMPLED_LINES = 400
_NAMED = re.compile(r"\A\"?sep=(?P<delimiter>.)\"?\n")  # Excel's own first line
_PROSE = re.compile(r"^ \S")  # ", " within a sentence leaves a blank before the next cell


def load(data: bytes, _: Limits) -> Loaded:
    """Return the records as Markdown sections headed by their first column.

    Raises:
        errors.KnowledgeError: If there is a header and no record.
    """
    for separator in _SEPARATORS:
        if separator in data and b"\0" not in data:  # no UTF-16
            data = data.replace(b"\t", b" ").replace(separator, b"\t")
    text, doubts = decode(data)
    if named := _NAMED.match(text):
        delimiter, text = named["delimiter"], text[named.end() :]
    else:
        delimiter = _delimiter(text)
    rows = [[cell.strip() for cell in row] for row in _rows(text, delimiter)]
    header, records = split(rows)[1:]
    if header and not records:
        raise errors.KnowledgeError("has no record below a header")
    return Loaded(text=sections(rows), doubts=doubts)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(sys.maxsize)  # it is the process's: others set it, too
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _delimiter(text: str) -> str:
    """Return the character that cuts most lines into the same number of cells."""
    end = 0
    for _ in range(_SAMPLED_LINES):
        if (end := text.find("\n", end) + 1) == 0:
            break
    sample = text[:end] if end else text
    return max(_DELIMITERS, key=lambda delimiter: _consistency(sample, delimiter))


def _consistency(sample: str, delimiter: str) -> tuple[float, float]:
    """Return the share of lines with the commonest number of cells, then how clean the cuts are."""
    rows = [row for row in _rows(sample, delimiter) if any(row)]
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return 0.0, 0.0
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    cells = [cell for row in rows if len(row) == width for cell in row[1:]]
    clean = 1 - sum(bool(_PROSE.match(cell)) for cell in cells) / len(cells)
    return count / len(rows) * (0.5 + clean / 2), clean
