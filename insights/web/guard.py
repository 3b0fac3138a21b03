"""Who may see and do what on the status page: tokens, sessions, and requests of our own pages only.

A browser runs the pages of strangers too. They can send it here, by a name that they let point to
127.0.0.1 (DNS rebinding) or by a form of theirs: so every request must name this host, every
change must come from a page of this origin, with the secret of its session.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol, get_args
from urllib.parse import urlsplit

import msgspec

from insights import errors
from insights.governance.access import WebRole as Role

LASTS_S = 12 * 3_600.0  # a working day
_SHORTEST = 32  # characters of a token: `openssl rand -hex 32` has 64
_MOST = 200  # sessions; the oldest makes room
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_FOREIGN_NAME = re.compile(
    r"[\x21-\x7e]{1,128}"
)  # of an identity provider: `auth0|5f`, a mail address
_DOTS = 2  # between the three parts of a JSON Web Token
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Person(msgspec.Struct, frozen=True):
    """Whoever has a token, and for how many seconds from now; `governance.access` says what of."""

    name: str
    roles: frozenset[Role]
    lasts_s: float = LASTS_S

    @property
    def actor(self) -> str:
        """What the audit calls them."""
        return f"page {self.name}"


class Session(msgspec.Struct, frozen=True):
    """A browser that gave a token; `secret` stands in the forms of its pages."""

    person: Person
    secret: str
    until: float


class Knows(Protocol):
    """What knows persons by a token of theirs."""

    def person(self, token: str) -> Person | None:
        """Return whose token this is; None if it is nobody's."""
        ...


class Tokens:
    """The credential `page_tokens`: a line `NAME ROLE[,ROLE] TOKEN` for each person.

    Args:
        text: The credential; empty: nobody has one, and the page has numbers only.

    Raises:
        errors.SettingsError: Naming the line that is wrong, and nothing of what it says.
    """

    def __init__(self, text: str) -> None:
        self._people: dict[bytes, Person] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                person, token = _parsed(line.split(), f"page_tokens, line {number}")
                self._people[_digest(token)] = person

    def __bool__(self) -> bool:
        return bool(self._people)

    def person(self, token: str) -> Person | None:
        """Return whose token this is. Digests are compared, so that time tells nothing of it."""
        found = None
        given = _digest(token)
        for digest, person in self._people.items():
            if hmac.compare_digest(digest, given):
                found = person
        return found


class People:
    """All who may come: those with a line in the credential, and whoever an issuer's token names.

    A token of the credential is no JSON Web Token, so that neither door opens the other.

    Args:
        tokens: The credential's.
        bearers: Of an identity provider; None without one.
    """

    def __init__(self, tokens: Tokens, bearers: Knows | None = None) -> None:
        self._tokens = tokens
        self._bearers = bearers
        self._sealing = secrets.token_bytes(32)

    def __bool__(self) -> bool:
        return bool(self._tokens) or self._bearers is not None

    def person(self, token: str) -> Person | None:
        """Return whose token this is. It may take the time of asking for the issuer's keys."""
        found = self._tokens.person(token)
        if found is None and self._bearers is not None and token.count(".") == _DOTS:
            found = self._bearers.person(token)
        return found

    def session(self, token: str) -> Session | None:
        """Return the session of a request that brings its token: its forms bear the same secret."""
        person = self.person(token)
        if person is None:
            return None
        secret = hmac.new(self._sealing, person.name.encode(), hashlib.sha256).hexdigest()
        return Session(person, secret, time.monotonic() + person.lasts_s)


class Sessions:
    """Browsers that gave a token, in memory: they give it again when the daemon begins anew."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, person: Person) -> str:
        """Begin a session; return its name, which only that browser knows."""
        name = secrets.token_urlsafe(32)
        until = time.monotonic() + person.lasts_s
        self._open[name] = Session(person, secrets.token_urlsafe(32), until)
        while len(self._open) > _MOST:
            self._open.popitem(last=False)
        return name

    def find(self, name: str) -> Session | None:
        """Return a session that goes on."""
        found = self._open.get(name)
        if found is not None and found.until < time.monotonic():
            del self._open[name]
            return None
        return found

    def end(self, name: str) -> None:
        """End a session."""
        self._open.pop(name, None)


def is_ours(host: str, names: Sequence[str]) -> bool:
    """Tell whether a request's `Host` is this one, by whatever port.

    Args:
        host: The header, such as `127.0.0.1:9188`.
        names: Further names, in lower case.
    """
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is not None and (name in _LOOPBACK or name in names)


def is_from_ours(headers: Mapping[str, str]) -> bool:
    """Tell whether a browser sends this from a page of the same origin, by what it says itself."""
    site = headers.get("sec-fetch-site", "same-origin")
    origin = headers.get("origin", "")
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        return False
    return site == "same-origin" and bool(place) and place == headers.get("host")


def named(name: str) -> bool:
    """Tell whether an identity provider's name for a person can stand in the audit."""
    return _FOREIGN_NAME.fullmatch(name) is not None


def same(one: str, other: str) -> bool:
    """Compare two secrets."""
    return hmac.compare_digest(one.encode(), other.encode())


def _parsed(words: Sequence[str], where: str) -> tuple[Person, str]:
    what = ""
    name, roles, token = words if len(words) == len(("name", "roles", "token")) else ("", "", "")
    known = frozenset(role for role in get_args(Role) if role in roles.split(","))
    if not name:
        what = "it is not a name, roles and a token with spaces between"
    elif not _NAME.fullmatch(name):
        what = "the name has other characters than letters, digits and _.@-"
    elif len(known) != len(roles.split(",")):
        what = f"a role is none of {', '.join(get_args(Role))}"
    elif len(token) < _SHORTEST:
        what = f"the token has fewer than {_SHORTEST} characters"
    if what:
        fix = 'a line is such as `anna analyst,operator TOKEN`, TOKEN of "openssl rand -hex 32"'
        raise errors.SettingsError(what, where=where, fix=fix)
    return Person(name, known), token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
