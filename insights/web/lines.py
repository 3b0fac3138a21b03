"""Connections to other servers: bounded in time whatever goes on on them, TLS where asked for."""

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from insights.ground import trust
from insights.site.settings import Settings

TIMEOUT_S = 10.0  # of one read
_LONGEST_S = 30.0  # of all of it: who says a word now and then ends no read's time

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Allows = Callable[[Address], bool]


class StrangeAddressError(OSError):
    """The name of a server leads to addresses that are not to be reached by it."""


def asked(
    url: str,
    tls: ssl.SSLContext,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    most: int = 0,
    allows: Allows | None = None,
    longest_s: float | None = None,
) -> tuple[int, bytes]:
    """Ask an address, with a body by POST; return the status and the answer's first bytes.

    Args:
        url: An http or https address. Nobody is followed elsewhere.
        tls: What certificates are taken.
        body: What is sent.
        headers: Sent with it.
        most: Bytes of the answer that are read.
        allows: Which addresses its name may lead to.
        longest_s: Seconds for all of it, beside the look for the name's address.

    Raises:
        OSError, http.client.HTTPException, ValueError: If there is no answer.
    """
    at = urlsplit(url)
    target = (at.path or "/") + (f"?{at.query}" if at.query else "")
    with connected(at, tls, allows, longest_s) as line:
        kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
        link = kind(at.hostname or "", at.port)
        link.sock = line
        link.request("GET" if body is None else "POST", target, body, dict(headers or {}))
        answer = link.getresponse()
        return answer.status, answer.read(most) if most else b""


def connected(
    at: SplitResult,
    tls: ssl.SSLContext,
    allows: Allows | None = None,
    longest_s: float | None = None,
) -> AbstractContextManager[socket.socket]:
    """Lend a connection to the server of an address."""
    secure = at.scheme == "https"
    if not secure and at.scheme != "http":
        raise ValueError("no http or https address")
    host, port = at.hostname or "", at.port or (443 if secure else 80)
    return line(host, port, tls if secure else None, allows, longest_s)


@contextmanager
def line(
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    allows: Allows | None = None,
    longest_s: float | None = None,
) -> Iterator[socket.socket]:
    """Lend a connection to a server, which is cut after half a minute whatever goes on on it."""
    longest_s = _LONGEST_S if longest_s is None else longest_s
    with _opened(host, port, allows, min(TIMEOUT_S, longest_s)) as plain, plain.dup() as same:
        cut = threading.Timer(longest_s, _cut, (same,))
        cut.daemon = True
        cut.start()
        try:
            if tls is None:
                yield plain
            else:
                with tls.wrap_socket(plain, server_hostname=host) as secured:
                    yield secured
        finally:
            cut.cancel()


def trusting(settings: Settings, ca_file: Path | None, where: str = "") -> ssl.SSLContext:
    """Return what certificates are taken: the system's authorities, or those of a file.

    Raises:
        errors.SettingsError: If the file is none.
    """
    return trust.context(None if ca_file is None else settings.resolve(ca_file), where=where)


def _opened(host: str, port: int, allows: Allows | None, timeout_s: float) -> socket.socket:
    """Connect to an address that was looked at: the name is not looked up again."""
    if allows is None:
        return socket.create_connection((host, port), timeout_s)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    places = [str(place[0]) for *_, place in found]
    failed: OSError = StrangeAddressError("its name leads to addresses that are not allowed")
    for place in places:
        if allows(address(place)):
            try:
                return socket.create_connection((place, port), timeout_s)
            except OSError as exc:
                failed = exc
    raise failed


def address(text: str) -> Address:
    """Return an address; one of IPv4 in the clothes of IPv6 as what it is.

    Raises:
        ValueError: If it is none.
    """
    found = ipaddress.ip_address(text)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _cut(plain: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        plain.shutdown(socket.SHUT_RDWR)
