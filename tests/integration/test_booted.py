"""The unit as systemd runs it: begun when it says ready, closed, stopped in time, begun anew."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.systemd import Systemd, missing_systemd
from tests.site import Site

ROOT = Path(__file__).resolve().parents[2]
THERE = "/srv/insights-test"


def _drop_in(**environment: str) -> str:
    """Return what this site has to say: its program lies elsewhere, its store has this URL."""
    said = "".join(f'Environment="{name}={value}"\n' for name, value in environment.items())
    return (
        "[Service]\nProtectHome=read-only\nSocketBindDeny=\nNice=0\nStandardOutput=tty\n"
        f"StandardError=tty\nTTYPath=/dev/console\nExecPaths={sys.prefix} {sys.base_prefix}\n"
        f"BindReadOnlyPaths={ROOT}\n{said}"  # the checkout may lie in /tmp, which the unit hides
    )


@pytest.fixture
def booted(site: Site, tmp_path: Path) -> Callable[..., Systemd]:
    """Return what prepares a systemd that starts instances of the unit on this site."""
    if missing := missing_systemd():
        pytest.skip(f"needs {missing}")
    site.sink = False
    site.write()

    def prepared(
        *instances: str, more: str = "", unit: str = "insights", **environment: str
    ) -> Systemd:
        folder = tmp_path / "systemd"
        folder.mkdir()
        found = Systemd(folder, *(f"{unit}@{one}.service" for one in instances))
        there = found.files / THERE.lstrip("/")
        there.mkdir(parents=True)
        for name in ("legacy.sqlite", "prompt.j2", "schema.json"):
            shutil.copy(site.folder / name, there)
        shutil.copy(site.model, there / "model.gguf")
        shutil.copytree(site.folder / "pipelines", there / "pipelines")
        text = site.config.read_text().replace(str(site.model), f"{THERE}/model.gguf")
        text = text.replace(str(site.folder), THERE)
        program = found.files / "opt" / "insights" / "venv" / "bin" / "insights"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m insights "$@"\n')
        program.chmod(0o755)
        (found.files / "etc" / "insights").mkdir(parents=True)
        secrets = found.files / "etc" / "credstore"
        secrets.mkdir(mode=0o700)
        (secrets / "insights.hash_key").write_text("a key for tests")
        (secrets / "insights.door_tokens").write_text(f"erp submit:triage,read {'t' * 40}\n")
        for one in instances:
            here = f'pipelines_dir = "{THERE}/pipelines"\n{text}'
            (found.files / "etc" / "insights" / f"{one}.toml").write_text(here)
            shutil.copy(ROOT / "systemd" / f"{unit}@.service", found.units)
            made = found.units / f"{unit}@{one}.service.d"
            made.mkdir()
            said = {"INSIGHTS_STORE__URL": site.store_url, "INSIGHTS_HEALTH__LISTEN": "127.0.0.1:0"}
            (made / "site.conf").write_text(_drop_in(**said, **environment) + more)
        return found

    return prepared


def test_the_service_is_begun_when_it_is_ready_closed_and_stopped_in_time(
    site: Site, booted: Callable[..., Systemd]
) -> None:
    unit = "insights@erp.service"
    with booted("erp") as systemd:
        systemd.until(lambda: systemd.property(unit, "ActiveState") == "active")
        systemd.until(lambda: site.query("SELECT count(*) = 40 FROM store.insight")[0][0])
        status = systemd.inside("cat", f"/proc/{systemd.property(unit, 'MainPID')}/status")
        held = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(held["Uid"].split()[0]) != 0
        assert int(held["CapBnd"], 16) == 0
        assert (held["NoNewPrivs"], held["Seccomp"]) == ("1", "2")
        assert systemd.inside("stat", "-Lc", "%a", "/var/lib/insights/erp").strip() == "700"
        began = time.monotonic()
        systemd.inside("systemctl", "stop", unit)
        assert time.monotonic() - began < 45
        assert systemd.property(unit, "Result") == "success"
        assert systemd.property(unit, "ExecMainStatus") == "0"
    assert site.query("SELECT count(*) FROM store.work WHERE state = 'claimed'") == [(0,)]


def test_a_service_whose_main_loop_is_stuck_is_killed_and_begun_anew(
    booted: Callable[..., Systemd],
) -> None:
    unit = "insights@erp.service"
    more = "WatchdogSec=4s\nRestartSec=1s\n"
    with booted("erp", more=more, INSIGHTS_FAILPOINT="main-loop:12:hang") as systemd:
        systemd.until(lambda: systemd.property(unit, "NRestarts") == "1")
        assert "Watchdog timeout (limit 4s)!" in systemd.said
        systemd.until(lambda: systemd.property(unit, "ActiveState") == "active")


def test_a_credential_that_is_not_there_is_named(booted: Callable[..., Systemd]) -> None:
    systemd = booted("erp")
    (systemd.files / "etc" / "credstore" / "insights.hash_key").unlink()
    unit = "insights@erp.service"
    with systemd:
        systemd.until(lambda: systemd.property(unit, "ActiveState") in ("failed", "activating"))
        systemd.until(lambda: systemd.property(unit, "ExecMainStatus") not in ("", "0"))
        assert "hash_key" in systemd.said
        assert "Traceback" not in systemd.said
        assert systemd.property(unit, "ExecMainStatus") in ("33", "78")
        systemd.until(lambda: systemd.property(unit, "ActiveState") == "failed")
        assert systemd.property(unit, "NRestarts") == "0"  # starting again would not help
