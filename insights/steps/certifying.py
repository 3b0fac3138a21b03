"""From which confidence on a field is wrong in at most a given share of rows.

Labelled rows are counted at thresholds that were fixed before anyone looked. At one of them, the
wrong ones among those at least as sure are binomial, so that few of them are evidence that the
error is at most the target: a p-value with no assumption on what confidence means. All thresholds
share the level between them (Bonferroni), so that none is believed by chance: Angelopoulos et al.,
Learn then Test, arXiv:2110.01052. What is promised is of rows like the labelled ones.
"""

import math
from collections.abc import Iterable

import msgspec

LEVEL = 0.95
"""How sure a certificate is, unless another level is asked for."""
_TAIL = (0.96, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 0.99999, 0.999999)
THRESHOLDS = tuple(sorted((*_TAIL, *(step / 20 for step in range(1, 20))), reverse=True))
"""Confidences, the strictest first."""


class Counts(msgspec.Struct, frozen=True):
    """Labelled rows at least as sure as each of `THRESHOLDS`, and those of them that were wrong."""

    rows: int
    kept: tuple[int, ...]
    wrong: tuple[int, ...]


class Certificate(msgspec.Struct, frozen=True):
    """A threshold of confidence, and what of the labelled rows reached it and was wrong."""

    threshold: float
    kept: int
    wrong: int


def counted(judged: Iterable[tuple[float, bool]]) -> Counts:
    """Return the counts of (confidence, whether it was right) of labelled rows."""
    rows = sorted(judged, reverse=True)
    kept, wrong = [], []
    for threshold in THRESHOLDS:
        sure = [right for confidence, right in rows if confidence >= threshold]
        kept.append(len(sure))
        wrong.append(len(sure) - sum(sure))
    return Counts(len(rows), tuple(kept), tuple(wrong))


def certified(counts: Counts, max_error: float, level: float = LEVEL) -> Certificate | None:
    """Return the lowest threshold from which on at most `max_error` is wrong; None if none is.

    Args:
        counts: Of labelled rows.
        max_error: The share of the shown rows that may be wrong, over 0 and under 1.
        level: The probability that the promise holds.
    """
    most, found = (1 - level) / len(THRESHOLDS), None
    for threshold, kept, wrong in zip(THRESHOLDS, counts.kept, counts.wrong, strict=True):
        fewer = found is not None and kept <= found.kept
        if kept and not fewer and at_most(wrong, kept, max_error) <= most:
            found = Certificate(threshold, kept, wrong)
    return found


def needed(max_error: float, level: float = LEVEL, tests: int = len(THRESHOLDS)) -> int:
    """Return how many labelled rows, all of them right, it takes to certify a target.

    Args:
        max_error: The target.
        level: The probability that the promise holds.
        tests: How many share the level between them.
    """
    return math.ceil(math.log((1 - level) / tests) / math.log1p(-max_error))


def at_most(wrong: int, kept: int, share: float) -> float:
    """Return how likely at most `wrong` of `kept` rows are wrong where each is by `share`."""
    odds = math.log(share) - math.log1p(-share)
    log_ = kept * math.log1p(-share)
    total = math.exp(log_)
    for k in range(1, wrong + 1):
        log_ += math.log((kept - k + 1) / k) + odds
        total += math.exp(log_)
    return min(total, 1.0)
