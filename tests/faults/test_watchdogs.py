"""What hangs is ended and begun anew: the service by systemd, a thread by the daemon, a child too.

The tests are the service manager: they hear what a real daemon tells it, and do what the unit says.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.answering import Answering, answering
from tests.helpdesk import Helpdesk
from tests.site import Site

pytestmark = pytest.mark.faults

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "insights.service"


@contextlib.contextmanager
def manager(folder: Path) -> Iterator[socket.socket]:
    """Yield the socket on which a service manager hears its service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(folder / "notify"))
        yield told


def _silence(told: socket.socket, longest_s: float) -> int:
    """Hear the watchdog being fed until it is silent for so long; return how often it was."""
    told.settimeout(longest_s)
    fed, until = 0, time.monotonic() + 90
    with contextlib.suppress(TimeoutError):
        while time.monotonic() < until:
            fed += b"WATCHDOG=1" in told.recv(4096)
        pytest.fail("it is fed though the main loop hangs")
    return fed


def _child(daemon: Answering, module: str) -> psutil.Process | None:
    found = psutil.Process(daemon.daemon.pid).children()
    return next((one for one in found if module in " ".join(one.cmdline())), None)


def test_a_main_loop_that_is_stuck_feeds_no_watchdog_and_the_service_begins_anew(
    site: Site, tmp_path: Path
) -> None:
    unit = UNIT.read_text("utf-8")
    assert "WatchdogSec=" in unit
    assert "Restart=on-failure" in unit  # a watchdog is one: systemd.service(5)
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    here = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
    with manager(tmp_path) as told:
        daemon = site.start(INSIGHTS_FAILPOINT="main-loop:12:hang", **here)
        try:
            found = Answering(daemon)
            assert _silence(told, 5.0) > 1
            assert daemon.poll() is None  # all other threads go on
            assert found.get("/healthz")[0] in (200, 503)
            daemon.send_signal(signal.SIGABRT)  # as systemd does
            assert daemon.wait(20) == -signal.SIGABRT
        finally:
            daemon.kill()
            daemon.wait()
        with answering(site, **here) as again:
            again.until(lambda: again.status("/readyz") == 200)
            again.until(lambda: site.query("SELECT count(*) = 40 FROM store.insight")[0][0])
            assert _fed(told, 3.0)
    site.assert_exactly_once(legacy.keys())


def _fed(told: socket.socket, within_s: float) -> bool:
    told.settimeout(within_s)
    while b"WATCHDOG=1" not in told.recv(4096):
        pass
    return True


def test_a_thread_that_is_dead_ends_the_daemon_with_its_exit_code_and_gives_its_rows_back(
    site: Site, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    daemon = site.start(INSIGHTS_FAILPOINT="leases:2:raise")
    _, log = daemon.communicate(timeout=90)
    assert daemon.returncode == 1, log
    assert "the thread leases cannot go on" in log
    assert log.count("failed unforeseen") == 1  # with its traceback, and no more of them
    assert site.query("SELECT count(*) FROM store.work WHERE state = 'claimed'") == [(0,)]
    assert site.query("SELECT coalesce(max(attempts), 0) <= 1 FROM store.work") == [(True,)]
    site.run_once()
    site.assert_exactly_once(legacy.keys())


def test_a_generator_that_hangs_is_killed_at_its_deadline_and_its_rows_are_done_by_the_next(
    site: Site, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    site.pipeline = 'timeout = "2s"\n'
    site.write()
    with answering(site) as daemon:
        daemon.until(lambda: _child(daemon, "inference.generator"))
        daemon.until(lambda: daemon.status("/readyz") == 200)
        hung = _child(daemon, "inference.generator")
        assert hung is not None
        os.kill(hung.pid, signal.SIGSTOP)
        legacy.add(range(41, 61))
        began = time.monotonic()
        daemon.until(lambda: not hung.is_running())
        took = time.monotonic() - began
        assert took < 2 * 2 + 30 + 15  # the row's deadline twice, half a minute, and a poll
        assert daemon.status("/livez") == 200
        daemon.until(lambda: site.query("SELECT count(*) = 60 FROM store.insight")[0][0])
        assert site.query("SELECT count(*) FROM store.work WHERE state = 'dead'") == [(0,)]
    site.assert_exactly_once(legacy.keys())
