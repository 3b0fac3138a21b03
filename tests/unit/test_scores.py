"""The figures of an evaluation, against what textbooks and SciPy give."""

import pytest
from scipy import stats

from insights.steps import scores


def test_a_share_has_wilsons_interval() -> None:
    expected = stats.binomtest(17, 20).proportion_ci(method="wilson")
    found = scores.share(17, 20)
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)
    assert scores.share(0, 0).share is None
    assert scores.share(5, 5).high == 1.0


def test_classes_count_what_is_missed_and_what_is_said_wrongly() -> None:
    first, second = scores.classes([("a", "a"), ("a", "b"), ("a", None), ("b", "b")])
    assert (first.value, first.rows, first.precision) == ("a", 3, 1.0)
    assert first.recall == pytest.approx(1 / 3)
    assert first.f1 == pytest.approx(0.5)
    assert (second.precision, second.recall) == (0.5, 1.0)
    assert scores.classes([("a", None)])[0].precision is None


def test_calibration_of_a_model_that_is_too_sure() -> None:
    bins = scores.calibration([(0.9, n % 2 == 0) for n in range(100)])
    assert sum(one.rows for one in bins) == 100
    assert scores.calibration_error(bins) == pytest.approx(0.4)
    assert scores.calibration_error([]) is None


def test_risk_by_coverage_counts_rows_without_an_answer() -> None:
    points = scores.risk_coverage([(0.9, True), (0.5, False), (0.9, True), (0.2, False)], 8)
    assert [(p.confidence, p.coverage, p.error) for p in points] == [
        (0.9, 0.25, 0.0), (0.5, 0.375, pytest.approx(1 / 3)), (0.2, 0.5, 0.5),
    ]  # fmt: skip


def test_two_versions_are_compared_on_the_same_rows() -> None:
    first = [True] * 80 + [False] * 20
    second = [True] * 70 + [False] * 10 + [True] * 18 + [False] * 2
    found = scores.paired(first, second)
    assert (found.only_first, found.only_second) == (10, 18)
    assert found.gain == pytest.approx(0.08)
    assert found.low < 0.08 < found.high
    assert found.p == pytest.approx(stats.binomtest(10, 28).pvalue)
    same = scores.paired(first, first)
    assert (same.gain, same.p) == (0, 1)
    assert same.low < 0 < same.high


def test_overlap_is_of_words() -> None:
    assert scores.overlap("The pump leaks", "the PUMP leaks.") == 1
    assert scores.overlap("the pump", "a belt") == 0
    assert scores.overlap("the pump leaks oil", "the pump") == pytest.approx(2 / 3)
    assert scores.overlap("", "") == 1
    assert scores.overlap("", "x") == 0
