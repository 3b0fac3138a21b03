"""Two more ways to cut a text: in windows of one length, and where the subject changes.

`semantic` after G. Kamradt, "5 Levels of Text Splitting" (2023): neighbouring sentences whose
embeddings differ more than most neighbours of their document do belong to two passages. Bounded
here: what is longer than a passage may be is cut at its widest gap, again and again.
"""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import mul
from statistics import fmean, pstdev

_WORD = re.compile(r"\S+\s*")
# Where a sentence, a line of a list or a table, or a paragraph ends.
_END = re.compile(
    r"(?:(?<=[.!?\u2026])|(?<=[.!?][\"')\]]))\s+"
    r"|(?<=[\u3002\uff01\uff1f])"
    r"|\n[ \t]*\n\s*"
    r"|\n(?=[ \t]*(?:[-*+|#>]|\d+[.)])[ \t])"
)
_HEADING = re.compile(r"#{1,6}[ \t]")
_HEADER = 4  # bytes of pgvector's binary format before the elements
_NEVER = -1.0  # no gap: a heading stays with what it heads
# Texts on either side of a gap, and standard deviations above the mean of a document's gaps from
# which one is wide: of the ends of Cranfield's abstracts, joined by tens, 80 % are found with two
# sentences, 64 % with one, 75 % with three; 0.5 to 2 deviations differ by less than .06.
_BESIDE, _WIDE = 2, 1.0
_TOGETHER = 500  # parts between two cuts that are made whatever the gap
_LEAST = 8  # a part of what a passage may have: less is cut off only where nothing else can be


def words(text: str) -> list[tuple[int, int]]:
    """Return where each word begins and ends, the blanks after it included."""
    return [found.span() for found in _WORD.finditer(text)]


def windows(lengths: Sequence[int], most: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of parts that have `most` together, each beginning `overlap` before the last.

    A part that is longer alone is a window of its own.
    """
    first = 0
    while first < len(lengths):
        end, size = first, 0
        while end < len(lengths) and (end == first or size + lengths[end] <= most):
            size += lengths[end]
            end += 1
        yield first, end
        if end == len(lengths):
            return
        back, shared = end, 0
        while back - 1 > first and shared + lengths[back - 1] <= overlap:
            back -= 1
            shared += lengths[back]
        first = back


def sentences(text: str) -> list[tuple[int, int]]:
    """Return where each sentence, list item, row of a table or heading begins and ends."""
    text = text.rstrip()
    ends = [found.end() for found in _END.finditer(text)]
    starts = [0, *ends]
    spans = zip(starts, [*ends, len(text)], strict=True)
    return [(start, end) for start, end in spans if text[start:end].strip()]


def gaps(texts: Sequence[str], vectors: Sequence[bytes]) -> list[float]:
    """Return how far what stands before each place between two texts is from what follows it.

    One less the cosine of the sums of the unit vectors of `_BESIDE` texts on either side.
    """
    made = [_numbers(vector) for vector in vectors]
    found = []
    for at in range(1, len(made)):
        before = _sum(made[max(0, at - _BESIDE) : at])
        after = _sum(made[at : at + _BESIDE])
        gap = 1.0 - sum(map(mul, before, after)) / (math.hypot(*before) * math.hypot(*after) or 1.0)
        found.append(_NEVER if _HEADING.match(texts[at - 1]) else gap)
    return found


def by_subject(lengths: Sequence[int], between: Sequence[float], most: int) -> list[int]:
    """Return which parts a passage begins with: after each wide gap, and where it gets too long.

    Args:
        lengths: Of the parts, in tokens.
        between: The gap after each part but the last.
        most: Tokens of a passage.
    """
    real = [gap for gap in between if gap != _NEVER]
    wide = fmean(real) + _WIDE * pstdev(real) if real else 0.0
    sums = [0]
    for length in lengths:
        sums.append(sums[-1] + length)
    # Each range is looked through again after a cut, so none is long.
    ends = [*range(0, len(lengths), _TOGETHER), len(lengths)]
    starts, todo = [], list(pairwise(ends))[::-1]
    while todo:
        first, end = todo.pop()
        fits = sums[end] - sums[first] <= most
        inner = [at for at in range(first + 1, end) if _parted(sums, first, at, end, most)]
        if not fits and not inner:
            inner = list(range(first + 1, end))
        cut = max(inner, key=lambda at: between[at - 1], default=None)
        if cut is None or (fits and between[cut - 1] <= wide):
            starts.append(first)
        else:
            todo += [(cut, end), (first, cut)]
    return starts


def _parted(sums: Sequence[int], first: int, at: int, end: int, most: int) -> bool:
    """Tell whether both sides of a cut are long enough to say something by themselves."""
    return min(sums[at] - sums[first], sums[end] - sums[at]) * _LEAST >= most


def _numbers(vector: bytes) -> tuple[float, ...]:
    """Return the elements of a vector in pgvector's binary halfvec format."""
    return struct.unpack(f">{(len(vector) - _HEADER) // 2}e", vector[_HEADER:])


def _sum(vectors: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) for column in zip(*vectors, strict=True)]
