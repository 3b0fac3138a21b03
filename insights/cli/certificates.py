"""What `insights doctor` says of certificates: those in files, and those that servers show."""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from insights.model import Finding
from insights.site.settings import Settings

_SOON = dt.timedelta(days=30)
_FILES = ("ca_file", "client_cert")
_OF_STORE = {"sslrootcert": "ca_file", "sslcert": "client_cert"}  # as libpq calls them
_DEFAULT = "system"  # of sslrootcert: the system's authorities


def findings(settings: Settings) -> Iterator[tuple[str, Finding]]:
    """Yield the settings that name a file of certificates, and how each file stands."""
    for where, kind, file in _named(settings):
        yield where, of_file(file, authorities=kind == "ca_file")


def of_file(file: Path, *, authorities: bool) -> Finding:
    """Say until when a file's certificates are valid.

    Args:
        file: PEM, with a private key or without.
        authorities: Any one of them suffices; else all of them are shown together.
    """
    from insights.governance.certificates import dates  # noqa: PLC0415 - it loads cryptography

    try:
        found = dates(file.read_bytes())
    except OSError as exc:
        what = f"{file} cannot be read: {exc.strerror or type(exc).__name__}"
        return Finding("error", what, "name another, or let this user read it")
    except ValueError:
        fix = "PEM: -----BEGIN CERTIFICATE-----"
        return Finding("error", f"{file} has no certificate that can be read", fix)
    now = dt.datetime.now(dt.UTC)
    early = [one for one in found if one.begin > now]
    over = [one for one in found if one.end <= now]
    if early and (len(early) == len(found) or not authorities):
        day = max(one.begin for one in early)
        return Finding("error", f"{file} is valid from {day:%Y-%m-%d} on", "look at the clock")
    if over and len(over) < len(found) and authorities:
        what = f"{file}: {len(over)} of {len(found)} authorities are over"
        return Finding("warning", what, "take them out, or renew them")
    return until(str(file), min(one.end for one in found))


def until(what: str, end: dt.datetime) -> Finding:
    """Say until when something is valid."""
    left = end - dt.datetime.now(dt.UTC)
    fix = "renew it"
    if left <= dt.timedelta(0):
        return Finding("error", f"{what}: its certificate is over since {end:%Y-%m-%d}", fix)
    said = f"{what}: its certificate is valid until {end:%Y-%m-%d}"
    if left < _SOON:
        return Finding("warning", f"{said}, {left.days} days from now", fix)
    return Finding("ok", said)


def _named(settings: Settings) -> Iterator[tuple[str, str, Path]]:
    """Yield setting, kind and file of each that the settings name."""
    for where, kind, file in _below("", settings.model_dump()):
        yield where, kind, settings.resolve(file)
    if settings.store.url is not None and "://" in settings.store.url:
        query = parse_qs(urlsplit(settings.store.url).query)
        for name, kind in _OF_STORE.items():
            for said in query.get(name, ()):
                if said != _DEFAULT:
                    yield f"store.url {name}", kind, Path(said)


def _below(where: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str, Path]]:
    for name, value in found.items():
        at = f"{where}.{name}" if where else name
        if isinstance(value, Mapping):
            yield from _below(at, value)
        elif name in _FILES and value is not None:
            yield at, name, Path(value)
