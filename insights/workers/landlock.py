"""Landlock: what a process may still touch of the file system, decided by itself and for good.

The kernel holds it for the thread that asks and for all that come of it; threads that are older
stay outside. What a kernel does not know is left out, so that each gives what it can.

Source: Linux `Documentation/userspace-api/landlock.rst`, `include/uapi/linux/landlock.h`. The three
system calls have the same number on every architecture, and no function in the C library.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _READ_FILE | _READ_DIR
_USE = _READ | _WRITE_FILE | _IOCTL_DEV
# Rights by the version that brought them: 13 in the first, then renaming, truncating, devices.
_FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_NETWORK_SINCE, _TCP = 4, 0b11  # binding and connecting
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract sockets of others, signals to others

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the version of Landlock that the kernel offers; 0 for none, or none allowed."""
    found = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)
    return max(0, int(found))


def restrict(*, read: Iterable[Path], use: Iterable[Path] = (), network: bool = False) -> bool:
    """Leave this thread nothing of the file system but what is named; False without Landlock.

    Args:
        read: Files and directories, with all below them, that may be read. What is not there is
            passed over.
        use: Devices that may be read, written and commanded.
        network: Whether TCP stays open.

    Raises:
        OSError: If a kernel that has Landlock refuses.
    """
    offered = version()
    if not offered:
        return False
    files = max(rights for since, rights in _FILES.items() if since <= offered)
    tcp = _TCP if offered >= _NETWORK_SINCE and not network else 0
    scopes = _SCOPES if offered >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, tcp, scopes)
    size = 24 if offered >= _SCOPES_SINCE else 16 if offered >= _NETWORK_SINCE else 8
    ruleset = _called(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    try:
        for path in read:
            _allow(ruleset, path, _READ & files)
        for path in use:
            _allow(ruleset, path, _USE & files)
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise _failure()
        _called(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        _called(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _called(*arguments: object) -> int:
    result = int(_libc.syscall(*arguments))
    if result < 0:
        raise _failure()
    return result


def _failure() -> OSError:
    number = ctypes.get_errno() or errno.EINVAL
    return OSError(number, os.strerror(number))
