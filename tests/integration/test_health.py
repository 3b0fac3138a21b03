"""Health of a real daemon: what a container, a script and a person are told, and when."""

import json
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from insights import errors
from tests.answering import Answering, answering
from tests.site import Site

ALL = (
    "daemon",
    "store",
    "schema",
    "source legacy",
    "stream ticket",
    "model stand_in",
    "sink legacy",
)


def _child(daemon: Answering, module: str) -> psutil.Process:
    found = psutil.Process(daemon.daemon.pid).children()
    return next(one for one in found if module in str(one.cmdline()))


def test_a_daemon_is_ready_once_all_its_parts_have_answered(site: Site) -> None:
    with answering(site) as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        assert daemon.get("/livez") == (200, "ok\n")
        checks = daemon.checks()
        assert {name: check["status"] for name, check in checks.items()} == dict.fromkeys(ALL, "ok")
        assert "loaded" in checks["model stand_in"]["says"]
        text = daemon.get("/healthz?verbose")[1]
        lines = [line for line in text.splitlines() if line.startswith('{"about":"ready"')]
        assert len(lines) == len(checks)
        assert psutil.Process(daemon.daemon.pid).memory_info().rss < 120e6

        here = {"INSIGHTS_HEALTH__LISTEN": daemon.address}
        shown = site.insights("health", env=here).stdout
        assert "ok      source legacy answered" in shown
        told = json.loads(site.insights("health", "--json", "--live", env=here).stdout)
        assert (told["live"], told["ready"], told["stage"]) == (True, True, "running")
        assert {"feeder", "writer", "leases", "main loop"} <= {
            one["name"] for one in told["checks"]
        }
    nobody = site.insights("health", env=here, code=errors.DaemonUnavailable.exit_code).stderr
    assert "no daemon answers there" in nobody


def test_roles_are_asked_only_for_what_they_need(site: Site) -> None:
    site.run_once()
    with answering(site, "--roles", "publish") as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        assert set(daemon.checks()) == {"daemon", "store", "schema", "sink legacy"}


def test_a_hung_source_makes_its_check_fail_and_no_answer_late(site: Site) -> None:
    with answering(site, "--roles", "poll", INSIGHTS_SOURCE__LEGACY__TIMEOUT="1s") as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        reader = _child(daemon, "sources.reader")
        reader.suspend()
        began = time.monotonic()
        slowest = 0.0

        def failed() -> bool:
            nonlocal slowest
            began = time.monotonic()
            status = daemon.status("/readyz")
            slowest = max(slowest, time.monotonic() - began)
            return status == 503

        daemon.until(failed)
        assert slowest < 1
        assert "did not answer" in daemon.checks()["source legacy"]["says"]
        assert daemon.status("/livez") == 200
        assert not reader.is_running()  # killed, at the statement's second and fifteen more
        assert time.monotonic() - began < 1 + 15 + 20  # a poll comes before, on a busy machine
        daemon.until(lambda: daemon.status("/readyz") == 200)
        assert _child(daemon, "sources.reader").pid != reader.pid


def test_a_model_that_was_killed_is_not_ready_until_it_is_loaded_again(site: Site) -> None:
    with answering(site) as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        daemon.until(lambda: site.query("SELECT count(*) = 40 FROM store.insight")[0][0])
        _child(daemon, "inference.generator").kill()
        daemon.until(lambda: daemon.checks()["model stand_in"]["status"] == "failed")
        assert daemon.status("/readyz") == 503
        assert daemon.status("/livez") == 200
        daemon.until(lambda: daemon.status("/readyz") == 200)  # by itself, with nothing to do


def test_a_stopped_stream_is_a_warning_that_says_why(site: Site) -> None:
    with answering(site, "--roles", "poll") as daemon:
        daemon.until(lambda: site.query("SELECT count(last_poll_at) = 1 FROM store.stream")[0][0])
        site.query("UPDATE store.stream SET stopped_reason = 'a column is gone' RETURNING 1")
        daemon.until(lambda: daemon.checks()["stream ticket"]["status"] == "warning")
        assert daemon.checks()["stream ticket"]["says"] == "a column is gone"
        assert daemon.status("/readyz") == 200


def test_a_replica_that_lags_is_not_ready(site: Site) -> None:
    with answering(
        site, "--roles", "enrich,poll", INSIGHTS_STREAM__TICKET__POLL_EVERY="1h"
    ) as daemon:
        daemon.until(lambda: site.query("SELECT count(last_poll_at) = 1 FROM store.stream")[0][0])
        daemon.until(lambda: daemon.status("/readyz") == 200)
        site.query("UPDATE store.stream SET lag_s = 31 RETURNING 1")
        daemon.until(lambda: daemon.status("/readyz") == 503)
        assert "the replica lags by 31 s" in daemon.get("/readyz")[1]
        here = {"INSIGHTS_HEALTH__LISTEN": daemon.address}
        refused = site.insights("health", env=here, code=errors.NotReady.exit_code).stderr
        assert "it is not ready: stream ticket" in refused
        site.insights("health", "--live", env=here)


def test_a_port_that_is_taken_is_told_with_what_to_do(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = {"INSIGHTS_HEALTH__LISTEN": f"127.0.0.1:{port}"}
        refused = site.insights("run", env=listen, code=78).stderr
    assert f"nobody can listen on 127.0.0.1:{port}: address already in use" in refused
    assert f'"127.0.0.1:{port + 1}"' in refused


@pytest.mark.parametrize("listen", ["9187", "localhost", "::1:9187", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, site: Site, listen: str) -> None:
    refused = site.insights("health", env={"INSIGHTS_HEALTH__LISTEN": listen}, code=78).stderr
    assert "is no address" in refused
    assert tmp_path.exists()


def test_health_can_be_turned_off(site: Site) -> None:
    daemon = site.start(INSIGHTS_HEALTH__LISTEN="")
    assert daemon.stderr is not None
    log: list[str] = []
    for line in daemon.stderr:
        log.append(line)
        if '"running"' in line:
            break
    listens = [
        one for one in psutil.Process(daemon.pid).net_connections() if one.status == "LISTEN"
    ]
    daemon.terminate()
    daemon.communicate(timeout=40)
    assert not listens
    assert daemon.returncode == 0, log


def test_the_log_says_more_after_a_signal_and_less_after_another(site: Site) -> None:
    with answering(site, "--roles", "poll") as daemon:
        daemon.until(lambda: any('"running"' in line for line in daemon.log))
        daemon.daemon.send_signal(signal.SIGUSR1)
        daemon.until(lambda: any('"to": "debug"' in line for line in daemon.log))
        daemon.daemon.send_signal(signal.SIGUSR2)
        daemon.until(lambda: any('"to": "info"' in line for line in daemon.log))
