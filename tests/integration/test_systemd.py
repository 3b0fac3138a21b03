"""The unit: as closed as promised, without a word of complaint, and patient enough to drain."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights.cli import app
from insights.ground import environment
from insights.site.settings import DaemonSettings, seconds

FOLDER = Path(__file__).resolve().parents[2] / "systemd"
UNIT = FOLDER / "insights.service"
INSTANCE = FOLDER / "insights@.service"
DOORS = {name: FOLDER / f"insights-{name}@.service" for name in ("serve", "listen")}
_OF_A_DOOR = {  # what may differ from the daemon's; the rest is as closed as it
    "Description", "ExecStart", "ExecReload", "WatchdogSec", "TimeoutStartSec", "StateDirectory",
    "RuntimeDirectory", "WorkingDirectory", "Environment", "LoadCredential", "SocketBindAllow",
}  # fmt: skip
_OF_AN_INSTANCE = (
    (
        "# The insights daemon: reads",
        "# One of several insights daemons of a host, `insights@NAME`: reads",
    ),
    ("`systemctl edit insights`", "`systemctl edit insights@NAME`"),
    ("insights.service.d/site.conf", "insights@NAME.service.d/site.conf"),
    ("Insights daemon for legacy applications", "Insights daemon %i for legacy applications"),
    ("/etc/insights/insights.toml run", "/etc/insights/%i.toml run"),
    ("StateDirectory=insights\n", "StateDirectory=insights/%i\n"),
    ("RuntimeDirectory=insights\n", "RuntimeDirectory=insights-%i\n"),
    ("WorkingDirectory=%S/insights\n", "WorkingDirectory=%S/insights/%i\n"),
    ("HOME=%S/insights ", "HOME=%S/insights/%i INSIGHTS_STATE_DIR=%S/insights/%i "),
)

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


def instance_of(unit: str) -> str:
    """Return the template for several daemons of a host, made of the unit for one."""
    for of_one, of_many in _OF_AN_INSTANCE:
        assert of_one in unit, of_one
        unit = unit.replace(of_one, of_many)
    return unit


def test_the_template_is_the_unit_with_a_name_of_its_own() -> None:
    assert INSTANCE.read_text(encoding="utf-8") == instance_of(UNIT.read_text(encoding="utf-8"))


@needs_systemd
@pytest.mark.parametrize("template", [INSTANCE, *DOORS.values()], ids=["daemon", *DOORS])
def test_an_instance_is_understood(tmp_path: Path, template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    unit = tmp_path / template.name.replace("@", "@gpu")
    unit.write_text(text.replace("/opt/insights/venv/bin/insights", shutil.which("true") or ""))
    done = run("verify", "--man=no", unit, env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize("unit", [UNIT, INSTANCE, *DOORS.values()], ids=["one", "many", *DOORS])
def test_exposure_is_at_most_2(unit: Path) -> None:
    done = run("security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


@needs_systemd
def test_no_setting_is_unknown_or_wrong(installed: Path) -> None:
    path = f"{installed.parent}:"
    done = run("verify", "--man=no", installed, env={"SYSTEMD_UNIT_PATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("door", DOORS)
def test_a_door_is_as_closed_as_the_daemon(door: str) -> None:
    daemon, found = _service(INSTANCE), _service(DOORS[door])
    differ = {name for name in {*daemon, *found} if daemon.get(name) != found.get(name)}
    assert differ <= _OF_A_DOOR
    assert found["ExecStart"][0].endswith(f" --config /etc/insights/%i.toml {door}")
    assert found.get("SocketBindAllow") == {"serve": ["tcp:9189"], "listen": None}[door]
    credentials = {line.partition(":")[0] for line in found["LoadCredential"]}
    tokens = {"door_tokens"} if door == "serve" else set()
    assert credentials == {"hash_key", "store_password"} | tokens


def _service(unit: Path = UNIT) -> dict[str, list[str]]:
    """Return each setting of the service with all its values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").partition("[Service]")[2].splitlines():
        name, given, value = line.partition("=")
        if given and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_only_this_machine_is_reached_and_only_health_listens() -> None:
    service = _service()
    assert service["IPAddressDeny"] == ["any"]
    assert service["IPAddressAllow"] == ["localhost"]
    assert service["SocketBindDeny"] == ["any"]
    assert service["SocketBindAllow"] == ["tcp:9187"]


def test_secrets_stay_out_of_swap_and_nobody_is_told() -> None:
    service = _service()
    assert service["MemorySwapMax"] == ["0"]
    told = dict(pair.split("=") for line in service["Environment"] for pair in line.split())
    for name in (
        "HF_HUB_OFFLINE",
        "TRANSFORMERS_OFFLINE",
        "HF_HUB_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
    ):
        assert told[name] == "1"
        assert environment._FOR_CHILDREN.fullmatch(name), "children must hear of it"


def test_its_own_files_and_tmp_hold_no_code() -> None:
    service = _service()
    assert service["NoExecPaths"] == ["/"]
    (allowed,) = service["ExecPaths"]
    places = {path.removeprefix("-") for path in allowed.split()}
    for written in ("var/lib/insights", "tmp", "run", "etc/insights", "home", "dev/shm"):
        assert not any(Path("/", written).is_relative_to(place) for place in places)
    program = service["ExecStart"][0].split()[0]
    assert any(Path(program).is_relative_to(place) for place in places)


def test_children_may_confine_themselves() -> None:
    allowed = " ".join(_service()["SystemCallFilter"]).split()
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= {*allowed}


@needs_systemd
def test_the_drop_in_that_is_printed_is_understood(installed: Path, tmp_path: Path) -> None:
    config = tmp_path / "insights.toml"
    config.write_text('[store]\nurl = "postgresql://u@192.0.2.7/x"\n')
    arguments = ["-c", str(config), "unit", "--network", "2001:db8::/32", "--memory", "60%"]
    printed = CliRunner().invoke(app, arguments).stdout
    assert "IPAddressAllow=192.0.2.7" in printed
    (installed.parent / f"{UNIT.name}.d" / "site.conf").write_text(printed)
    done = run("verify", "--man=no", installed, env={"SYSTEMD_UNIT_PATH": f"{installed.parent}:"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_has_time_to_drain_and_a_bounded_number_of_restarts() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    parser.read(UNIT, encoding="utf-8")
    service = parser["Service"]
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    drain = seconds(DaemonSettings.model_fields["drain"].default)
    assert seconds(service["TimeoutStopSec"]) >= drain + 15
    assert int(parser["Unit"]["StartLimitBurst"]) <= 10
