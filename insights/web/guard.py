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
from typing import Literal, get_args
from urllib.parse import urlsplit

import msgspec

from insights import errors

Role = Literal["viewer", "analyst", "operator"]

LASTS_S = 12 * 3_600.0  # a working day
_SHORTEST = 32  # characters of a token: `openssl rand -hex 32` has 64
_MOST = 200  # sessions; the oldest makes room
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Person(msgspec.Struct, frozen=True):
    """Whoever has a token: `analyst` sees texts, `operator` has buttons, all see numbers."""

    name: str
    roles: frozenset[Role]

    @property
    def actor(self) -> str:
        """What the audit calls them."""
        return f"page {self.name}"


class Session(msgspec.Struct, frozen=True):
    """A browser that gave a token; `secret` stands in the forms of its pages."""

    person: Person
    secret: str
    until: float


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


class Sessions:
    """Browsers that gave a token, in memory: they give it again when the daemon begins anew."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, person: Person) -> str:
        """Begin a session; return its name, which only that browser knows."""
        name = secrets.token_urlsafe(32)
        until = time.monotonic() + LASTS_S
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
        what = "a role is none of viewer, analyst and operator"
    elif len(token) < _SHORTEST:
        what = f"the token has fewer than {_SHORTEST} characters"
    if what:
        fix = 'a line is such as `anna analyst,operator TOKEN`, TOKEN of "openssl rand -hex 32"'
        raise errors.SettingsError(what, where=where, fix=fix)
    return Person(name, known), token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
