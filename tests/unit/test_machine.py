"""What doctor says of the machine: only what it looked at, and a fix where something is wrong."""

import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from insights.cli import machine
from insights.site.settings import Settings, StreamSettings


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_clock_that_is_off_is_told() -> None:
    assert machine.clock(time.time).level == "ok"
    for off_s in (-90.0, 90.0):
        found = machine.clock(lambda off_s=off_s: time.time() + off_s)  # type: ignore[misc]
        assert (found.level, "90.0 s" in found.what, bool(found.fix)) == ("warning", True, True)


def test_a_secret_that_others_may_read_and_settings_that_they_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("INSIGHTS_CREDENTIAL_HASH_KEY",):
        monkeypatch.delenv(name, raising=False)
    settings, secret = tmp_path / "insights.toml", tmp_path / "hash_key"
    settings.touch(mode=0o644)
    secret.touch(mode=0o600)
    files = [settings, secret, tmp_path / "absent"]
    (found,) = machine.modes(files)
    assert (found.level, "2 files" in found.what) == ("ok", True)
    settings.chmod(0o664)
    secret.chmod(0o640)
    first, second = machine.modes(files)
    assert (first.level, first.fix) == ("warning", f"chmod go-w {settings}")
    assert (second.level, second.fix) == ("warning", f"chmod 0400 {secret}")
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_X", "y")
    *_, last = machine.modes([])
    assert (last.level, "INSIGHTS_CREDENTIAL_X" in last.what) == ("note", True)


def test_a_disk_that_is_almost_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, level in ((1_000_000_000, "warning"), (50_000_000_000, "ok")):
        usage = _Usage(100_000_000_000, 0, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        assert machine.disk(tmp_path / "not" / "made").level == level


def test_quiet_hours_in_utc_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StreamSettings(source="s", table="t", key=("id",), quiet_hours="08:00-09:00")
    quiet, spoken = Settings(stream={"ticket": stream}), Settings()
    try:
        for zone, level in (("UTC", "note"), ("Europe/Zurich", "ok")):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            assert machine.zone(quiet).level == level
            assert machine.zone(spoken).level == "ok"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("says", "level"),
    [
        ("→ Overall exposure level for insights.service: 1.5 OK", "ok"),
        ("→ Overall exposure level for insights.service: 8.9 EXPOSED", "warning"),
        ("", "note"),
    ],
)
def test_the_units_exposure(
    says: str, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _program(tmp_path / "systemd-analyze", f"echo '{says}'")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert [one.level for one in machine.units()] == [level]
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = machine.units()
    assert "not looked at: no systemd" in found.what


def test_each_instance_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(
        tmp_path / "systemctl",
        "echo 'insights@desk.service loaded active running Insights daemon desk'\n"
        "echo 'insights@gpu.service loaded failed failed Insights daemon gpu'",
    )
    _program(
        tmp_path / "systemd-analyze",
        'case "$3" in\n'
        '*desk*) echo "→ Overall exposure level for $3: 1.5 OK";;\n'
        '*gpu*) echo "→ Overall exposure level for $3: 8.9 EXPOSED";;\n'
        "esac",
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    desk, gpu = machine.units()
    assert desk.level == "ok"
    assert "insights@desk.service" in desk.what
    assert gpu.level == "warning"
    assert "systemctl cat insights@gpu.service" in (gpu.fix or "")


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
