"""Two models certified together: the counts, the promise, and what is refused."""

import random

import msgspec
import pytest

from insights.steps.cascading import (
    ALWAYS,
    LARGER,
    NEAR,
    PAIRS,
    PairCounts,
    Said,
    certified,
    counted,
    needed_rows,
)
from insights.steps.certifying import THRESHOLDS
from insights.steps.certifying import certified as certified_alone
from insights.steps.certifying import counted as counted_alone

Rows = list[tuple[Said, Said | None]]


def _rows(draw: random.Random, many: int) -> Rows:
    """Rows that are hard for both models at once, and the larger one is right more often."""
    made: Rows = []
    for _ in range(many):
        hard = draw.random()
        small = max(0.0, 1 - hard * draw.uniform(0.6, 1.2))
        large = max(0.0, 1 - hard * draw.uniform(0.1, 0.7))
        made.append(
            (
                Said(small, shown=True, right=draw.random() < small**0.35),
                Said(large, shown=True, right=draw.random() < large**0.25),
            )
        )
    return made


def _shown(rows: Rows, first: float, larger: float) -> tuple[int, int, int]:
    """Count one pair of thresholds row by row: shown, wrong, gone on."""
    kept = wrong = asked = 0
    for own, after in rows:
        one: Said | None = own
        if own.sure is None or own.sure < first:
            asked += 1
            sure = None if after is None else after.sure
            one = after if larger == ALWAYS or (sure is not None and sure >= larger) else None
        if one is not None and one.shown:
            kept += 1
            wrong += not one.right
    return kept, wrong, asked


def test_counts_are_those_of_each_row_at_each_pair() -> None:
    draw = random.Random(5)
    rows: Rows = []
    for own, after in _rows(draw, 300):
        assert after is not None
        without = msgspec.structs.replace(after, sure=None)
        hidden = msgspec.structs.replace(after, shown=False)
        edge = msgspec.structs.replace(own, sure=draw.choice([None, 1.0, 0.0, *THRESHOLDS]))
        unseen = msgspec.structs.replace(own, shown=False)
        kinds = [(own, after), (own, None), (own, without), (own, hidden), (edge, after),
                 (unseen, after)]  # fmt: skip
        rows.append(draw.choice(kinds))
    counts = counted(rows)
    assert counts.rows == 300
    assert counts.fits
    for at, first in enumerate(THRESHOLDS):
        for to, larger in enumerate(LARGER):
            found = counts.kept[at][to], counts.wrong[at][to], counts.asked[at]
            assert found == _shown(rows, first, larger), (first, larger)


def test_of_what_both_show_at_most_the_target_is_wrong_in_95_of_100_drawings() -> None:
    draw = random.Random(11)
    others = _rows(draw, 20_000)
    for target, least in ((0.05, 20), (0.1, 50)):
        made = held = 0
        for _ in range(60):
            found = certified(counted(_rows(draw, 1_200)), target)
            if found is None:
                continue
            kept, wrong, _ = _shown(others, found.first, found.larger)
            made += 1
            held += wrong <= target * kept
        assert made >= least
        assert held >= 0.95 * made


def test_two_models_show_more_than_the_first_alone_and_ask_the_larger_no_more_than_it_takes() -> (
    None
):
    rows = _rows(random.Random(3), 1_500)
    counts = counted(rows)
    alone = certified_alone(counted_alone((own.sure or 0.0, own.right) for own, _ in rows), 0.1)
    both = certified(counts, 0.1)
    assert alone is not None
    assert both is not None
    assert both.kept > 1.5 * alone.kept
    assert _shown(rows, both.first, both.larger) == (both.kept, both.wrong, both.asked)
    # Nothing that shows nearly as much asks less: every other pair is no better, or not certified.
    narrower = [
        (counts.asked[at], counts.kept[at][to], counts.wrong[at][to])
        for at in range(len(THRESHOLDS))
        for to in range(len(LARGER))
        if counts.asked[at] < both.asked and counts.kept[at][to] >= both.kept / NEAR
    ]
    assert all(wrong > 0.05 * kept for _, kept, wrong in narrower)


def test_what_too_few_rows_say_is_refused() -> None:
    assert PAIRS == 29 * 30
    least = needed_rows(0.05)
    sure = (Said(0.5, shown=True, right=True), Said(0.5, shown=True, right=True))
    assert certified(counted([sure] * (least - 1)), 0.05) is None
    found = certified(counted([sure] * least), 0.05)
    assert found is not None
    assert found.asked == 0  # the first model's own answers do
    assert certified(counted([]), 0.5) is None
    wrong = msgspec.structs.replace(sure[0], right=False)
    assert certified(counted([(wrong, wrong)] * 1_000), 0.5) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"asked": (0,)},
        {"kept": ((0,),) * 29},
        {"wrong": ((1,) * 30,) * 29},
        {"asked": (9,) * 29},
    ],
)
def test_counts_of_another_release_do_not_fit(broken: dict[str, object]) -> None:
    counts = counted([(Said(0.5, shown=True, right=True), None)])
    assert counts.fits
    changed: PairCounts = msgspec.structs.replace(counts, **broken)
    assert not changed.fits
