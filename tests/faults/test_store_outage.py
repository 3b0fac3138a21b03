"""The store crashes under a running daemon: it survives, nothing is lost and nothing doubled."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

pytestmark = pytest.mark.faults


def test_a_store_that_crashes_and_returns(
    tmp_path: Path, new_store: Callable[[], servers.Postgres], stand_in: Path
) -> None:
    server = new_store()
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 120)
    site = Site(tmp_path, server.url("store"), legacy.odbc, stand_in).write()
    site.insights("migrate")
    daemon = site.start()
    for down_s in (1.0, 5.0):  # the second is longer than a lease
        _until(lambda: site.query("SELECT count(*) > 0 FROM store.work WHERE state = 'claimed'"))
        server.stop()
        time.sleep(down_s)
        server.start()
    _until(lambda: site.query("SELECT count(*) = 120 FROM store.insight"))
    assert daemon.poll() is None
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=40)
    assert daemon.returncode == 0, log
    site.run_once()
    site.assert_exactly_once(legacy.keys())
    assert site.query("SELECT max(attempts) FROM store.work") == [(1,)]  # nobody's fault
    assert len(legacy.shown()) == 120


def _until(holds: Callable[[], list[tuple[bool]]], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds()[0][0]:
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)
