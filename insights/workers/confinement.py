"""What a child that reads strangers' bytes is left with: its libraries and what it was given.

A model file and a document are programs for the libraries that read them. Should one of them take
over its process, that process has no network, can write no file, read no secret and start no
program. It confines itself before it has more than one thread and before it opens anything of a
stranger. A kernel that offers less is no reason not to run: `attempt` says what holds, by trying.
"""

import errno
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from insights.ground import environment
from insights.workers import landlock, seccomp

ATTEMPT = "attempt"  # the call that every child answers with `attempt`
# Where libraries, their data and facts of the machine are; never where sites keep theirs.
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/nix/store", "/proc", "/sys", "/etc/ld.so.cache", "/etc/localtime",
    "/etc/OpenCL", "/etc/vulkan",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_GPUS = (("/dev", "nvidia*"), ("/dev", "kfd"), ("/dev", "dri"), ("/dev", "dxg"))
_ROCM = ("/opt", "rocm*")
_PACKAGE = Path(__file__).parents[1]
_REFUSED = (errno.EPERM, errno.EACCES, errno.EROFS)


class Held(msgspec.Struct, frozen=True):
    """What a process tried: what it cannot do, and what it can all the same, in words."""

    cannot: tuple[str, ...]
    can: tuple[str, ...]


def confine(reads: Iterable[str | Path]) -> None:
    """Confine this process, as far as the kernel goes, to its libraries and to `reads`.

    To be called while it has one thread: others would stay outside.
    """
    libraries = [*_SYSTEM, sys.prefix, sys.base_prefix, *sys.path, *environment.library_folders()]
    libraries.append(str(_PACKAGE))  # where it is installed for editing, on no path
    given = [Path(path) for path in (*libraries, *reads) if path]
    gpus = [path for folder, names in _GPUS for path in Path(folder).glob(names)]
    landlock.restrict(
        read=[*given, *Path(_ROCM[0]).glob(_ROCM[1])], use=[*map(Path, _DEVICES), *gpus]
    )
    seccomp.refuse()
    environment.forget_programs()


def attempt() -> Held:
    """Try, in this process, what a confined one cannot do; leave nothing of it behind."""
    cannot: list[str] = []
    can: list[str] = []
    for what, try_it in _ATTEMPTS.items():
        try:
            try_it()
        except OSError as exc:
            (cannot if exc.errno in _REFUSED else can).append(what)
        else:
            can.append(what)
    return Held(cannot=tuple(cannot), can=tuple(can))


def _open_network() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.settimeout(1.0)
        tried.connect(("127.0.0.1", 9))  # "discard": refused by Landlock, or by nobody there


def _open_local() -> None:
    socket.socket(socket.AF_UNIX).close()


def _write() -> None:
    path = f"/tmp/insights-{secrets.token_hex(8)}"  # noqa: S108 - a name that nobody can guess
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    Path(path).unlink()


def _read() -> None:
    next(Path("/").iterdir())


def _start() -> None:
    started = os.posix_spawn("/bin/sh", ["sh", "-c", ":"], {})
    os.waitpid(started, 0)


def _signal() -> None:
    os.kill(os.getppid(), 0)  # only asks whether it could


_ATTEMPTS: dict[str, Callable[[], None]] = {
    "open a network connection": _open_network,
    "open a local socket": _open_local,
    "write a file": _write,
    "read files that it was not given": _read,
    "start a program": _start,
    "signal other processes": _signal,
}
