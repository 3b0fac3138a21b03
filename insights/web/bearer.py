"""JSON Web Tokens of an identity provider: whose one is, if it is good. PyJWT's only door.

Only what the settings say decides: issuer, audience, algorithms, keys. Nothing of a token chooses
them (RFC 8725): a key that it carries or points to is not looked at, a shared secret is no key, and
an algorithm is taken only with a key of its kind.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import jwt
import structlog
from jwt.types import Options

from insights import errors
from insights.ground import environment, trust
from insights.site.settings import Settings
from insights.web import lines
from insights.web.guard import LASTS_S, Person, named

log = structlog.get_logger(__name__)

_LONGEST = 8_192  # characters of a token
_MOST = 262_144  # bytes of a key set
_FRESH_S = 600.0  # keys are looked for again after this long
_PATIENT_S = 30.0  # and at most this often for keys that are not known
_OK = 200
_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
_NEEDED: Options = {"require": ["exp", "iss", "aud", "sub"], "strict_aud": False}


class Keys:
    """A JSON Web Key Set, read again when it is old or a key is not in it.

    Args:
        read: Reads it, anew each time.
        clock: Tells seconds.
    """

    def __init__(
        self, read: Callable[[], bytes], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._known: list[dict[str, Any]] = []
        self._tried = self._fresh = float("-inf")

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of this name, if it can be one of this algorithm; None if there is none.

        Without a name there must be one such key alone.
        """
        with self._lock:
            if self._clock() - self._fresh > _FRESH_S:
                self._refresh()
            found = self._fitting(kid, algorithm)
            if not found:
                self._refresh()
                found = self._fitting(kid, algorithm)
        return jwt.PyJWK(found[0], algorithm) if len(found) == 1 else None

    def look(self) -> list[dict[str, Any]]:
        """Read the set now, whatever is known, and return it.

        Raises:
            errors.SettingsError: If it cannot be read, naming why and quoting nothing.
        """
        try:
            known = json.loads(self._read())["keys"]
            return [key for key in known if isinstance(key, dict)]
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as exc:
            raise errors.SettingsError(
                f"the keys cannot be read: {trust.why(exc)}",
                where="access.jwt.keys",
                fix="a JSON Web Key Set, a file or an https address; ca_file names an authority",
            ) from None

    def _fitting(self, kid: str | None, algorithm: str) -> list[dict[str, Any]]:
        return [
            key
            for key in self._known
            if (kid is None or key.get("kid") == kid)
            and key.get("kty") == _KINDS[algorithm[:2]]
            and key.get("alg", algorithm) == algorithm
            and key.get("use", "sig") == "sig"
            and key.get("crv") == _CURVES.get(algorithm)
            and not {"d", "k"} & key.keys()  # a private or shared one that somebody published
        ]

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._tried < _PATIENT_S:
            return
        self._tried = now
        try:
            known = json.loads(self._read())["keys"]
            self._known = [key for key in known if isinstance(key, dict)]
            self._fresh = now
        except (OSError, HTTPException, ValueError, KeyError, TypeError) as exc:
            # The former ones stay: a provider that is down for a while locks nobody out.
            log.warning("the keys of access.jwt cannot be read", reason=type(exc).__name__)


class Bearers:
    """Persons by the tokens of one issuer.

    Args:
        settings: The site's; `access.jwt` has an issuer.
        keys: Its keys; without them, those that the settings name.
    """

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self._settings = settings.access.jwt
        self._keys = keys or Keys(_reading(settings))

    def usable(self) -> int:
        """Read the issuer's keys now; return how many are of an algorithm that is taken.

        Raises:
            errors.SettingsError: If they cannot be read.
        """
        kinds = {_KINDS[one[:2]] for one in self._settings.algorithms}
        return sum(key.get("kty") in kinds for key in self._keys.look())

    def person(self, token: str) -> Person | None:
        """Return whose token this is; None if it is none that is good now."""
        try:
            return self._person(token)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as exc:
            log.info("a token was refused", reason=type(exc).__name__)
            return None

    def _person(self, token: str) -> Person | None:
        wanted = self._settings
        if len(token) > _LONGEST or not token.isascii():
            return None
        header = jwt.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in wanted.algorithms or "crit" in header:
            return None
        key = self._keys.find(kid, algorithm)
        if key is None:
            return None
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=wanted.audience,
            issuer=wanted.issuer,
            leeway=wanted.leeway,
            options=_NEEDED,
        )
        roles = frozenset(
            wanted.roles[group]
            for group in _groups(claims, wanted.roles_claim)
            if group in wanted.roles
        )
        name = claims.get(wanted.name_claim)
        if not roles or not isinstance(name, str) or not named(name):
            return None
        lasts_s = min(LASTS_S, claims["exp"] + wanted.leeway - time.time())
        return Person(name, roles, lasts_s)


def _groups(claims: Mapping[str, Any], path: str) -> list[str]:
    """Return the groups of a claim: a list of texts, or one text with spaces between."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, str):
        return found.split()
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _reading(settings: Settings) -> Callable[[], bytes]:
    keys = environment.reveal(settings.access.jwt.keys, "access.jwt.keys")
    if "://" not in keys:
        return settings.resolve(Path(keys)).read_bytes
    tls = lines.trusting(settings, settings.access.jwt.ca_file, "access.jwt")

    def read() -> bytes:
        status, body = lines.asked(keys, tls, most=_MOST + 1)
        if status != _OK or len(body) > _MOST:
            raise ValueError(f"status {status}")
        return body

    return read
