"""Speak to systemd: ready, alive, stopping (sd_notify(3)). Without systemd, silence."""

import socket

from insights.ground import environment


def tell(state: str) -> None:
    """Send one state, such as `READY=1` or `WATCHDOG=1`, to the service manager."""
    address = environment.notify_socket()
    if not address:
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect(address)
        sock.sendall(state.encode())
