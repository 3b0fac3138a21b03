"""TLS to other servers: what certificates are taken, what is shown, until when theirs is valid."""

import datetime as dt
import socket
import ssl
from pathlib import Path

from insights import errors


def context(
    ca_file: Path | None, client_cert: Path | None = None, *, where: str = ""
) -> ssl.SSLContext:
    """Return what TLS is spoken with.

    Args:
        ca_file: Whose certificates are taken; None for the system's authorities.
        client_cert: What is shown, with its key; None for nothing.
        where: The section of the settings.

    Raises:
        errors.SettingsError: If a file is none of these.
    """
    key, file = "ca_file", ca_file
    try:
        made = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        if client_cert is not None:
            key, file = "client_cert", client_cert
            made.load_cert_chain(str(client_cert))
    except OSError as exc:  # ssl.SSLError is one
        said = "it is no PEM file, or its key is another's"
        if not isinstance(exc, ssl.SSLError):
            said = (exc.strerror or type(exc).__name__).lower()
        raise errors.SettingsError(
            f"{file} cannot be used: {said}",
            where=f"{where}.{key}" if where else key,
            fix="a PEM file that this user may read; client_cert has its key, too",
        ) from None
    return made


def ends(way: socket.socket) -> dt.datetime | None:
    """Return until when the certificate is valid that the other side showed; None without TLS."""
    shown = way.getpeercert() if isinstance(way, ssl.SSLSocket) else None
    if not shown:
        return None
    return dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), dt.UTC)


def why(exc: Exception) -> str:
    """Say why there is no connection, without what libraries quote."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not taken ({exc.verify_message})"
    return type(exc).__name__
