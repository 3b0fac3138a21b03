"""One line an event: what repeats within a minute is counted and told once."""

import io
import json
import logging
import sys
import threading
from typing import Any

import pytest
import structlog

from insights.ground import flood, logs
from insights.ground.flood import Flood


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(logs, "FLOOD", Flood(clock))
    return clock


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> io.StringIO:
    assert clock.now == 0
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure("json", "info")
    return stream


def _told(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_ten_thousand_rows_that_one_dead_server_gives_back_are_a_few_lines(
    lines: io.StringIO, clock: Clock
) -> None:
    log = structlog.get_logger()
    for row in range(10_000):
        clock.now = row / 100  # they come within a minute and forty seconds
        reason = f"http://gpu1:8000: did not answer request {row} within 30 s"
        log.warning("rows given back", step="generate", recipe="triage", reason=reason)
        log.warning("dead letter", stream="ticket", work_id=row, reason=reason)
    logs.FLOOD.flush(all_=True)
    found = _told(lines)
    assert len(found) <= 20
    given = [one for one in found if one["event"] == "rows given back"]
    repeated = sum(one["repeated"] for one in given if "repeated" in one)
    assert repeated + sum("repeated" not in one for one in given) == 10_000
    assert all(one["level"] == "warning" and one["recipe"] == "triage" for one in given)
    assert not any("work_id" in one for one in found if "repeated" in one)


def test_what_differs_in_words_or_level_is_another_event(lines: io.StringIO) -> None:
    log = structlog.get_logger()
    log.warning("stopped", part="model", name="a")
    log.warning("stopped", part="model", name="b")
    log.error("stopped", part="model", name="a")
    log.info("works again", part="model", name="a")
    assert len(_told(lines)) == 4


def test_words_that_differ_each_time_are_counted_together(lines: io.StringIO) -> None:
    log = structlog.get_logger()
    for row in range(1_000):
        log.warning("failed", reason=f"{chr(0x4E00 + row)} is refused")
    logs.FLOOD.flush(all_=True)
    found = _told(lines)
    assert len(found) == flood.OF_A_NAME + 2
    assert found[-1]["repeated"] == 1_000 - flood.OF_A_NAME - 1


def test_after_a_minute_it_is_said_again_and_what_was_repeated_before_it(
    lines: io.StringIO, clock: Clock
) -> None:
    log = structlog.get_logger()
    for clock.now in (0.0, 1.0, 59.0, 61.0):
        log.info("polled", job="poll ticket", rows=int(clock.now))
    assert [(one["event"], one.get("repeated")) for one in _told(lines)] == [
        ("polled", None),
        ("polled", 2),
        ("polled", None),
    ]
    logs.FLOOD.flush(all_=True)
    assert len(_told(lines)) == 3  # nothing was repeated since


def test_memory_is_bounded_whatever_is_said(lines: io.StringIO) -> None:
    log = structlog.get_logger()
    for kind in range(3 * flood.MOST):
        log.info(chr(0x4E00 + kind), key="k")
    assert len(logs.FLOOD._seen) <= flood.MOST
    assert len(logs.FLOOD._names) <= flood.MOST
    assert len(_told(lines)) == 3 * flood.MOST


def test_threads_lose_no_count(lines: io.StringIO) -> None:
    log = structlog.get_logger()

    def say() -> None:
        for _ in range(500):
            log.warning("leases lost", rows=1)

    threads = [threading.Thread(target=say) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs.FLOOD.flush(all_=True)
    assert [one.get("repeated") for one in _told(lines)] == [None, 3_999]


def test_the_level_is_changed_at_run_time_and_goes_back(lines: io.StringIO) -> None:
    log = structlog.get_logger()
    log.debug("before")
    assert logs.turn(more=True) == "debug"
    log.debug("during")
    assert logs.turn(more=False) == "info"
    log.debug("after")
    assert [one["event"] for one in _told(lines)] == ["during"]
    assert logging.getLogger().level <= logging.WARNING
