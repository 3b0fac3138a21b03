"""From which confidences a model, and a larger one after it, are wrong in at most a given share.

A row that the first model is less sure of than a threshold goes on to the larger one, whose answer
is shown from a threshold of its own on. For each pair of thresholds what is shown, of either, is
one set of rows, and the wrong ones among the labelled rows in it are binomial, whatever the two
confidences mean and however the models depend on one another. So a pair is tested as a single
threshold is (`steps.certifying`), on the same rows; all pairs share the level between them.

Certified is the whole: of what is shown of both, at most the target is wrong. One model's part may
be above it where the other's is below.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, product

import msgspec

from insights.steps.certifying import LEVEL, THRESHOLDS, at_most, needed

ALWAYS = 0.0
"""The threshold that every answer reaches, also one of a model that tells no confidence."""
LARGER = (*THRESHOLDS, ALWAYS)
"""Confidences of the larger model, the strictest first."""
PAIRS = len(THRESHOLDS) * len(LARGER)
NEAR = 0.99
"""Of pairs that show so much of the most that can be shown, the one that asks least is taken."""


class Said(msgspec.Struct, frozen=True):
    """A model's answer to a labelled row: its confidence, whether it would be shown, and is right.

    `sure` is None where it tells none.
    """

    sure: float | None
    shown: bool
    right: bool


class PairCounts(msgspec.Struct, frozen=True):
    """Labelled rows at each pair of thresholds: those shown, and of them those that were wrong.

    `asked` are those that go on to the larger model, by the first model's threshold; `kept` and
    `wrong` are by that threshold and then by the larger model's.
    """

    rows: int
    asked: tuple[int, ...]
    kept: tuple[tuple[int, ...], ...]
    wrong: tuple[tuple[int, ...], ...]

    @property
    def fits(self) -> bool:
        """Whether it can be counts at the thresholds of this release."""
        wide = [len(self.asked), len(self.kept), len(self.wrong)] == [len(THRESHOLDS)] * 3
        return (
            wide
            and all(len(some) == len(LARGER) for some in (*self.kept, *self.wrong))
            and all(
                0 <= wrong <= kept <= self.rows
                for some in zip(self.kept, self.wrong, strict=True)
                for kept, wrong in zip(*some, strict=True)
            )
            and all(0 <= asked <= self.rows for asked in self.asked)
        )


class PairCertificate(msgspec.Struct, frozen=True):
    """Two thresholds, and what of the labelled rows was shown, was wrong, and went on."""

    first: float
    larger: float
    kept: int
    wrong: int
    asked: int


def counted(judged: Iterable[tuple[Said, Said | None]]) -> PairCounts:
    """Return the counts of labelled rows that the first model answered, and the larger one too.

    A row without an answer of the larger one (it failed, or may not go there) shows nothing there.
    """
    wide, deep = len(LARGER), len(THRESHOLDS) + 1  # the last: less sure than every threshold
    rows, asked = 0, [0] * deep
    own = [[0, 0] for _ in range(deep)]
    more = [[[0, 0] for _ in range(wide)] for _ in range(deep)]
    for first, larger in judged:
        rows += 1
        at = _place(THRESHOLDS, first.sure)
        asked[at] += 1
        if first.shown:
            own[at][0] += 1
            own[at][1] += not first.right
        if larger is not None and larger.shown:
            there = more[at][_place(LARGER, ALWAYS if larger.sure is None else larger.sure)]
            there[0] += 1
            there[1] += not larger.right
    kept, wrong = ([_summed(own, more, which, at) for at in range(deep - 1)] for which in (0, 1))
    return PairCounts(
        rows,
        tuple(sum(asked[at + 1 :]) for at in range(deep - 1)),
        tuple(kept),
        tuple(wrong),
    )


def _place(thresholds: Sequence[float], sure: float | None) -> int:
    """Return which is the strictest threshold that a confidence reaches; their number if none."""
    if sure is None:
        return len(thresholds)
    return bisect_left(thresholds, -sure, key=lambda one: -one)


def _summed(
    own: Sequence[Sequence[int]],
    more: Sequence[Sequence[Sequence[int]]],
    which: int,
    at: int,
) -> tuple[int, ...]:
    """Return, by the larger model's threshold, the sum of both models' rows at one of the first."""
    first = sum(some[which] for some in own[: at + 1])
    columns = zip(*more[at + 1 :], strict=True)
    further = accumulate(sum(cell[which] for cell in column) for column in columns)
    return tuple(first + one for one in further)


def certified(counts: PairCounts, max_error: float, level: float = LEVEL) -> PairCertificate | None:
    """Return the pair of thresholds that lets most be shown, at most `max_error` of it wrong.

    Of pairs that show nearly as much (`NEAR`) it is the one that asks the larger model least. None
    if no pair is certified.

    Args:
        counts: Of labelled rows.
        max_error: The share of the shown rows that may be wrong, over 0 and under 1.
        level: The probability that the promise holds.
    """
    most = (1 - level) / PAIRS
    proved = []
    for one, other in product(range(len(THRESHOLDS)), range(len(LARGER))):
        kept, wrong = counts.kept[one][other], counts.wrong[one][other]
        if kept and wrong <= kept * max_error and at_most(wrong, kept, max_error) <= most:
            pair = THRESHOLDS[one], LARGER[other]
            proved.append(PairCertificate(*pair, kept, wrong, counts.asked[one]))
    enough = NEAR * max((one.kept for one in proved), default=0)
    wanted = (one for one in proved if one.kept >= enough)
    return min(wanted, key=lambda one: (one.asked, -one.kept, -one.larger), default=None)


def needed_rows(max_error: float, level: float = LEVEL) -> int:
    """Return how many labelled rows, all of them right, it takes to certify a target of both."""
    return needed(max_error, level, PAIRS)
