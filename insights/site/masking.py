"""Settings as they may leave the house: without a secret, a login's name or a person's value.

Connection strings keep the attributes that are known to be harmless and lose the values of all
others; SQL that a person wrote loses its literals; lists of persons' words become their number.
"""

import contextlib
import re
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from insights.ground import connections
from insights.site.settings import Settings

HIDDEN = "***"

_HARMLESS = re.compile(
    r"driver|dsn|server(name)?|host(name)?|address|port|service|database|db|dbname|dbq|charset"
    r"|sslmode|encrypt|trustservercertificate|readonly|usedeclarefetch|fetch|boolsaschar|protocol"
    r"|useserversideprepare|applicationintent|multisubnetfailover|connect_timeout",
    re.IGNORECASE,
)
_SQL = frozenset({"where", "query"})
_WORDS = frozenset({"allow", "deny", "patterns"})  # of redaction: they may be people's names
_KEYS = frozenset({"api_key", "secret", "password", "user"})
_PERSONS = frozenset({"to", "from"})  # of mail, which are people's addresses
_COMMANDS = frozenset({"anchor_command"})  # an argument may be a token
_LITERAL = re.compile(r"'(?:[^']|'')*(?:'|\Z)|\"(?:[^\"]|\"\")*(?:\"|\Z)|\b\d+(?:\.\d+)?\b")
_KEYWORD = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)")


def masked(settings: Settings) -> dict[str, Any]:
    """Return all settings, pipelines too, as plain data in which nothing secret is left."""
    found: dict[str, Any] = _masked("", settings.model_dump(mode="json", by_alias=True))
    found["pipeline"] = {
        name: _masked("", made.model_dump(mode="json", by_alias=True))
        for name, made in settings.pipeline.items()
    }
    return found


def literal_secrets(settings: Settings) -> frozenset[str]:
    """Return the passwords that stand in the settings: the environment may bring some."""
    found = {
        part.value
        for source in settings.source.values()
        for part in connections.attributes(source.odbc)
        if part.key.casefold() in connections.PASSWORDS and not part.is_credential
    }
    url = settings.store.url or ""
    with contextlib.suppress(ValueError):  # it is no address
        password = urlsplit(url).password or ""
        found |= {password, unquote(password)}
    found |= {value.strip("'") for key, value in _KEYWORD.findall(url) if key == "password"}
    return frozenset(word for word in found if word and not connections.PLACEHOLDER.search(word))


def _masked(key: str, value: Any) -> Any:  # noqa: ANN401 - whatever a setting may be
    if key in _WORDS and value:
        return f"{len(value)} of them"
    if key in _COMMANDS and value:
        return f"{value[0]} with {len(value) - 1} arguments"
    if isinstance(value, dict):
        return {name: _masked(name, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(key, one) for one in value]
    return _text(key, value) if isinstance(value, str) else value


def _text(key: str, value: str) -> str:
    if key == "odbc":
        return ";".join(map(_attribute, connections.attributes(value)))
    if key in _KEYS:
        return _credential(value)
    if key in _PERSONS and "@" in value:
        return HIDDEN
    if key in _SQL:
        return _LITERAL.sub(HIDDEN, value)
    return _address(value) if "://" in value or key == "url" else value


def _attribute(part: connections.Attribute) -> str:
    written = part.raw.partition("=")[2].strip()
    if _HARMLESS.fullmatch(part.key):
        return f"{part.key}={written}"
    shown = written if part.is_credential else HIDDEN
    return f"{part.key}={shown}" if part.key else shown


def _credential(value: str) -> str:
    """Return a value that only names a credential, or none."""
    return value if connections.Attribute("", "", f"={value}").is_credential else HIDDEN


def _address(url: str) -> str:
    """Return an address without who goes there and what is asked: not its user, nor its query."""
    if "://" not in url:
        return " ".join(
            f"{key}={value if _HARMLESS.fullmatch(key) else HIDDEN}"
            for key, value in _KEYWORD.findall(url)
        )
    try:
        found = urlsplit(url)
    except ValueError:
        return HIDDEN
    login, _, host = found.netloc.rpartition("@")
    where = f"{HIDDEN}@{host}" if login else host
    query = HIDDEN if found.query else ""
    return urlunsplit((found.scheme, where, found.path, query, ""))
