"""A filter of system calls (seccomp): no new socket, no other program, no look into processes.

It is for the thread that asks and all that come of it. What a filter refuses fails with EPERM, as a
missing right would, and nothing dies of it.

Source: Linux `Documentation/userspace-api/seccomp_filter.rst`, `include/uapi/linux/filter.h`,
`include/uapi/linux/audit.h`; numbers of calls: `arch/x86/entry/syscalls/syscall_64.tbl` and
`include/uapi/asm-generic/unistd.h`.
"""

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_PR_SET_NO_NEW_PRIVS = 38
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # in struct seccomp_data
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_X32 = 0x40000000  # x86-64's second table of calls begins here

_EVERYWHERE = {
    "io_uring_setup": 425,  # opens sockets and files past a filter
    "pidfd_send_signal": 424,
    "pidfd_getfd": 438,
}
_X86_64 = {
    "socket": 41, "execve": 59, "execveat": 322, "ptrace": 101, "process_vm_readv": 310,
    "process_vm_writev": 311, "unshare": 272, "setns": 308, "mount": 165, "bpf": 321,
    "userfaultfd": 323, "perf_event_open": 298, "add_key": 248, "request_key": 249, "keyctl": 250,
    "open_by_handle_at": 304,
}  # fmt: skip
_AARCH64 = {
    "socket": 198, "execve": 221, "execveat": 281, "ptrace": 117, "process_vm_readv": 270,
    "process_vm_writev": 271, "unshare": 97, "setns": 268, "mount": 40, "bpf": 280,
    "userfaultfd": 282, "perf_event_open": 241, "add_key": 217, "request_key": 218, "keyctl": 219,
    "open_by_handle_at": 265,
}  # fmt: skip


class _Machine(NamedTuple):
    """An architecture's AUDIT_ARCH_*, and its numbers."""

    architecture: int
    numbers: dict[str, int]


_MACHINES = {
    "x86_64": _Machine(0xC000003E, _X86_64),
    "aarch64": _Machine(0xC00000B7, _AARCH64),
}


class _Program(ctypes.Structure):
    """`struct sock_fprog`: how many instructions of 8 bytes, and where."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse() -> bool:
    """Refuse those calls to this thread from now on; False where that is not offered."""
    machine = _MACHINES.get(platform.machine())
    if machine is None or sys.maxsize < 2**32:  # a 32-bit process on a 64-bit machine
        return False
    code = _compiled(machine.architecture, sorted((_EVERYWHERE | machine.numbers).values()))
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return int(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0)) == 0


def _compiled(architecture: int, refused: Sequence[int]) -> bytes:
    """Return the filter: a jump for each number to the end, where it is refused."""
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),  # another architecture's calls have other numbers
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, len(refused) + 1, 0, _X32),
        *((_EQUAL, len(refused) - at, 0, number) for at, number in enumerate(refused)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
