"""Doors: what accepts requests, and the job that forgets what they brought."""

import msgspec
import structlog

from insights import errors
from insights.doors.accepting import Doors, Entrance
from insights.doors.checking import fields_of
from insights.doors.telling import Told
from insights.model import INBOX, StreamSpec
from insights.service.daemon import Job
from insights.site import definitions
from insights.sources.intake_client import IntakeClient
from insights.store.inbox import Inbox
from insights.store.replies import Replies
from insights.wiring.app import App

log = structlog.get_logger(__name__)

_FORGET_EVERY_S = 30.0


def doors(app: App, actor: str = "insights serve", *, bounded: bool = False) -> Doors:
    """Return what every door submits to: the pipelines that follow a stream of the inbox.

    Args:
        app: The site.
        actor: Who the audit says cancelled a request: `insights` and a command.
        bounded: Its clients have budgets.
    """
    kept = Inbox(app.store, actor, key_version=app.hash_keys.version, bounded=bounded)
    return Doors(entrances(app), intake(app), kept)


def intake(app: App) -> IntakeClient:
    """Return what redacts; its child starts at the first call."""
    made = IntakeClient(
        app.hash_keys.key,
        hash_key_former=app.hash_keys.former,
        recognizer=app.recognizer,
        confined=app.settings.daemon.confine,
    )
    app.stack.callback(made.close)
    return made


def fields(app: App, pipeline: str) -> tuple[str, ...]:
    """Return the columns that a request for a pipeline must have."""
    return fields_of(entrances(app)[pipeline].stream)


def entrances(app: App) -> dict[str, Entrance]:
    """Return where requests for each pipeline go."""
    found: dict[str, Entrance] = {}
    for one in app.definitions.values():
        stream = app.settings.stream[one.stream.name]
        if stream.source == INBOX:
            found[one.name] = Entrance(
                one.name, _as_sent(app, one.stream.name), stream.keep, one.output_schema
            )
    return found


def _as_sent(app: App, name: str) -> StreamSpec:
    """Return a stream as its rows are sent: with the columns of all pipelines that follow it."""
    spec = definitions.followed_stream(app.settings, name)
    followers = (one.stream for one in app.definitions.values() if one.stream.name == name)
    inputs = {column for stream in followers for column in stream.inputs}
    extra = set(spec.extra) - inputs
    return msgspec.structs.replace(spec, inputs=tuple(sorted(inputs)), extra=tuple(sorted(extra)))


def inbox(app: App) -> Inbox:
    """Return the store's inbox, as a daemon looks after it."""
    return Inbox(app.store, app.holder, key_version=app.hash_keys.version)


def webhooks(app: App) -> dict[str, Told]:
    """Return who may be told outcomes over HTTP.

    Raises:
        errors.SettingsError: If one is for a pipeline that takes no requests.
    """
    known = entrances(app)
    for name, found in app.settings.webhook.items():
        if found.pipeline is not None and found.pipeline not in known:
            raise errors.SettingsError(
                f"the pipeline {found.pipeline!r} takes no requests",
                where=f"webhook.{name}.pipeline",
                fix="one that follows a stream of the inbox: "
                + (", ".join(sorted(known)) or "there is none"),
            )
    return {
        name: Told(name, found.pipeline, found.origin)
        for name, found in app.settings.webhook.items()
    }


def replies(app: App) -> Replies:
    """Return what is to be told, in the store."""
    return Replies(app.store)


def jobs(app: App) -> list[Job]:
    """Return the job that forgets fields, where there is a stream of the inbox."""
    if any(found.source == INBOX for found in app.settings.stream.values()):
        return [Forgetting(inbox(app))]
    return []


class Forgetting:
    """Deletes fields whose outcome was delivered, or whose time is over."""

    name = "forget requests"
    every_s = _FORGET_EVERY_S

    def __init__(self, kept: Inbox) -> None:
        self._inbox = kept

    def run_once(self) -> bool:
        """Forget what may be forgotten; True where there may be more."""
        if forgotten := self._inbox.forget():
            log.info("fields of requests forgotten", requests=forgotten)
        return forgotten > 0
