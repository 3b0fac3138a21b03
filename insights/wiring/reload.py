"""Changed settings of a running daemon: checked as a start would, before anything is given up."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from insights import errors
from insights.ground import environment
from insights.polling.courtesy import Courtesy
from insights.site import definitions
from insights.site.files import load
from insights.site.settings import Settings
from insights.wiring import budgets
from insights.wiring.adapters import open_store
from insights.wiring.app import App, check_store, refuse_without_pipeline

_AT_ONCE = re.compile(r"log\.(level|format)|stream\.[a-z0-9_]+\.quiet_hours")
_NAMED = 2  # levels of a setting's name: `daemon.batch`; one more below `stream.<name>`
_SECTIONS = {"source", "stream", "collection", "model", "door", "sink", "budget"}


class Changes(NamedTuple):
    """What differs from the settings that the daemon works with, by name."""

    settings: Settings
    at_once: list[str]
    anew: list[str]


def look(path: Path, app: App, roles: Sequence[str]) -> Changes:
    """Read the settings anew, check all that a start would refuse, and tell what differs.

    Nothing is registered, deployed or loaded. A model's file is looked for and not read: its hash
    is checked where it is loaded, and a wrong one stops its pipelines alone.

    Raises:
        errors.InsightsError: Why a daemon would not start with them, or not with all pipelines.
    """
    _same_program(app)
    settings = load(path)
    with ExitStack() as stack:
        store = app.store
        if settings.store.url != app.settings.store.url:
            store = stack.enter_context(open_store(settings))
        found = App(settings, store, stack)
        _check(found, roles)
        changed = sorted({*_differing(app.settings, settings), *_pipelines(app, found)})
    at_once = [name for name in changed if _AT_ONCE.fullmatch(name)]
    return Changes(settings, at_once, [name for name in changed if name not in at_once])


def apply(app: App, settings: Settings) -> None:
    """Apply what needs no new beginning."""
    for name, courtesies in app.courtesies.items():
        for courtesy in courtesies:
            courtesy.keep_quiet(settings.stream[name].quiet_hours)
    app.settings = settings


def _same_program(app: App) -> None:
    """Refuse where the program was replaced: it may not fit the store.

    Raises:
        errors.SettingsError: If so.
    """
    now = metadata.version("legacy-insights")
    if now != app.version:
        raise errors.SettingsError(
            f"the program is {now} by now, and this daemon {app.version}",
            where="reload",
            fix="restart the daemon, as docs/operations.md says of upgrades",
        )


def _check(found: App, roles: Sequence[str]) -> None:
    settings = found.settings
    readable = found.definitions  # reading them fills `unreadable`
    if found.unreadable:
        raise next(iter(found.unreadable.values()))
    if not readable and "enrich" in roles:
        raise refuse_without_pipeline(found)
    for name, source in settings.source.items():
        environment.reveal(source.odbc, f"source.{name}.odbc", "odbc")
    for name, stream in settings.stream.items():
        _quiet(name, stream.quiet_hours)
    for where, value in _credentials(settings):
        environment.reveal(value, where)
    for name, model in settings.model.items():
        if model.path is not None and not settings.resolve(model.path).is_file():
            raise errors.ModelError("there is no such file", where=f"model.{name}.path")
    for name, pipeline in settings.pipeline.items():
        if pipeline.adapter is not None and not pipeline.adapter.path.is_file():
            raise errors.ModelError("there is no such file", where=f"pipeline.{name}.adapter.path")
    budgets.check(settings)
    check_store(found)


def _credentials(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield every setting beside a source's that may name a credential, and what it says."""
    for name, model in settings.model.items():
        yield f"model.{name}.api_key", model.api_key or ""
        yield f"model.{name}.proxy", model.proxy or ""
    for where, server in settings.embedding.servers():
        yield f"{where}.api_key", server.api_key or ""
        yield f"{where}.proxy", server.proxy or ""
    for name, hook in settings.webhook.items():
        yield f"webhook.{name}.secret", hook.secret
    yield "traces.api_key", settings.traces.api_key or ""
    alerts = settings.alerts
    yield "alerts.webhook.url", alerts.webhook.url
    yield "alerts.webhook.secret", alerts.webhook.secret or ""
    yield "alerts.mail.password", alerts.mail.password or ""
    yield "alerts.heartbeat", alerts.heartbeat


def _quiet(stream: str, hours: str | None) -> None:
    try:
        Courtesy(quiet_hours=hours)
    except errors.SettingsError as exc:
        raise errors.SettingsError(exc.what, where=f"stream.{stream}", fix=exc.fix) from exc


def _pipelines(former: App, found: App) -> Iterator[str]:
    """Yield the pipelines whose own settings, prompt or schema differ."""
    names = {*former.settings.pipeline, *found.settings.pipeline}
    for name in names:
        if _facts(former, name) != _facts(found, name):
            yield f"pipeline.{name}"


def _facts(app: App, name: str) -> object:
    made = app.definitions.get(name)
    if made is None:
        return None
    return made.settings, definitions.version(app.settings, made, "")[0]


def _differing(former: Settings, found: Settings) -> Iterator[str]:
    yield from _names("", former.model_dump(mode="json"), found.model_dump(mode="json"))


def _names(prefix: str, former: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of settings that differ, such as `daemon.batch` and `stream.ticket.key`."""
    parts = prefix.count(".")
    deepest = _NAMED + (prefix.partition(".")[0] in _SECTIONS)
    for name in {*former, *found}:
        old, new = former.get(name), found.get(name)
        if old == new:
            continue
        if parts + 1 < deepest and isinstance(old, dict) and isinstance(new, dict):
            yield from _names(f"{prefix}{name}.", old, new)
        else:
            yield f"{prefix}{name}"
