"""SIGHUP: settings change while rows are in flight; wrong ones are refused; nothing is lost."""

import json
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.answering import Answering, answering
from tests.helpdesk import Helpdesk
from tests.site import Site

pytestmark = pytest.mark.faults


def _said(daemon: Answering, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in list(daemon.log) if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def _ran(daemon: Answering, times: int) -> bool:
    return len(_said(daemon, "running")) >= times


def _hang_up(daemon: Answering, event: str, *, times: int = 1) -> dict[str, Any]:
    """Have the settings read again; return what the log says of it."""
    seen = len(_said(daemon, event))
    daemon.daemon.send_signal(signal.SIGHUP)
    daemon.until(lambda: len(_said(daemon, event)) >= seen + times)
    return _said(daemon, event)[-1]


def _troubles(site: Site) -> dict[str, str]:
    """Return what `status` shows; itself it reads the settings, which are wrong just now."""
    ((found,),) = site.query("SELECT troubles FROM store.daemon")
    return {one["name"]: one["reason"] for one in found}


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_daemon_begins_anew_with_rows_in_flight_and_loses_none(
    site: Site, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    with answering(site) as daemon:
        daemon.until(lambda: _said(daemon, "running"))
        for batch in (4, 5):
            begun = len(_said(daemon, "running"))
            first = 100 * batch
            legacy.add(range(first, first + 40))
            daemon.until(
                lambda: site.query("SELECT 1 FROM store.work WHERE state = 'claimed' LIMIT 1")
            )
            text = site.config.read_text()
            site.config.write_text(text.replace("batch = ", f"batch = {batch} #", 1))
            told = _hang_up(daemon, "settings changed: drains, and begins anew")
            assert told["changed"] == ["daemon.batch"]
            daemon.until(partial(_ran, daemon, begun + 1))
        _until(lambda: len(legacy.shown()) == len(legacy.keys()) == 120)
        assert _said(daemon, "failed unforeseen") == []
    site.assert_exactly_once(legacy.keys())
    assert site.query("SELECT max(attempts) FROM store.work") == [(1,)]


def test_wrong_settings_are_refused_and_told_until_they_are_right(
    site: Site, tmp_path: Path
) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    right = site.config.read_text()
    prompt, schema = site.folder / "prompt.j2", site.folder / "schema.json"
    with answering(site) as daemon:
        daemon.until(lambda: daemon.status("/readyz") == 200)
        refused = "settings refused: the former ones stay"
        site.config.write_text(right.replace("batch = ", "bacth = "))
        assert "did you mean 'batch'" in _hang_up(daemon, refused)["reason"]
        _until(lambda: "settings" in _troubles(site))
        assert "bacth" in _troubles(site)["settings"]
        site.config.write_text(right)
        assert "settings fails since" in " ".join(site.insights("status").stdout.split())
        found = daemon.checks()["settings"]
        assert (found["status"], "bacth" in found["says"]) == ("warning", True)
        assert daemon.status("/readyz") == 200
        # What only the files of a pipeline, a credential or the store tell is told, too.
        prompt.write_text("no column")
        assert "uses no column" in _hang_up(daemon, refused)["reason"]
        prompt.write_text(site.prompt)
        site.config.write_text(right.replace("DRIVER=SQLite3", "PWD=${absent};DRIVER=SQLite3"))
        assert "'absent' is not there" in _hang_up(daemon, refused)["reason"]
        for more in (
            '[traces]\nendpoint = "http://127.0.0.1:9/v1/traces"\napi_key = "${absent}"\n',
            '[model.far]\nurl = "http://127.0.0.1:9/v1"\nproxy = "${absent}"\n',
            (
                "[embedding]\nserver = { url = 'http://127.0.0.1:9', model = 'm', dimensions = 8,"
                " api_key = '${absent}' }\n"
            ),
        ):
            site.config.write_text(right + more)
            assert "'absent' is not there" in _hang_up(daemon, refused)["reason"]
        site.config.write_text(right)
        other = {**site.schema["properties"], "more": {"type": "boolean"}}
        schema.write_text(json.dumps({**site.schema, "properties": other}))
        assert "insights migrate" in _hang_up(daemon, refused)["reason"]
        schema.write_text(json.dumps(site.schema))
        # It works all the time, and is well again once the settings are.
        legacy.add(range(100, 105))
        daemon.until(lambda: len(legacy.shown()) == 45)
        assert _hang_up(daemon, "settings read again")["changed"] == []
        _until(lambda: "settings" not in _troubles(site))
        assert "settings" not in daemon.checks()
        assert len(_said(daemon, "running")) == 1


def test_log_level_and_quiet_hours_change_at_once(site: Site, tmp_path: Path) -> None:
    legacy = Helpdesk.of(tmp_path / "legacy.sqlite")
    notified = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(notified))
        manager.settimeout(60)
        with answering(site, NOTIFY_SOCKET=str(notified)) as daemon:
            daemon.until(lambda: len(legacy.shown()) == 40)
            while manager.recv(4096) != b"READY=1":
                pass
            text = site.config.read_text()
            quiet = text.replace("[stream.ticket]", '[stream.ticket]\nquiet_hours = "0:00-23:59"')
            site.config.write_text(quiet + '\n[log]\nlevel = "warning"\n')
            daemon.daemon.send_signal(signal.SIGHUP)
            assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(4096) == b"READY=1"
            legacy.add(range(200, 201))
            time.sleep(7)  # longer than poll_every
            assert len(legacy.shown()) == 40, "it is quiet"
            site.config.write_text(text)
            changed = _hang_up(daemon, "settings read again")["changed"]
            assert changed == ["log.level", "stream.ticket.quiet_hours"]
            daemon.until(lambda: len(legacy.shown()) == 41)
            assert _said(daemon, "draining") == []
