"""Which machines a site's settings name: what its service has to reach."""

import re
from collections.abc import Iterator
from itertools import chain
from urllib.parse import parse_qs, unquote, urlsplit

from insights.ground import connections
from insights.site.settings import Settings

# Whatever drivers call it: SQL Server, PostgreSQL, MariaDB; Db2, Informix; Oracle's DBQ.
_SERVER = frozenset(
    {"server", "servername", "host", "hostname", "address", "addr", "dbq", "dbalias"}
)
_KEYWORD = re.compile(r"\bhost(?:addr)?\s*=\s*'?([^\s']+)")
_PLACE = re.compile(r"^(?:tcp:|np:)?(?://)?\[?(?P<host>[0-9a-fA-F:]{3,}(?=\])|[^\s,:/\\\]]+)")


def hosts(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield each setting that leads to a machine, and the machine's name or address.

    The name is empty where the setting does not tell: a DSN, a whole string that is a credential.
    """
    if settings.store.url is not None:
        for host in _store(settings.store.url):
            yield "store.url", host
    for name, source in settings.source.items():
        for host in _odbc(source.odbc):
            yield f"source.{name}.odbc", host
    models = ((f"model.{name}", one.url, one.proxy) for name, one in settings.model.items())
    vectors = ((where, one.url, one.proxy) for where, one in settings.embedding.servers())
    hooks = ((f"webhook.{name}", one.url, None) for name, one in settings.webhook.items())
    queues = ((f"queue.{name}.url", one.url, None) for name, one in settings.queue.items())
    alerts, keys = settings.alerts, settings.access.jwt.keys
    about = [
        ("traces.endpoint", settings.traces.endpoint, None),
        ("access.jwt.keys", keys if "://" in keys else None, None),
        ("alerts.webhook.url", alerts.webhook.url, None),
        ("alerts.heartbeat", alerts.heartbeat, None),
        ("alerts.mail.server", f"smtp://{alerts.mail.server}" if alerts.mail.to else None, None),
    ]
    for where, *addresses in chain(models, vectors, hooks, queues, about):
        for address in filter(None, addresses):
            yield where, urlsplit(address).hostname or ""


def _store(url: str) -> Iterator[str]:
    if "://" not in url:
        found = [host for match in _KEYWORD.findall(url) for host in match.split(",")]
    else:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        listed = [*query.get("host", []), *query.get("hostaddr", [])]
        machines = parts.netloc.rpartition("@")[2]
        found = [unquote(one) for text in (machines, *listed) for one in text.split(",") if one]
    places = [host for host in found if not host.startswith("/")]  # a directory of sockets
    yield from (_bare(place) for place in places)
    if not found:
        yield ""


def _odbc(odbc: str) -> Iterator[str]:
    attributes = {part.key.casefold(): part.value for part in connections.attributes(odbc)}
    if "sqlite" in attributes.get("driver", "").casefold():
        return
    named = [value for key, value in attributes.items() if key in _SERVER and value]
    if not named:
        yield ""
    yield from (_bare(named_) for named_ in named if named_[:2] == "//" or named_[:1] != "/")


def _bare(place: str) -> str:
    """Return the host of `tcp:host,1433`, `//host:1521/service`, `[::1]:5432`."""
    match = _PLACE.match(place)
    return match["host"] if match is not None and "$" not in match["host"] else ""
