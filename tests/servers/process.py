"""A database server as a child process: start, crash, freeze, remove."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psycopg
import pyodbc

START_S = 60.0
_kept: list[socket.socket] = []
_FIRST_PORT = 11_000  # browsers go to no port of some below
AS_ROOT = os.geteuid() == 0
_SETPRIV = ["setpriv", "--pdeathsig", "KILL"]
_NOBODY = ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
pyodbc.pooling = False  # unixODBC crashes with it

Rows = list[tuple[Any, ...]]


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that no other test is given meanwhile.

    It is below those that the kernel gives to connections: one of them may be a connection's by
    the time somebody listens there, or while a server is down that keeps its port.
    """
    begin = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _FIRST_PORT + secrets.randbelow(max(1, begin - _FIRST_PORT))  # `random` is seeded
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _kept.append(_only_one(port))
            return port


def _only_one(port: int) -> socket.socket:
    """Return what no other process of the machine's tests has, until this one ends.

    Raises:
        OSError: If one has it.
    """
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0insights-test-port-{port}")
    except OSError:
        mark.close()
        raise
    return mark


def scratch() -> Path:
    """Return a new short folder that any user may enter: servers do not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="insights-"))
    folder.chmod(0o755)
    return folder


class Server:
    """A child process that listens on `port`; stopping and starting it again keeps port and data.

    Args:
        folder: Where its data and log live; made here, removed by `remove`.
        unprivileged: Run as `nobody` where we are root (PostgreSQL refuses root).
    """

    def __init__(self, folder: Path, *, unprivileged: bool) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._user = _NOBODY if unprivileged and AS_ROOT else []
        folder.mkdir(parents=True, exist_ok=True)
        if self._user:
            shutil.chown(folder, "nobody", "nogroup")

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        """Run one tool of the server as its user.

        Raises:
            RuntimeError: If it fails, with its output.
        """
        done = subprocess.run(
            [*_SETPRIV, *self._user, *map(str, command)],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout.decode(errors='replace')}")

    def command(self) -> list[str]:
        """Return the command line that serves `data` on `port`."""
        raise NotImplementedError

    def execute(self, statement: str, *params: object, database: str = "") -> Rows:
        """Run one statement as the administrator, committed, and return its rows."""
        raise NotImplementedError

    def start(self) -> Self:
        """Start it and wait until it answers."""
        until = time.monotonic() + START_S
        self._spawn()
        while True:
            try:
                self.execute("SELECT 1")
            except (psycopg.Error, pyodbc.Error) as error:
                if time.monotonic() > until:
                    tail = self.log.read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{type(self).__name__} did not start: {tail}") from error
                time.sleep(0.05)
                if self.process is None or self.process.poll() is not None:
                    self._spawn()  # after a crash, its children may hold its memory for a moment
            else:
                return self

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_SETPRIV, *self._user, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self, kill: signal.Signals = signal.SIGKILL) -> None:
        """End it: SIGKILL is a crash; SIGINT (PostgreSQL) and SIGTERM (MariaDB) are orderly."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(kill)
            self.process.wait(30)
            self.process = None

    def freeze(self) -> None:
        """Stop the server's processes where they are: connections stay open and say nothing."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + START_S
        while not all(map(_stands, self._pids())) and time.monotonic() < until:
            time.sleep(0.01)  # a thread that runs at that moment may answer once more

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):  # a backend may have ended meanwhile
                os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def remove(self) -> None:
        """Kill it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _stands(pid: int) -> bool:
    """Tell whether every thread of a process is stopped, or gone."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] not in "TtZX":
                return False
    return True
