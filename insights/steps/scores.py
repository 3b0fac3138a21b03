"""How often outputs are right, against labels: shares with their intervals, by class, by threshold.

All of it is counting over labelled rows. Intervals are of 95 %.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import msgspec

_WORD = re.compile(r"\w+")
_Z = 1.959963984540054  # of the normal distribution, for 95 %
_BINS = 10


class Share(msgspec.Struct, frozen=True):
    """A share of so many rows, and Wilson's interval around it (None of no rows)."""

    rows: int
    share: float | None
    low: float | None
    high: float | None


class Class(msgspec.Struct, frozen=True):
    """One value of a closed field: how often it is said where it is right, and the other way."""

    value: str
    rows: int
    precision: float | None
    recall: float
    f1: float


class Bin(msgspec.Struct, frozen=True):
    """Rows of about one confidence: how sure they were and how many were right."""

    confidence: float
    right: float
    rows: int


class Point(msgspec.Struct, frozen=True):
    """The share of all rows that would be shown from a confidence on, and of those the wrong."""

    confidence: float
    coverage: float
    error: float


class Paired(msgspec.Struct, frozen=True):
    """Two versions on the same rows: what only one of them got right, and the gain in accuracy.

    `p` is McNemar's exact test of no difference.
    """

    rows: int
    only_first: int
    only_second: int
    gain: float
    low: float
    high: float
    p: float


def share(right: int, rows: int) -> Share:
    """Return a share with its interval (Wilson 1927)."""
    if not rows:
        return Share(0, None, None, None)
    at, z2 = right / rows, _Z * _Z
    middle = (at + z2 / (2 * rows)) / (1 + z2 / rows)
    half = _Z / (1 + z2 / rows) * math.sqrt(at * (1 - at) / rows + z2 / (4 * rows * rows))
    return Share(rows, at, max(0.0, middle - half), min(1.0, middle + half))


def classes(pairs: Sequence[tuple[str, str | None]]) -> list[Class]:
    """Return the classes of (true value, answered value), the most frequent first.

    A row without an answer counts as missed.
    """
    values = sorted({true for true, _ in pairs}, key=lambda v: (-_count(pairs, v), v))
    made = []
    for value in values:
        rows = _count(pairs, value)
        said = sum(answer == value for _, answer in pairs)
        hits = sum(true == answer == value for true, answer in pairs)
        made.append(
            Class(value, rows, hits / said if said else None, hits / rows, 2 * hits / (rows + said))
        )
    return made


def _count(pairs: Sequence[tuple[str, str | None]], value: str) -> int:
    return sum(true == value for true, _ in pairs)


def calibration(judged: Sequence[tuple[float, bool]]) -> list[Bin]:
    """Return (confidence, right) in at most ten bins of as many rows each, the least sure first."""
    ordered, made = sorted(judged, key=lambda one: one[0]), []  # ties as they come
    for number in range(_BINS):
        some = ordered[number * len(ordered) // _BINS : (number + 1) * len(ordered) // _BINS]
        if some:
            sure = sum(confidence for confidence, _ in some) / len(some)
            made.append(Bin(sure, sum(right for _, right in some) / len(some), len(some)))
    return made


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Return the mean distance of confidence and accuracy over the rows (ECE); None of no row."""
    rows = sum(one.rows for one in bins)
    if not rows:
        return None
    return sum(one.rows * abs(one.confidence - one.right) for one in bins) / rows


def risk_coverage(judged: Sequence[tuple[float, bool]], rows: int) -> list[Point]:
    """Return what would be shown, and what of it wrong, from each confidence on.

    Args:
        judged: (confidence, right) of the rows that were answered.
        rows: All rows, those without an answer too.
    """
    made: list[Point] = []
    shown = wrong = 0
    ordered = sorted(judged, reverse=True)
    for number, (confidence, right) in enumerate(ordered):
        shown, wrong = shown + 1, wrong + (not right)
        if number + 1 == len(ordered) or ordered[number + 1][0] != confidence:
            made.append(Point(confidence, shown / rows, wrong / shown))
    return made


def paired(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Return how the second version compares with the first on the same rows.

    The interval of the gain is Agresti and Min's (2005); the test is McNemar's, exact.
    """
    rows = len(first)
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    b, c, n = only_first + 0.5, only_second + 0.5, rows + 2
    middle, differ = (c - b) / n, b + c
    half = _Z * math.sqrt(max(differ - (c - b) ** 2 / n, 0.0)) / n
    turned = only_first + only_second
    least = min(only_first, only_second)
    tail = sum(math.comb(turned, k) for k in range(least + 1)) / 2**turned
    gain = (only_second - only_first) / rows if rows else 0.0
    return Paired(
        rows, only_first, only_second, gain, max(-1.0, middle - half), min(1.0, middle + half),
        min(1.0, 2 * tail),
    )  # fmt: skip


def overlap(text: str, reference: str) -> float:
    """Return the F1 of the words that a text and its reference share (SQuAD's measure)."""
    said, wanted = (Counter(_WORD.findall(one.casefold())) for one in (text, reference))
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (said & wanted).total() / (said.total() + wanted.total())
