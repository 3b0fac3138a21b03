"""Connections to other servers: bounded in time whatever goes on on them, TLS where asked for."""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from insights.site.settings import Settings

TIMEOUT_S = 10.0  # of one read
_LONGEST_S = 30.0  # of all of it: who says a word now and then ends no read's time


def asked(
    url: str,
    tls: ssl.SSLContext,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    most: int = 0,
) -> tuple[int, bytes]:
    """Ask an address, with a body by POST; return the status and the answer's first bytes.

    Args:
        url: An http or https address. Nobody is followed elsewhere.
        tls: What certificates are taken.
        body: What is sent.
        headers: Sent with it.
        most: Bytes of the answer that are read.

    Raises:
        OSError, http.client.HTTPException, ValueError: If there is no answer.
    """
    at = urlsplit(url)
    target = (at.path or "/") + (f"?{at.query}" if at.query else "")
    with connected(at, tls) as line:
        kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
        link = kind(at.hostname or "", at.port)
        link.sock = line
        link.request("GET" if body is None else "POST", target, body, dict(headers or {}))
        answer = link.getresponse()
        return answer.status, answer.read(most) if most else b""


def connected(at: SplitResult, tls: ssl.SSLContext) -> AbstractContextManager[socket.socket]:
    """Lend a connection to the server of an address."""
    secure = at.scheme == "https"
    if not secure and at.scheme != "http":
        raise ValueError("no http or https address")
    return line(at.hostname or "", at.port or (443 if secure else 80), tls if secure else None)


@contextmanager
def line(host: str, port: int, tls: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """Lend a connection to a server, which is cut after half a minute whatever goes on on it."""
    with socket.create_connection((host, port), TIMEOUT_S) as plain, plain.dup() as same:
        cut = threading.Timer(_LONGEST_S, _cut, (same,))
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


def trusting(settings: Settings, ca_file: Path | None) -> ssl.SSLContext:
    """Return what certificates are taken: the system's authorities, or those of a file."""
    return ssl.create_default_context(
        cafile=None if ca_file is None else str(settings.resolve(ca_file))
    )


def _cut(plain: socket.socket) -> None:
    with suppress(OSError):  # it is closed already
        plain.shutdown(socket.SHUT_RDWR)
