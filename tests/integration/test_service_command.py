"""From settings to a service of systemd and back: printed, done, done again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from insights import errors
from insights.cli import app

SETTINGS = """
state_dir = "/var/lib/insights"
[store]
url = "postgresql://insights:${store_password}@127.0.0.1/insights"
[health]
listen = "127.0.0.1:9188"
[page]
listen = "127.0.0.1:9190"
[source.erp]
odbc = "Driver=FreeTDS;Server=127.0.0.1;UID=reader;PWD=${erp_password}"
"""

needs_systemd = pytest.mark.skipif(shutil.which("systemctl") is None, reason="needs systemd")


class Host:
    """A root directory that a service is prepared in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.etc = root / "etc"
        (self.etc / "insights").mkdir(parents=True)
        (self.etc / "insights" / "insights.toml").write_text(SETTINGS)
        (self.etc / "insights" / "gpu.toml").write_text(SETTINGS)
        self.drop_ins = self.etc / "systemd" / "system" / "insights.service.d"

    def run(self, *arguments: str, settings: str = "insights.toml") -> Result:
        file = self.etc / "insights" / settings
        given = ["-c", str(file), "service", *arguments, "--root", str(self.root)]
        return CliRunner().invoke(app, given)

    def states(self, *arguments: str, settings: str = "insights.toml") -> list[str]:
        done = self.run(*arguments, "--apply", "--json", settings=settings)
        assert done.exit_code == 0, done.output
        return [step["state"] for step in json.loads(done.stdout)]

    def tree(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_file():
                found[name] = path.read_text()
            else:
                found[name] = f"{path.stat().st_mode & 0o7777:o}"
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


@needs_systemd
def test_a_service_is_installed_again_without_a_change_and_taken_away(host: Host) -> None:
    before = host.tree()
    given = ("--memory", "4G", "--gpu", "--network", "10.2.0.0/16", "--network", "10.3.0.1")
    assert set(host.states("install", *given)) <= {"done", "is so already"}
    installed = host.tree()
    unit = installed["etc/systemd/system/insights.service"]
    assert f"ExecStart={sys.prefix}/bin/insights --config /etc/insights/insights.toml run" in unit
    drop_ins = {path.name: path.read_text() for path in host.drop_ins.iterdir()}
    assert "MemoryMax=4G" in drop_ins["site.conf"]
    assert "SocketBindAllow=tcp:9188" in drop_ins["port.conf"]
    assert "SocketBindAllow=tcp:9190" in drop_ins["port.conf"]
    assert "LoadCredential=page_tokens:insights.page_tokens" in drop_ins["credentials.conf"]
    assert "LoadCredential=erp_password:insights.erp_password" in drop_ins["credentials.conf"]
    assert "store_password" not in drop_ins["credentials.conf"]  # the unit has it
    assert "DeviceAllow=char-nvidia" in drop_ins["gpu.conf"]
    assert "etc/systemd/system/multi-user.target.wants/insights.service" in installed
    assert installed["etc/credstore"] == "700"

    again = host.states("install", *given)
    assert set(again[:-1]) == {"is so already"}  # the last one asks systemd, which says so itself
    assert host.tree() == installed

    host.states("install")  # what was given stays
    assert host.tree() == installed

    own = host.drop_ins / "mine.conf"
    own.write_text("[Service]\nNice=10\n")
    host.states("uninstall")
    left = host.tree()
    assert {name for name in left if name.endswith((".service", ".conf"))} == {
        "etc/systemd/system/insights.service.d/mine.conf"
    }
    assert all(left[name] == what for name, what in before.items())  # settings stay
    assert set(host.states("uninstall")) == {"is so already"}


@needs_systemd
def test_what_is_printed_does_the_same_in_a_shell(host: Host) -> None:
    script = host.run("install", "--network", "10.1.0.0/16").stdout
    assert host.tree().keys() == {
        "etc",
        *(f"etc/insights{x}" for x in ("", "/gpu.toml", "/insights.toml")),
    }
    subprocess.run(["sh", "-e"], input=script, text=True, check=True, capture_output=True)
    by_shell = host.tree()
    assert (
        "IPAddressAllow=10.1.0.0/16" in by_shell["etc/systemd/system/insights.service.d/site.conf"]
    )
    shutil.rmtree(host.root)
    other = Host(host.root)
    other.states("install", "--network", "10.1.0.0/16")
    assert other.tree() == by_shell


@needs_systemd
def test_instances_share_a_template_that_stays_until_the_last_one_goes(host: Host) -> None:
    template = host.etc / "systemd" / "system" / "insights@.service"
    (host.etc / "insights" / "cpu.toml").write_text(SETTINGS)
    for name in ("gpu", "cpu"):
        host.states("install", "--instance", name, settings=f"{name}.toml")
    assert "--config /etc/insights/%i.toml run" in template.read_text()
    host.states("uninstall", "--instance", "gpu", settings="gpu.toml")
    assert template.exists()
    host.states("uninstall", "--instance", "cpu", settings="cpu.toml")
    assert not template.exists()


DOORS = """
[health]
serve = "127.0.0.1:9191"
queues = "127.0.0.1:9192"
[serve]
listen = "127.0.0.1:9199"
[webhook.desk]
url = "https://192.0.2.7/hook"
secret = "${desk_webhook}"
[queue.erp]
url = "amqps://insights:${amqp}@192.0.2.8/"
pipeline = "triage"
queue = "requests"
"""


@needs_systemd
@pytest.mark.parametrize(
    ("door", "ports", "loaded", "reached", "missing"),
    [
        ("serve", {"9199", "9191"}, {"desk_webhook"}, "192.0.2.7", {"hash_key", "door_tokens"}),
        ("listen", {"9192"}, {"amqp"}, "192.0.2.8", {"hash_key"}),
    ],
)
def test_a_door_is_installed_with_what_it_needs_and_no_more(
    host: Host, door: str, ports: set[str], loaded: set[str], reached: str, missing: set[str]
) -> None:
    settings = SETTINGS.replace('[health]\nlisten = "127.0.0.1:9188"', "")
    (host.etc / "insights" / "door.toml").write_text(settings + DOORS)
    given = ("--instance", "door", "--door", door)
    before = host.tree()
    host.states("install", *given, settings="door.toml")
    units = host.etc / "systemd" / "system"
    unit = units / f"insights-{door}@.service"
    assert f"ExecStart={sys.prefix}/bin/insights --config /etc/insights/%i.toml {door}" in (
        unit.read_text()
    )
    drop_ins = units / f"insights-{door}@door.service.d"
    opened = re.findall(r"SocketBindAllow=tcp:(\d+)", (drop_ins / "port.conf").read_text())
    assert set(opened) == ports
    named = re.findall(r"LoadCredential=(\w+):", (drop_ins / "credentials.conf").read_text())
    assert set(named) == loaded  # and none of a source
    site = (drop_ins / "site.conf").read_text()
    assert set(re.findall(r"192\.0\.2\.\d", site)) == {reached}
    said = " ".join(host.run("install", *given, settings="door.toml").output.split())
    for name in missing | loaded:
        assert f"missing the credential {name}:" in said
    assert "credstore/insights.door_store_password" in said
    assert "erp_password" not in said
    assert set(host.states("install", *given, settings="door.toml")[:-1]) == {"is so already"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"insights-{door}@door.service"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
    )
    assert not [line for line in done.stderr.splitlines() if "insights" in line], done.stderr
    host.states("uninstall", *given, settings="door.toml")
    left = {name for name in host.tree() if name.endswith((".service", ".conf"))}
    assert not left
    assert all(host.tree()[name] == what for name, what in before.items())


def test_a_door_that_is_off_or_has_no_settings_of_its_own_is_refused(host: Host) -> None:
    (host.etc / "insights" / "door.toml").write_text(SETTINGS)
    for door, said in (("serve", "door is off"), ("listen", "no queue")):
        done = host.run("install", "--instance", "door", "--door", door, settings="door.toml")
        assert isinstance(done.exception, errors.SettingsError)
        assert said in done.exception.what
    done = host.run("install", "--door", "serve")
    assert isinstance(done.exception, errors.SettingsError)
    assert "--instance" in done.exception.fix


@needs_systemd
def test_systemd_understands_what_was_installed(host: Host) -> None:
    host.states("install", "--gpu")
    units = host.etc / "systemd" / "system"
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", units / "insights.service"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
    )
    said = [line for line in done.stderr.splitlines() if "insights" in line]
    assert not said, done.stderr


def test_credentials_that_are_not_there_are_named(host: Host) -> None:
    store = host.etc / "credstore"
    store.mkdir(mode=0o700)
    (store / "insights.hash_key").write_text("x")
    said = " ".join(host.run("install").output.split())
    for name in ("erp_password", "store_password"):
        assert f"missing the credential {name}: install -m 0400 FILE" in said
    assert "missing the credential hash_key" not in said


def test_settings_that_the_service_would_not_read_are_refused(host: Host) -> None:
    done = host.run("install", settings="gpu.toml")
    assert isinstance(done.exception, errors.SettingsError)
    assert "insights.toml" in done.exception.what
    done = host.run("install", "--instance", "../x", settings="gpu.toml")
    assert isinstance(done.exception, errors.SettingsError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_whoever_is_not_root_is_told_so(host: Host) -> None:
    host.etc.chmod(0o500)
    done = host.run("install", "--apply")
    assert isinstance(done.exception, errors.SettingsError)
    assert "root" in done.exception.fix
