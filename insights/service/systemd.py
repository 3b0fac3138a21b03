"""Speak to systemd: ready, alive, stopping (sd_notify(3)). Without systemd, silence."""

import socket

import structlog

from insights.ground import environment
from insights.ground.beats import Pulse

log = structlog.get_logger(__name__)

_STARTS_S = 300.0  # every call that the main thread waits for beats more often
_PATIENCE_S = 1.0  # a service manager that does not read must not hold up the main thread


def keep_alive(main: Pulse, every_s: float) -> float:
    """Feed the watchdog while the main thread starts and was heard of; return the pause, seconds.

    It matters where a daemon begins anew: systemd's watchdog runs on, and a model loads for long.
    """
    if main.age_s() < _STARTS_S:
        tell("WATCHDOG=1")
    return every_s / 3


def tell(state: str) -> None:
    """Send one state, such as `READY=1` or `WATCHDOG=1`, to the service manager.

    A socket that is gone or full is a warning: the work does not depend on it.
    """
    address = environment.notify_socket()
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_PATIENCE_S)
            sock.connect(address)
            sock.sendall(state.encode())
    except (OSError, ValueError) as exc:  # ValueError: a NUL where none may be
        log.warning("the service manager was not told", state=state, reason=str(exc))
