"""When a mark is ripe, case by case; what that is worth is shown by the random histories."""

import datetime as dt

import pytest

from insights.model import Grade, Horizon, Mark
from insights.polling.watermark import overlap_s, ripe
from tests.legacy import stream

SPEC = stream(cursor="updated_at", longest_s=600.0)


def _ripe(mark: Mark, horizon: Horizon, grade: Grade = "L2") -> bool:
    return ripe(mark, horizon, 60.0, SPEC, grade)


@pytest.mark.parametrize(
    ("age", "unborn", "oldest", "is_ripe"),
    [
        (59.9, None, None, False),
        (60.0, None, None, True),
        (61.0, 100, 99, False),  # a transaction that was open then still is
        (61.0, 100, 100, True),
        (599.0, 100, 1, False),
        (600.0, 100, 1, True),  # given up: the sweep will find its rows
        (61.0, None, 1, True),
        (61.0, 100, None, True),
    ],
)
def test_a_mark_waits_for_overlap_and_open_transactions(
    age: float, unborn: int | None, oldest: int | None, is_ripe: object
) -> None:
    mark = Mark(at=1000.0, cursor="c", horizon=unborn)
    assert _ripe(mark, Horizon(applied_s=1000.0 + age, oldest=oldest)) is is_ripe


def test_a_cursor_in_order_of_commits_waits_for_nothing() -> None:
    mark = Mark(at=1000.0, cursor="c", horizon=100)
    assert _ripe(mark, Horizon(applied_s=1000.0, oldest=1), "L0")


@pytest.mark.parametrize(
    ("zone", "grade", "time", "expected"),
    [
        ("Europe/Berlin", "L2", "2026-10-25 00:30", 3660),  # clocks go back at 01:00 UTC
        ("Europe/Berlin", "L1", "2026-10-25 01:30", 3660),
        ("Europe/Berlin", "L2", "2026-10-24 23:30", 60),
        ("Europe/Berlin", "L2", "2026-10-25 02:30", 60),
        ("Europe/Berlin", "L2", "2026-03-29 01:00", 60),  # forward: no cursor comes twice
        ("Europe/Berlin", "L3", "2026-10-25 00:30", 60),  # a number
        ("UTC", "L2", "2026-10-25 00:30", 60),
        ("America/New_York", "L2", "2026-11-01 05:30", 3660),
    ],
)
def test_local_time_has_an_hour_more_when_clocks_go_back(
    zone: str, grade: Grade, time: str, expected: float
) -> None:
    at = dt.datetime.fromisoformat(time).replace(tzinfo=dt.UTC).timestamp()
    assert overlap_s(at, 60.0, zone, grade) == expected
