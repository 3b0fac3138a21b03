"""Connection strings by ODBC's own rules, and secrets encoded for where they are put.

A value that begins with a brace ends at the next single closing one; `}}` within it is a brace, and
`;` is text. See SQLDriverConnect, "Comments", in Microsoft's ODBC reference. Both psqlodbc and
MariaDB's driver take any value in that form; psqlodbc would decode `%41` and `+` in a bare one.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple
from urllib.parse import quote

Put = Literal["plain", "odbc", "store"]

PLACEHOLDER = re.compile(r"\$\{([A-Za-z0-9_.-]+)\}")
_KEPT = "\0{}\0"  # what a placeholder is while its own braces are in the way
_KEPT_AGAIN = re.compile("\0([^\0]+)\0")
_CREDENTIAL = re.compile(r"\{?\$\{[A-Za-z0-9_.-]+\}\}?")
PASSWORDS = frozenset({"pwd", "password", "passwd"})  # what drivers call a login's password
_ATTRIBUTE = re.compile(
    r"""\s*(?P<key>[^=;{}]*?)\s*=
    (?: \s*\{(?P<braced>(?:[^}]|\}\})*)\}\s*(?=;|$) | (?P<bare>[^;]*) )""",
    re.VERBOSE,
)


class Attribute(NamedTuple):
    """One `key=value` of a connection string: the value without its quoting, and all as written."""

    key: str
    value: str
    raw: str

    @property
    def is_credential(self) -> bool:
        """Whether the value is one `${name}`, in braces or not."""
        return _CREDENTIAL.fullmatch(self.raw.partition("=")[2].strip()) is not None


def attributes(odbc: str) -> Iterator[Attribute]:
    """Yield the attributes of a connection string; text that is none has no key."""
    at = 0
    while at < len(odbc):
        match = _ATTRIBUTE.match(odbc, at)
        if match is None:
            end = odbc.find(";", at)
            end = len(odbc) if end < 0 else end
            if text := odbc[at:end].strip():
                yield Attribute("", text, odbc[at:end])
        else:
            end = match.end()
            braced = match["braced"]
            value = match["bare"].strip() if braced is None else braced.replace("}}", "}")
            yield Attribute(match["key"], value, match.group())
        at = end + 1


def credential_of(odbc: str) -> str:
    """Return the credential that a connection string has its password from; empty for none."""
    for part in attributes(PLACEHOLDER.sub(lambda match: _KEPT.format(match[1]), odbc)):
        if part.key.casefold() in PASSWORDS and (found := _KEPT_AGAIN.search(part.raw)):
            return found[1]
    return ""


def quoted(value: str) -> str:
    """Return a value in braces, as it may stand in a connection string whatever it holds."""
    return "{" + value.replace("}", "}}") + "}"


def without_password(odbc: str, credential: str) -> tuple[str, bool]:
    """Return a connection string with a placeholder for its password; tell whether it had one."""
    found = False
    parts = []
    for part in attributes(odbc):
        if part.key.casefold() in PASSWORDS and part.value and not part.is_credential:
            found = True
            parts.append(f"{part.key}=${{{credential}}}")
        else:
            parts.append(part.raw)
    return ";".join(parts), found


def with_password(text: str, password: str, put: Put) -> str:
    """Return a connection string with this password, in the place of any that it had."""
    if put == "odbc":
        parts = [p.raw for p in attributes(text) if p.key.casefold() not in PASSWORDS]
        return ";".join([*parts, f"PWD={quoted(password)}"])
    if "://" not in text:
        return f"{text} password={_in_keywords(password)}"  # libpq takes the last
    address, _, query = text.partition("?")
    kept = [part for part in query.split("&") if part and not part.startswith("password=")]
    return f"{address}?{'&'.join([*kept, f'password={_in_url(password)}'])}"


def filled(text: str, secret: Callable[[str], str], put: Put) -> str:
    """Return a text with each `${name}` replaced by its secret, encoded for where it stands.

    In an ODBC string the whole value is put in braces, in the store's URL a secret is
    percent-encoded, in its keyword form quoted. A text that is one placeholder is that secret.
    """
    if put == "plain" or PLACEHOLDER.fullmatch(text.strip()):
        return PLACEHOLDER.sub(lambda match: secret(match[1]), text)
    if put == "store":
        encode = _in_url if "://" in text else _in_keywords
        return PLACEHOLDER.sub(lambda match: encode(secret(match[1])), text)
    kept = PLACEHOLDER.sub(lambda match: _KEPT.format(match[1]), text)
    parts = []
    for part in attributes(kept):
        if not _KEPT_AGAIN.search(part.raw):
            parts.append(part.raw)
            continue
        value = _KEPT_AGAIN.sub(lambda match: secret(match[1]), part.value)
        parts.append(f"{part.key}={quoted(value)}" if part.key else value)
    return ";".join(parts)


def _in_url(secret: str) -> str:
    return quote(secret, safe="")


def _in_keywords(secret: str) -> str:
    """Quote as libpq's `keyword = value` form asks for."""
    return "'" + secret.replace("\\", "\\\\").replace("'", "\\'") + "'"
