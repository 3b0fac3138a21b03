"""A demo that fails says why before anything else."""

import json

from demo.failing import ended, reason


def _line(**entry: object) -> str:
    return json.dumps({"level": "warning", "timestamp": "2026-11-28T16:00:00Z", **entry})


def test_the_commands_own_error_comes_first_with_its_fix() -> None:
    said = "\n".join(
        [
            *[_line(event="generator died", error="SIGILL", work=n) for n in range(200)],
            _line(event="poll", level="info"),
            "error run: 297 rows are still open and nothing moves",
            "  fix insights doctor",
        ]
    )
    assert reason(said).splitlines() == [
        "error run: 297 rows are still open and nothing moves",
        "fix insights doctor",
        "in the log 200 times: generator died: SIGILL",
    ]


def test_a_traceback_is_told_by_its_last_line() -> None:
    assert reason("Traceback (most recent call last):\n  File x\nValueError: no\n") == (
        "ValueError: no"
    )


def test_a_silent_death_is_told_too() -> None:
    assert reason("") == "it said nothing"
    assert ended(-4) == "SIGILL"
    assert ended(33) == "code 33"
