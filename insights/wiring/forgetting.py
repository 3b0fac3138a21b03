"""Forgetting: the job that goes on with it in every daemon, and the look for what is left."""

import msgspec
import structlog

from insights import errors
from insights.site.settings import Settings
from insights.store.forgetting import Forgetting
from insights.store.proof import Place, Proof, is_telling
from insights.wiring.adapters import open_sink, open_store
from insights.wiring.app import App

log = structlog.get_logger(__name__)


class Forgets:
    """Takes each forgetting on, until every sink has said that it shows the row no more."""

    name = "forget"
    every_s = 2.0

    def __init__(self, app: App) -> None:
        self._forgetting = Forgetting(app.store)

    def run_once(self) -> bool:
        """Do one step of each; True where more may follow at once."""
        return self._forgetting.go_on()


class Retains:
    """Takes away what is older than the settings keep it, under a lease: one daemon does it."""

    name = "retention"
    batch = 100  # rows a round; each is forgotten in a transaction of its own

    def __init__(self, app: App) -> None:
        self._kept = app.settings.retention
        self._leases = app.leases
        self._fed = {name: fed_by(app.settings, name) for name in app.settings.stream}
        self._forgetting = Forgetting(app.store)
        self.every_s = self._kept.every

    def run_once(self) -> bool:
        """Do one round; True where more rows are too old.

        Raises:
            errors.StoreError: If the daemon's login was not given the role for it.
        """
        if self._leases.take(self.name) is None:
            return False
        try:
            return self._round()
        except errors.AccessDenied as exc:
            raise errors.StoreError(
                "the settings name ages, and this login may not take anything away",
                where="retention",
                fix="a superuser runs sql/grants/store_retention.sql, then GRANT "
                "insights_retention TO insights_daemon; or take [retention] out",
            ) from exc

    def _round(self) -> bool:
        if self._kept.audit is not None and (sealed := self._forgetting.seal(self._kept.audit)):
            log.info("events sealed", events=sealed)
        gone = old = 0
        if self._kept.deleted_rows is not None:
            gone = self._forgetting.expire(self._kept.deleted_rows, self.batch, self._fed)
        if gone:
            log.info("rows forgotten by age", rows=gone)
        if self._kept.insights is not None:
            old = self._forgetting.expire_insights(self._kept.insights, self.batch)
        if old:
            log.info("insights gone by age", insights=old)
        return self.batch in (gone, old)


class Sought(msgspec.Struct, frozen=True):
    """A row that is looked for: by its key, and by words of it."""

    stream: str
    key: str
    texts: tuple[str, ...] = ()


class Proved(msgspec.Struct, frozen=True):
    """Where was looked, and what that does not tell."""

    places: list[Place]
    notes: list[str]


def fed_by(settings: Settings, stream: str) -> list[str]:
    """Return the collections whose documents are rows of a stream."""
    return [name for name, found in settings.collection.items() if found.stream == stream]


def look_for(settings: Settings, sought: Sought, login: str | None) -> Proved:
    """Look for a row in the store and in every sink; change nothing."""
    with open_store(settings, login) as store:
        proof = Proof(store)
        places = proof.look(
            sought.stream, sought.key, fed_by(settings, sought.stream), sought.texts
        )
    shows = {
        found.sink: found.stream == sought.stream
        for found in settings.pipeline.values()
        if found.sink is not None
    }
    emptied = 0
    for name, of_stream in shows.items():
        if not of_stream and not sought.texts:
            continue
        with open_sink(settings, name) as sink:
            held = sink.holds(sought.key if of_stream else None, sought.texts)
        places += [Place(f"sink {name}", held.rows)] if of_stream else []
        places += [Place(f"sink {name}, by words", held.texts)] if sought.texts else []
        emptied += held.emptied
    return Proved(places, _notes(sought, emptied))


def _notes(sought: Sought, emptied: int) -> list[str]:
    notes = []
    if emptied:
        notes.append(
            f"{emptied} emptied row of a sink has the key, and keeps late writes from showing more."
        )
    if not is_telling(sought.key):
        notes.append("The key was looked for where keys stand: it is too short to tell elsewhere.")
    if not sought.texts:
        notes.append("No words of the row were looked for: --text.")
    notes.append("Not looked at: the legacy table, backups, logs, the memory of daemons.")
    return notes
