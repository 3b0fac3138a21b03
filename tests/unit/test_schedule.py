"""The schedule runs by a clock that nobody can set."""

import datetime as dt
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from insights.service.schedule import MONOTONIC, Every

SCRIPT = """
import datetime, select, time
from pathlib import Path
from insights.service.schedule import Schedule
runs = 0
def run():
    global runs
    runs += 1
schedule = Schedule()
schedule.add("poll", run, 0.1)
schedule.start()
def within(count, seconds):
    until, before = time.monotonic() + seconds, runs
    while runs - before < count and time.monotonic() < until:
        select.select([], [], [], 0.02)
    return runs - before
print(within(5, 10) >= 5)
now = datetime.datetime.now(datetime.timezone.utc)
Path(CLOCK).write_text(OFFSET)
until = time.monotonic() + 20
while abs((datetime.datetime.now(datetime.timezone.utc) - now).total_seconds()) < 1800:
    assert time.monotonic() < until, "the clock was not set"
    select.select([], [], [], 0.05)
count = within(5, 10)
print(5 <= count <= 8)
schedule.end()
"""


@pytest.mark.parametrize("offset", ["-1h", "+1h"])
def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, offset: str) -> None:
    """Under faketime, which reads the offset from a file and leaves the monotonic clock alone."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("needs faketime")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    done = subprocess.run(
        [sys.executable, "-c", f"CLOCK, OFFSET = {str(clock)!r}, {offset!r}\n{SCRIPT}"],
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_a_late_job_runs_once_and_not_for_each_turn_it_missed() -> None:
    now = dt.datetime.now(MONOTONIC)
    trigger = Every(10)
    assert trigger.get_next_fire_time(None, now) == now
    missed = now - dt.timedelta(seconds=1000)
    assert trigger.get_next_fire_time(missed, now) == now
    assert trigger.get_next_fire_time(now, now) == now + dt.timedelta(seconds=10)


def test_its_clock_is_the_monotonic_one() -> None:
    before, began = dt.datetime.now(MONOTONIC), time.monotonic()
    time.sleep(0.05)
    passed = (dt.datetime.now(MONOTONIC) - before).total_seconds()
    assert abs(passed - (time.monotonic() - began)) < 0.02
