"""Logging follows the last call of `configure`, whatever logged before it."""

import pytest
import structlog
from structlog.testing import capture_logs

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
