"""Logging follows the last call of `configure`, whatever logged before it."""

import logging
import subprocess
import sys

import pytest
import structlog
from structlog.testing import capture_logs

from insights import errors
from insights.ground import logs


def test_a_logger_that_has_logged_follows_a_later_call(capsys: pytest.CaptureFixture[str]) -> None:
    logger = structlog.get_logger()
    logs.configure("json", "error")
    logger.error("first")
    logger.warning("dropped")
    logs.configure("json", "warning")
    logger.warning("second")
    with capture_logs() as captured:
        logger.warning("third")
    told = capsys.readouterr().err
    assert [word in told for word in ("first", "dropped", "second", "third")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert [line["event"] for line in captured] == ["third"]


def _of_a_driver() -> errors.InsightsError:
    """Return an error of ours with a driver's words as its cause."""
    said = "zelda.quimby"
    try:
        try:
            int(said)
        except ValueError as exc:
            raise errors.StoreError("the store refused a statement", where="store") from exc
    except errors.StoreError as exc:
        return exc
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("library", [False, True])
def test_a_traceback_quotes_no_foreign_exception(
    capfd: pytest.CaptureFixture[str], *, library: bool
) -> None:
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        logs.configure("json", "info")
        found = _of_a_driver()
        if library:
            logging.getLogger("apscheduler").error("a job failed", exc_info=found)
        else:
            structlog.get_logger().error("failed unforeseen", exc_info=found)
    finally:
        root.handlers = before
    told = capfd.readouterr().err
    assert "zelda" not in told
    for word in ("ValueError", "the store refused a statement", "test_logging.py", "failed"):
        assert word in told


def test_what_nobody_catches_quotes_nothing_either() -> None:
    program = (
        "import threading; from insights.ground import traces; traces.guard()\n"
        "said = 'zelda.quimby'\n"
        "def fail(): raise ValueError(said)\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join(); fail()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("ValueError")]
    assert (done.returncode, len(said)) == (1, 2)
    assert "zelda.quimby" not in done.stderr
