"""The daemon starts without its store, works without its log, and ends in time whatever it does."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

pytestmark = pytest.mark.faults


def _until(holds: Callable[[], Any], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def _stop(daemon: "subprocess.Popen[str]", within_s: float) -> str:
    began = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=within_s + 20)
    assert daemon.returncode == 0, log
    assert time.monotonic() - began < within_s, log
    return str(log)


def _running(daemon: "subprocess.Popen[str]") -> None:
    assert daemon.stderr is not None
    assert any('"running"' in line for line in daemon.stderr)


def test_the_store_is_down_at_boot(
    tmp_path: Path, new_store: Callable[[], servers.Postgres], stand_in: Path
) -> None:
    server = new_store()
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 10)
    site = Site(tmp_path, server.url("store"), legacy.odbc, stand_in).write()
    site.insights("migrate")
    server.stop()
    began = time.monotonic()
    site.insights("status", code=21)  # a command says so at once
    assert time.monotonic() - began < 120  # a daemon waits for as long as it is down
    notified = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notified))
        manager.settimeout(60)
        daemon = site.start(NOTIFY_SOCKET=str(notified))
        assert b"EXTEND_TIMEOUT_USEC" in manager.recv(4096)
        time.sleep(3)  # several looks at the store
        assert daemon.poll() is None
        server.start()
        while (state := manager.recv(4096)) != b"READY=1":
            assert b"READY" not in state
    _until(lambda: site.query("SELECT count(*) FROM store.insight") == [(10,)])
    log = _stop(daemon, 60)
    told = [json.loads(line) for line in log.splitlines() if '"waiting for the store"' in line]
    assert len(told) == 1
    assert len({entry["reason"] for entry in told}) == 1


def test_sigterm_while_it_waits_for_the_store(site: Site) -> None:
    port = servers.free_port()
    site.store_url = f"postgresql://nobody:x@127.0.0.1:{port}/store"
    daemon = site.start()
    assert daemon.stderr is not None
    assert any("waiting for the store" in line for line in daemon.stderr)
    _stop(daemon, 60)  # else it waits for as long as the store is away


def test_sigterm_while_the_store_is_gone_or_silent(
    tmp_path: Path, new_store: Callable[[], servers.Postgres], stand_in: Path
) -> None:
    server = new_store()
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 200)
    site = Site(tmp_path, server.url("store"), legacy.odbc, stand_in).write()
    site.insights("migrate")
    for leave, back in ((server.stop, server.start), (server.freeze, server.thaw)):
        daemon = site.start(INSIGHTS_DAEMON__DRAIN="2s")
        _running(daemon)
        _until(lambda: site.query("SELECT count(*) > 0 FROM store.work WHERE state = 'claimed'"))
        leave()
        time.sleep(1)
        try:
            _stop(daemon, 2 + 18)  # its drain, what giving back may take, and the way out
        finally:
            back()


def test_an_idle_daemon_ends_at_once(site: Site) -> None:
    site.run_once()
    daemon = site.start(INSIGHTS_DAEMON__DRAIN="2min", INSIGHTS_STREAM__TICKET__POLL_EVERY="2min")
    _running(daemon)
    time.sleep(2)
    _stop(daemon, 60)  # a second on a machine of its own; with what it may wait for, two minutes


def test_sigterm_while_a_source_hangs(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    daemon = site.start()
    _running(daemon)
    process = psutil.Process(daemon.pid)
    _until(lambda: [one for one in process.children() if "sources.reader" in str(one.cmdline())])
    for one in process.children():
        if "sources.reader" in str(one.cmdline()):
            one.suspend()
    time.sleep(1)
    _stop(daemon, 25 + 10)


def test_neither_log_nor_service_manager_is_needed_for_the_work(site: Site) -> None:
    reading, writing = os.pipe()
    daemon = subprocess.Popen(
        site.command("run"),
        env=site.env(NOTIFY_SOCKET="/no/such/socket", WATCHDOG_USEC="600000"),
        stdout=subprocess.DEVNULL,
        stderr=writing,
    )
    os.close(writing)
    os.close(reading)
    try:
        _until(lambda: site.query("SELECT count(*) FROM store.insight") == [(40,)])
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(40) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            daemon.kill()


def test_two_hosts_of_one_name_are_two_holders(site: Site) -> None:
    """As with two installations whose `daemon.name` is the same: each has its state directory."""
    daemons = [site.start(INSIGHTS_STATE_DIR=f"state{number}") for number in (1, 2)]
    for daemon in daemons:
        _running(daemon)
    time.sleep(3)
    for daemon in daemons:
        _stop(daemon, 40)
    ids = [(site.folder / f"state{number}" / "daemon_id").read_text() for number in (1, 2)]
    assert len(set(ids)) == 2
    assert (site.folder / "state1" / "daemon_id").stat().st_mode & 0o777 == 0o600
    site.run_once(INSIGHTS_STATE_DIR="state1")
    assert (site.folder / "state1" / "daemon_id").read_text() == ids[0]
    holders = {holder for (holder,) in site.query("SELECT holder FROM store.lease")}
    assert holders <= {f"test-{id_}" for id_ in ids}
    assert holders


def _attempts(site: Site) -> dict[str, int]:
    """Return the attempts of rows that wait, and of those that are done, at most."""
    found = site.query("SELECT state, max(attempts), count(*) FROM store.work GROUP BY 1")
    assert "claimed" not in {state for state, _, _ in found}
    return {state: attempts for state, attempts, _ in found}


def test_a_daemon_that_is_drained_finishes_what_it_holds_and_claims_nothing_more(
    site: Site,
) -> None:
    Helpdesk.of(site.folder / "legacy.sqlite").add(range(1000, 4000))
    assert json.loads(site.insights("drain", "--json").stdout) == {"ended": [], "left": []}
    assert "no daemon 'other' runs" in site.insights("drain", "other", code=27).stderr
    daemon = site.start()
    _until(lambda: site.query("SELECT count(*) > 50 FROM store.insight")[0][0])
    done = site.insights("drain", "--json")
    _, log = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, log
    assert json.loads(done.stdout)["left"] == []
    assert '"finishes what it holds, and ends"' in log
    assert "given back" not in log
    assert _attempts(site) == {"pending": 0, "done": 1}


def test_a_drain_that_is_given_up_lets_the_daemon_go_on(site: Site) -> None:
    daemon = site.start()
    _until(lambda: site.query("SELECT count(*) = 40 FROM store.insight")[0][0])
    name = site.query("SELECT holder FROM store.daemon")[0][0]
    drain = subprocess.Popen(
        site.command("drain", str(name)), env=site.env(), stderr=subprocess.DEVNULL
    )
    daemon.send_signal(signal.SIGSTOP)  # it holds nothing, and would end at once
    _until(
        lambda: site.query(
            "SELECT count(*) = 1 FROM store.lease WHERE starts_with(name, 'drain ')"
        )[0][0]
    )
    drain.send_signal(signal.SIGINT)
    assert drain.wait(20) == 130
    daemon.send_signal(signal.SIGCONT)
    Helpdesk.of(site.folder / "legacy.sqlite").add(range(1000, 1010))
    _until(lambda: site.query("SELECT count(*) = 50 FROM store.insight")[0][0])
    _stop(daemon, 20)


def test_a_run_once_that_is_stopped_says_so_and_leaves_the_rest_to_the_next(site: Site) -> None:
    Helpdesk.of(site.folder / "legacy.sqlite").add(range(1000, 4000))
    once = subprocess.Popen(
        site.command("run", "--once"),
        env=site.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _until(lambda: site.query("SELECT count(*) > 50 FROM store.insight")[0][0])
    once.send_signal(signal.SIGTERM)
    said, log = once.communicate(timeout=60)
    assert once.returncode == 128 + signal.SIGTERM, log
    assert said.startswith("Stopped, the rest waits for the next run: ")
    assert _attempts(site) == {"pending": 0, "done": 1}
