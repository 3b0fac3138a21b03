"""What single commands do in the store and with models, each opening only what it needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from insights.inference.messages import GeneratorInit
from insights.model import INBOX
from insights.site.files import load
from insights.site.settings import Settings
from insights.store import derived, streams
from insights.store.deployments import Deployments
from insights.store.derived import DerivedObject
from insights.store.forgetting import Forgetting
from insights.store.leases import Leases
from insights.store.outbox import SinkOutbox
from insights.store.reports import Reports
from insights.store.rowkeys import RowKeys
from insights.store.trail import Trail
from insights.store.work import DeadLetters
from insights.wiring.adapters import derived_objects, open_store
from insights.workers.process import Worker

Config = Path | Settings

DRAIN_LEASE_S = 15.0  # a command that was killed asks for no longer


@contextmanager
def reports(config: Config) -> Iterator[Reports]:
    """Open what `status` shows."""
    with open_store(config) as store:
        yield Reports(store)


def of_inbox(config: Path) -> frozenset[str]:
    """Return the streams whose rows come in through doors, as the settings say."""
    streams_ = load(config).stream
    return frozenset(name for name, found in streams_.items() if found.source == INBOX)


@contextmanager
def dead_letters(config: Config) -> Iterator[DeadLetters]:
    """Open the dead letters."""
    with open_store(config) as store:
        yield DeadLetters(store)


@contextmanager
def trail(config: Config) -> Iterator[Trail]:
    """Open the audit for who checks it."""
    with open_store(config) as store:
        yield Trail(store)


@contextmanager
def row_keys(config: Config) -> Iterator[RowKeys]:
    """Open how keys are shown."""
    with open_store(config) as store:
        yield RowKeys(store)


@contextmanager
def forgetting(config: Config, url: str | None) -> Iterator[Forgetting]:
    """Open what forgets rows, by a login of its own (`url`) or the settings'."""
    with open_store(config, url) as store:
        yield Forgetting(store)


@contextmanager
def deployments(config: Config, actor: str) -> Iterator[Deployments]:
    """Open the versions of pipelines; `actor` is who changes them, for the audit."""
    with open_store(config) as store:
        yield Deployments(store, actor)


@contextmanager
def outbox(config: Config, sink: str) -> Iterator[SinkOutbox]:
    """Open what a sink still has to be told."""
    with open_store(config) as store:
        yield SinkOutbox(store, Leases(store, "insights sink", ttl_s=1), sink)


@contextmanager
def draining(config: Config, actor: str) -> Iterator[tuple[Reports, Leases]]:
    """Open which daemons run, and leases that ask them to drain for as long as they are taken."""
    with open_store(config) as store:
        leases = Leases(store, actor, ttl_s=DRAIN_LEASE_S)
        try:
            yield Reports(store), leases
        finally:
            leases.give_back()


def switch(config: Config, stream: str, to: Literal["pause", "resume"]) -> bool:
    """Pause or resume a stream; tell whether that changed anything.

    Raises:
        errors.SettingsError: If the store does not know the stream.
    """
    with open_store(config) as store:
        return streams.switch(store, stream, to, actor=f"insights {to}")


def derive(settings: Settings, owner: str) -> Sequence[DerivedObject]:
    """Make what depends on the settings, as the store's owner; return what was made."""
    return derived.make(owner, derived_objects(settings, owner))


@contextmanager
def tuner(init: GeneratorInit, *, start_s: float) -> Iterator[Worker]:
    """Open the child that measures a model; it has `start_s` seconds to load it."""
    worker = Worker("insights.inference.tuner", init, name="tuner", start_deadline_s=start_s)
    try:
        yield worker
    finally:
        worker.close()
