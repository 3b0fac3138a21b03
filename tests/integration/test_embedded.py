"""The embedded store beside a daemon: commands answer, and whoever must wait says so."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from insights import errors
from insights.service import signals
from insights.store import embedded
from insights.store.embedded import EmbeddedPostgres
from tests.helpdesk import Helpdesk
from tests.site import Site

ANSWERED = 1.5  # times what reading the command takes of a processor
ENDED_S = 2.0  # a second, and what a busy machine needs to take the process down
BUSY_S = 30.0  # by the clock, where other work takes the processors
COMMANDS = [
    ("status",),
    ("dead", "list"),
    ("pipeline", "list"),
    ("pause", "ticket"),
    ("resume", "ticket"),
    ("sink", "refused", "legacy"),
]


@dataclass
class OwnStore(Site):
    """A site that leaves the store to the product."""

    def env(self, **more: str) -> dict[str, str]:
        found = super().env(**more)
        del found["INSIGHTS_STORE__URL"], found["INSIGHTS_CREDENTIAL_HASH_KEY"]
        return found | {"INSIGHTS_STORE__AS_ROOT": "true"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, stand_in: Path) -> Iterator[OwnStore]:
    """A daemon on the embedded store that has made an insight."""
    folder = tmp_path_factory.mktemp("own")
    legacy = Helpdesk(folder / "legacy.sqlite", 6)
    site = OwnStore(folder, "", legacy.odbc, stand_in)
    site.write()
    site.insights("migrate")
    daemon = subprocess.Popen(
        site.command("run"),
        env=site.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert daemon.stderr is not None
    for line in daemon.stderr:
        if '"running"' in line:
            break
    yield site
    daemon.send_signal(signal.SIGTERM)
    _, said = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, said


def spent(site: OwnStore, *command: str) -> tuple[float, float]:
    """Return the seconds that a command took: of a processor, and by the clock."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = site.command(*command)  # begun from nothing: `site.insights` forks what has been read
    subprocess.run(words, env=site.env(), check=True, capture_output=True, timeout=60)
    after, waited = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - begun
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, waited


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_answer_while_the_daemon_runs(running: OwnStore, command: tuple[str, ...]) -> None:
    # Its own seconds, as a multiple of those in which it is read: neither depends on the machine.
    read = min(spent(running, *command, "--help")[0] for _ in range(2))
    used, waited = spent(running, *command)
    assert used < ANSWERED * read
    assert waited < BUSY_S


def test_the_last_user_stops_the_server_and_no_other(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path, as_root=True) as first:
        with EmbeddedPostgres(tmp_path, as_root=True) as second:
            assert second.url == first.url
        assert (tmp_path / "pg" / "postmaster.pid").exists()
    assert not (tmp_path / "pg" / "postmaster.pid").exists()


def test_a_wait_is_told_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "_TURN_S", 0.5)
    monkeypatch.setattr(embedded, "_SILENT_S", 0.1)
    with (tmp_path / "pg.turn").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(errors.StoreUnavailable, match="starting or stopping"):
            EmbeddedPostgres(tmp_path, as_root=True).__enter__()
    said = capsys.readouterr()
    assert "waits for the embedded PostgreSQL" in said.out + said.err
    assert "at_most_s" in said.out + said.err


def test_a_user_that_was_killed_keeps_nobody_waiting(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\nfrom insights.store.embedded import EmbeddedPostgres\n"
        "with EmbeddedPostgres(pathlib.Path(sys.argv[1]), as_root=True):\n"
        "    print('up', flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "up\n"
        killed.kill()
    with EmbeddedPostgres(tmp_path, as_root=True):
        pass
    assert not (tmp_path / "pg" / "postmaster.pid").exists()


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, stand_in: Path) -> OwnStore:
    """A migrated site that nothing runs on."""
    folder = tmp_path_factory.mktemp("idle")
    legacy = Helpdesk(folder / "legacy.sqlite", 6)
    site = OwnStore(folder, "", legacy.odbc, stand_in)
    site.write()
    site.insights("migrate")
    return site


@pytest.mark.parametrize("command", [("doctor",), ("run",), ("run", "--once")], ids=" ".join)
def test_ctrl_c_ends_a_command_within_a_second(idle: OwnStore, command: tuple[str, ...]) -> None:
    site = idle
    with subprocess.Popen(
        site.command(*command),
        env=site.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as started:
        opened = site.folder / "state" / "pg" / "postmaster.pid"
        while not opened.exists() and started.poll() is None:
            time.sleep(0.02)
        time.sleep(0.5)  # it opens, starts children, works
        asked = time.monotonic()
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does: to the children too
        said, _ = started.communicate(timeout=30)
        took = time.monotonic() - asked
    assert started.returncode == signals.INTERRUPTED, said
    assert "Traceback" not in said
    assert took < ENDED_S


@pytest.mark.parametrize(
    ("command", "after_s"),
    [(("try", "--sample", "6"), 0.0), (("try", "--sample", "6"), 4.0), (("status",), 0.0)],
)
def test_a_command_that_is_ended_leaves_no_server(
    idle: OwnStore, command: tuple[str, ...], after_s: float
) -> None:
    """While the server starts, while the command opens, and while it generates."""
    site = idle
    opened = site.folder / "state" / "pg" / "postmaster.pid"
    with subprocess.Popen(
        site.command(*command),
        env=site.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as started:
        while not opened.exists() and started.poll() is None:
            time.sleep(0.01)
        server = int(opened.read_text().splitlines()[0])
        time.sleep(after_s)
        ended = started.poll() is not None
        started.terminate()
        said, _ = started.communicate(timeout=60)
    codes = {0} if ended else {signals.TERMINATED}
    if "Tried" in said:  # it has said all and is on its way out, where Python hears no more of it
        codes |= {0, -signal.SIGTERM}
    assert started.returncode in codes, (started.returncode, said)
    assert "Traceback" not in said
    assert not opened.exists()
    left = [one for one in psutil.process_iter(["pid", "status"]) if one.pid == server]
    assert all(one.info["status"] == psutil.STATUS_ZOMBIE for one in left)  # nobody reaps here
