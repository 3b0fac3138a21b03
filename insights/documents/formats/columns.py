"""Two columns whose lines a program drew side by side: read one after the other.

Most programs draw a column after the other, which pdfium follows. Only where line after line holds
two long pieces with one gap between them at the same place is the page put in another order; short
pieces are a table's.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

_FEWEST = 6  # lines side by side that make columns
_LONG = 18  # characters of a piece, on average: prose, no table
_GAP = 0.8  # of the line's height, at least, between two pieces
_MOST = 5_000  # pieces of a page; more is a drawing


class _Piece(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float
    text: str


def read(page: Any) -> str:  # noqa: ANN401 - pypdfium2 has no types of its own
    """Return a page's text if it stands in columns drawn side by side, else nothing.

    Args:
        page: A `PdfTextPage`.
    """
    count = page.count_rects()
    if not 2 * _FEWEST <= count <= _MOST:
        return ""
    boxes = []
    for index in range(count):
        left, bottom, right, top = page.get_rect(index)
        boxes.append(_Piece(left, bottom, right, top, ""))
    if sum(_beside(one, other) for one, other in itertools.pairwise(boxes)) < _FEWEST:
        return ""
    pieces = [
        box._replace(text=str(page.get_text_bounded(*box[:4])).strip("\r\n")) for box in boxes
    ]
    lines = list(_lines(pieces))
    if not _in_columns(lines):
        return ""
    return "\n".join(_ordered(lines))


def _beside(one: _Piece, other: _Piece) -> bool:
    """Tell whether a piece stands right of another on its line, with a gap between."""
    height = one.top - one.bottom
    overlap = min(one.top, other.top) - max(one.bottom, other.bottom)
    return overlap > height / 2 and other.left - one.right > _GAP * height


def _lines(pieces: list[_Piece]) -> Iterator[list[_Piece]]:
    """Yield pieces drawn after each other on one line, those without a gap as one."""
    line: list[_Piece] = []
    for piece in pieces:
        if line and _beside(line[-1], piece):
            line.append(piece)
        elif line and _same_line(line[-1], piece):
            last = line.pop()
            line.append(last._replace(right=piece.right, text=f"{last.text}{piece.text}"))
        else:
            if line:
                yield line
            line = [piece]
    if line:
        yield line


def _same_line(one: _Piece, other: _Piece) -> bool:
    overlap = min(one.top, other.top) - max(one.bottom, other.bottom)
    return overlap > (one.top - one.bottom) / 2 and other.left >= one.right - 1


def _in_columns(lines: list[list[_Piece]]) -> bool:
    pairs = [line for line in lines if len(line) == 2]  # noqa: PLR2004
    if len(pairs) < _FEWEST or len(pairs) < len(lines) / 2:
        return False
    gutter_left = max(line[0].right for line in pairs)
    gutter_right = min(line[1].left for line in pairs)
    length = sum(len(piece.text) for line in pairs for piece in line) / (2 * len(pairs))
    return gutter_left < gutter_right and length >= _LONG


def _ordered(lines: list[list[_Piece]]) -> Iterator[str]:
    """Yield the lines of each run of columns left before right; others stay where they are."""
    left: list[str] = []
    right: list[str] = []
    gutter = min(line[1].left for line in lines if len(line) == 2)  # noqa: PLR2004
    for line in lines:
        if len(line) == 2:  # noqa: PLR2004
            left.append(line[0].text)
            right.append(line[1].text)
        elif left and len(line) == 1 and (line[0].left >= gutter or line[0].right < gutter):
            (right if line[0].left >= gutter else left).append(line[0].text)
        else:
            yield from (*left, *right)
            left, right = [], []
            yield " ".join(piece.text for piece in line)
    yield from (*left, *right)
