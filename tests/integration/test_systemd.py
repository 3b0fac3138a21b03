"""The unit: as closed as promised, without a word of complaint, and patient enough to drain."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from insights.site.settings import DaemonSettings, seconds

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNIT = FOLDER / "insights.service"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def run(
    *command: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        env=env,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with all drop-ins, its program replaced by one that exists."""
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    unit.write_text(text.replace("/opt/insights/venv/bin/insights", shutil.which("true") or ""))
    drop_ins = tmp_path / f"{UNIT.name}.d"
    drop_ins.mkdir()
    for file in FOLDER.glob("insights-*.conf"):
        shutil.copy(file, drop_ins)
    return unit


@needs_systemd
def test_exposure_is_at_most_2() -> None:
    done = run("security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert done.returncode == 0, done.stdout


@needs_systemd
def test_no_setting_is_unknown_or_wrong(installed: Path) -> None:
    path = f"{installed.parent}:"
    done = run("verify", "--man=no", installed, env={"SYSTEMD_UNIT_PATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_has_time_to_drain_and_a_bounded_number_of_restarts() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read(UNIT, encoding="utf-8")
    service = parser["Service"]
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"
    drain = seconds(DaemonSettings.model_fields["drain"].default)
    assert seconds(service["TimeoutStopSec"]) >= drain + 15
    assert int(parser["Unit"]["StartLimitBurst"]) <= 10
