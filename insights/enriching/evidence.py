"""Sequential evidence that something happens too often, which may be looked at after every row.

The evidence is a likelihood ratio against the limit, mixed over shares above it (Robbins 1970).
While each row's chance is at most the limit it is a supermartingale that begins at 1, so that the
chance that it ever reaches 1/a, whenever and however often one looks, is at most a (Ville 1939).

Two versions that both do a row are compared by the rows on which they differ: of two equally good
ones each is the worse one half of the time (McNemar's test, looked at after every row).
"""

import functools
import math

EVEN = 0.5
"""The limit for the rows on which two versions differ, that the one watched is the worse one."""

# Odds of the shares that are mixed: logarithms of their multiples of the limit's, 1.3 to 1,200.
_ODDS = tuple(0.25 * 1.25**step for step in range(16))


def log_evidence(bad: int, rows: int, limit: float) -> float:
    """Return the natural logarithm of the evidence that more than a share of rows is bad.

    It grows with `bad`: rows that turn out to be bad later only add to it.

    Args:
        bad: Rows of `rows` that are bad.
        rows: Rows that were looked at.
        limit: The share that may be bad, between 0 and 1, neither included.
    """
    terms = [bad * on_bad + (rows - bad) * on_good for on_bad, on_good in _worth(limit)]
    most = max(terms)
    return most + math.log(sum(math.exp(term - most) for term in terms) / len(terms))


@functools.lru_cache(maxsize=64)
def _worth(limit: float) -> list[tuple[float, float]]:
    """Return for each share above the limit what a bad and what a good row is worth."""
    found = []
    for more in _ODDS:
        odds = limit / (1 - limit) * math.exp(more)
        found.append((math.log(odds / (1 + odds) / limit), -math.log1p(odds) - math.log1p(-limit)))
    return found


def needed(false_alarms: float, watched: int) -> float:
    """Return the logarithm of the evidence that is an alarm, where several things are watched.

    Args:
        false_alarms: The most that the chance of any alarm may be while nothing is wrong.
        watched: How many things are watched; each has an equal part of it.
    """
    return math.log(watched / false_alarms)
