"""A systemd of the test's own: PID 1 of new namespaces over a copy-on-write root, gone with it.

Nothing of the machine's own manager is asked or touched. It needs root, overlayfs, and a cgroup2
hierarchy that may be written; no journal, no bus, no controllers of memory.
"""

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

_BOOT = r"""
set -e
mount --make-rprivate /
mkdir -p "$W/over" "$W/root"
mount -t tmpfs -o size=2g tmpfs "$W/over"
mkdir "$W/over/upper" "$W/over/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$W/over/upper,workdir=$W/over/work" "$W/root"
cd "$W/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
for one in null zero full random urandom tty; do
    touch dev/$one
    mount --bind /dev/$one dev/$one
done
mkdir dev/pts dev/shm run/old run/units
mount -t devpts -o newinstance devpts dev/pts
mount -t tmpfs tmpfs dev/shm
touch dev/console
mount --bind "$CONSOLE" dev/console
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
mkdir -p dev/mqueue dev/hugepages
cp -r "$W/units/." run/units/
cp -r "$W/files/." .
for one in $OPEN; do while [ "$one" != / ]; do chmod o+rx ".$one"; one=$(dirname "$one"); done; done
pivot_root . run/old
cd /
umount -l /run/old
mount --make-rshared /  # it hands credentials over through a mount of its own
exec /usr/bin/env -i container=insights-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_UNIT_PATH=/run/units /lib/systemd/systemd --system --unit=test.target \
    --log-target=console --log-level=info --show-status=no
"""
_TRY = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t proc proc /mnt/root/proc
mount -t cgroup2 cgroup2 /mnt/root/sys
"""
_EMPTY = ("sysinit.target", "basic.target", "network-online.target", "shutdown.target")


def missing_systemd() -> str:
    """Return what a systemd would need to run here; empty if it has all of it."""
    if os.geteuid() != 0:
        return "root, to boot a systemd in namespaces of its own"
    if not Path("/lib/systemd/systemd").exists() or shutil.which("unshare") is None:
        return "systemd and unshare"
    if _hierarchy() is None:
        return "a cgroup2 hierarchy that may be written"
    tried = subprocess.run(["unshare", "-fpmC", "sh", "-c", _TRY], check=False, capture_output=True)
    return "" if tried.returncode == 0 else "namespaces and overlayfs"


def _hierarchy() -> Path | None:
    lines = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    found = (Path(line.split()[1]) for line in lines if line.split()[2] == "cgroup2")
    return next((one for one in found if os.access(one, os.W_OK)), None)


class Systemd:
    """A manager with these units.

    Args:
        folder: An empty folder: `units` and `files` (laid over the root) are put there.
        units: What is started once it runs.
    """

    def __init__(self, folder: Path, *units: str) -> None:
        self.folder = folder
        self.units = folder / "units"
        self.files = folder / "files"
        self.units.mkdir()
        self.files.mkdir()
        for name in _EMPTY:
            (self.units / name).write_text("[Unit]\nDefaultDependencies=no\n")
        wants = "\n".join(f"Wants={unit}" for unit in units)
        (self.units / "test.target").write_text(f"[Unit]\nDefaultDependencies=no\n{wants}\n")
        self._said: list[bytes] = []

    def __enter__(self) -> Self:
        hierarchy = _hierarchy()
        assert hierarchy is not None
        self._group = hierarchy / f"insights-test-{os.getpid()}-{self.folder.name}"
        self._group.mkdir()
        ours, theirs = pty.openpty()
        programs = {sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[2])}
        enter = 'echo $$ > "$GROUP/cgroup.procs"; exec unshare -fpmC --kill-child sh -c "$BOOT"'
        self._process = subprocess.Popen(
            ["sh", "-c", enter],
            env={
                "PATH": os.environ["PATH"],
                "BOOT": _BOOT,
                "GROUP": str(self._group),
                "W": str(self.folder),
                "CONSOLE": os.ttyname(theirs),
                "OPEN": " ".join(sorted(programs)),
            },
            stdout=theirs,
            stderr=theirs,
        )
        self._terminal = ours, theirs
        threading.Thread(target=self._read, daemon=True).start()
        self.until(lambda: self._init() and self.systemctl("is-active", "test.target"))
        return self

    def __exit__(self, *exc: object) -> None:
        init = self._init()
        with contextlib.suppress(ProcessLookupError):
            if init:
                os.kill(init, signal.SIGKILL)  # and with it all of its namespace
        self._process.kill()
        self._process.wait()
        del exc
        until = time.monotonic() + 10
        while self._group.exists() and time.monotonic() < until:
            for found, _, _ in os.walk(self._group, topdown=False):
                with contextlib.suppress(OSError):
                    Path(found).rmdir()
            time.sleep(0.05)
        for one in self._terminal:
            os.close(one)

    @property
    def said(self) -> str:
        """What it said on its console."""
        return b"".join(self._said).decode(errors="replace")

    def systemctl(self, *arguments: str) -> str:
        """Ask it; return what it says, "" where it says no."""
        done = self._inside("systemctl", *arguments)
        return done.stdout.strip() if done.returncode == 0 else ""

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit)

    def inside(self, *command: str) -> str:
        """Return what a command says in there."""
        return self._inside(*command).stdout

    def until(self, holds: Callable[[], object], seconds: float = 90.0) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert self._process.poll() is None, self.said
            assert "Start request repeated too quickly" not in self.said, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.2)

    def _inside(self, *command: str) -> "subprocess.CompletedProcess[str]":
        enter = ["nsenter", "-t", str(self._init()), "-m", "-p", "-C", "--", *command]
        return subprocess.run(enter, capture_output=True, text=True, check=False, timeout=60)

    def _init(self) -> int | None:
        with contextlib.suppress(psutil.Error):
            for one in psutil.Process(self._process.pid).children():
                if one.name() == "systemd":
                    return int(one.pid)
        return None

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._said.append(os.read(self._terminal[0], 4096))
