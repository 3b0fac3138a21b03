"""Certificates: what a threshold promises holds, and what labels cannot show is refused."""

import random

import pytest
from scipy import stats

from insights.enriching.certain import Certain
from insights.model import Verdict
from insights.steps.certifying import at_most, certified, counted, needed


def _rows(draw: random.Random, many: int) -> list[tuple[float, bool]]:
    """Rows that are right as often as their confidence to the third power says."""
    made = []
    for _ in range(many):
        sure = draw.betavariate(4, 1)
        made.append((sure, draw.random() < sure**0.3))
    return made


def test_the_tail_is_the_binomials() -> None:
    for wrong, kept, share in ((0, 10, 0.02), (3, 200, 0.02), (19, 1000, 0.02), (40, 50, 0.5)):
        assert at_most(wrong, kept, share) == pytest.approx(stats.binom.cdf(wrong, kept, share))


def test_a_certified_error_holds_on_other_rows_in_95_of_100_drawings() -> None:
    draw = random.Random(7)
    truth = _rows(draw, 200_000)
    broken = certificates = 0
    for _ in range(200):
        found = certified(counted(draw.sample(truth, 1500)), 0.05)
        if found is None:
            continue
        certificates += 1
        shown = [right for sure, right in truth if sure >= found.threshold]
        broken += 1 - sum(shown) / len(shown) > 0.05
    assert certificates > 150  # it is of use, too
    assert broken <= 10


def test_a_model_that_is_sure_and_wrong_is_never_certified() -> None:
    draw = random.Random(11)
    given = sum(
        certified(counted([(draw.random(), draw.random() < 0.94) for _ in range(500)]), 0.05)
        is not None
        for _ in range(300)
    )
    assert given <= 15


def test_too_few_labels_certify_nothing_and_just_enough_do() -> None:
    least = needed(0.05)
    assert certified(counted([(0.999, True)] * (least - 1)), 0.05) is None
    found = certified(counted([(0.999, True)] * least), 0.05)
    assert found is not None
    assert (found.kept, found.wrong) == (least, 0)
    assert found.threshold == 0.999  # no lower than rows were seen
    assert certified(counted([]), 0.05) is None


def test_rows_less_sure_than_certified_abstain_and_others_stay() -> None:
    certain = Certain({"kind": 0.9, "urgent": 0.5})
    verdict = Verdict(status="ok", output={"kind": "a", "urgent": None})
    assert certain.judged(verdict, {"/kind": 0.9}) is verdict  # no value, nothing to be sure of
    less = certain.judged(verdict, {"/kind": 0.899})
    assert (less.status, less.output) == ("abstained", None)
    assert less.reason == "kind has a confidence of 0.899; its error is certified from 0.900 on"
    assert certain.judged(verdict, {}).status == "abstained"
    assert Certain().judged(verdict, {}) is verdict
    withheld = Verdict(status="withheld", output=None, reason="x")
    assert certain.judged(withheld, {}) is withheld
