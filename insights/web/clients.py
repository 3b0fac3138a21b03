"""Who may send to the HTTP door, and what: tokens with scopes, in a file that the service reads."""

import hashlib
import hmac
import re
from collections.abc import Sequence

import msgspec

from insights import errors
from insights.web.guard import Knows, Person

_SHORTEST = 32  # characters of a token: `openssl rand -hex 32` has 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
_SCOPE = re.compile(r"read|operate|submit:(?:\*|[a-z][a-z0-9_]{0,62})")
_PARTS = 3
_DOTS = 2  # of a JSON Web Token
_GIVES = {"submitter": ("submit:*", "read"), "operator": ("read", "operate")}


class Client(msgspec.Struct, frozen=True):
    """Whoever has a token."""

    name: str
    scopes: frozenset[str]

    @property
    def reads(self) -> bool:
        """Whether outcomes may be shown to them."""
        return not self.scopes.isdisjoint({"read", "operate"})

    @property
    def operates(self) -> bool:
        """Whether they may cancel what others sent."""
        return "operate" in self.scopes

    def submits(self, pipeline: str) -> bool:
        """Tell whether they may send rows for a pipeline."""
        return not self.scopes.isdisjoint({"submit:*", f"submit:{pipeline}"})


class Clients:
    """The credential `door_tokens`: a line `NAME SCOPE[,SCOPE] TOKEN` for each client.

    Beside them whoever an identity provider's token names: the role `submitter` may send for every
    pipeline and read, `operator` may read and operate. Their names begin with `jwt:`, so that
    nobody of them is taken for a client of the credential.

    Args:
        text: The credential.
        bearers: Knows whose an identity provider's token is; None without one.

    Raises:
        errors.SettingsError: If there is nobody, or naming the line that is wrong and nothing of
            what it says.
    """

    def __init__(self, text: str, bearers: Knows | None = None) -> None:
        self._bearers = bearers
        self._clients: dict[bytes, Client] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                client, token = _parsed(line.split(), f"door_tokens, line {number}")
                self._clients[_digest(token)] = client
        if not self._clients and bearers is None:
            raise errors.SettingsError(
                "nobody has a token for the HTTP door",
                where="door_tokens",
                fix="a credential with a line a client: `erp submit:triage,read TOKEN`, TOKEN of "
                '"openssl rand -hex 32"',
            )

    def __len__(self) -> int:
        return len(self._clients)

    def known(self, authorization: str) -> Client | None:
        """Return whose of the credential this `Authorization` header is; it asks nobody.

        Digests are compared, all of them, so that time tells nothing of a token.
        """
        scheme, _, token = authorization.partition(" ")
        found = None
        given = _digest(token.strip())
        for digest, client in self._clients.items():
            if hmac.compare_digest(digest, given):
                found = client
        return found if scheme.casefold() == "bearer" else None

    def may_ask(self, authorization: str) -> bool:
        """Tell whether an identity provider may know of whom this `Authorization` header is."""
        scheme, _, token = authorization.partition(" ")
        named = scheme.casefold() == "bearer" and token.count(".") == _DOTS
        return named and self._bearers is not None

    def client(self, authorization: str) -> Client | None:
        """Return whose `Authorization` header this is; it may take asking for the issuer's keys."""
        found = self.known(authorization)
        if found is None and self._bearers is not None and self.may_ask(authorization):
            person = self._bearers.person(authorization.partition(" ")[2].strip())
            found = None if person is None else _client(person)
        return found


def _client(person: Person) -> Client | None:
    scopes = {scope for role in person.roles for scope in _GIVES.get(role, ())}
    return Client(f"jwt:{person.name}", frozenset(scopes)) if scopes else None


def _parsed(words: Sequence[str], where: str) -> tuple[Client, str]:
    what = ""
    name, scopes, token = words if len(words) == _PARTS else ("", "", "")
    if not name:
        what = "it is not a name, scopes and a token with spaces between"
    elif not _NAME.fullmatch(name):
        what = "the name has other characters than letters, digits and _.@-"
    elif not all(map(_SCOPE.fullmatch, scopes.split(","))):
        what = "a scope is none of read, operate, submit:<pipeline> and submit:*"
    elif len(token) < _SHORTEST:
        what = f"the token has fewer than {_SHORTEST} characters"
    if what:
        fix = 'a line is such as `erp submit:triage,read TOKEN`, TOKEN of "openssl rand -hex 32"'
        raise errors.SettingsError(what, where=where, fix=fix)
    return Client(name, frozenset(scopes.split(","))), token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
