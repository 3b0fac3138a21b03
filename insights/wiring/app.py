"""What the roles and commands share of one site: settings, store, and adapters opened at need.

A builder for each role stands beside it; each opens only what its role needs. Children start when
they are first called.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path

from insights import errors
from insights.embedding.client import EmbedderClient
from insights.embedding.recognizer_client import RecognizerClient
from insights.ground import environment
from insights.inference.vectors_client import RemoteVectorsClient
from insights.model import Json, StreamSpec
from insights.polling.courtesy import Courtesy
from insights.polling.poller import Poller
from insights.ports import Generator, Rows
from insights.sinks.client import MarksClient, SinkClient
from insights.site import definitions
from insights.site.definitions import Definition
from insights.site.files import load
from insights.site.settings import EmbeddingSettings, Settings
from insights.sources.client import SourceClient
from insights.store import derived, hashkeys
from insights.store.deployments import Deployments, Registered
from insights.store.hashkeys import HashKeys
from insights.store.inbox_rows import InboxRows
from insights.store.insights import Registry
from insights.store.leases import Leases
from insights.store.passages import PassageStore
from insights.store.postgres import Store
from insights.store.readings import Readings
from insights.store.reports import Reports
from insights.store.revision import check_collation
from insights.store.rowkeys import RowKeys
from insights.store.trail import Trail
from insights.store.views import typed_view
from insights.wiring.adapters import (
    open_generator,
    open_source,
    open_store,
    vector_indexes,
)
from insights.wiring.servers import embedding_files, open_vectors


class App:
    """Everything opened: see `open_app`."""

    sinks: dict[str, SinkClient | MarksClient]
    """What publishes, by what checks call it."""
    pollers: dict[str, Poller]
    """What polls here, by stream."""

    def __init__(
        self, settings: Settings, store: Store, stack: ExitStack, *, begin: bool = False
    ) -> None:
        self.settings = settings
        self.store = store
        self.registry = Registry(store)
        self.passages = PassageStore(store)
        self.stack = stack
        self.refused: dict[str, errors.InsightsError] = {}  # pipelines that cannot run here
        self.unreadable: dict[str, errors.SettingsError] = {}
        self.sinks = {}
        self.courtesies: dict[str, list[Courtesy]] = {}
        self.pollers = {}
        self.version = metadata.version("legacy-insights")
        self.opened_embedders: list[EmbedderClient | RemoteVectorsClient] = []
        self.sources: dict[str, SourceClient] = {}
        self.generators: dict[str, Generator] = {}
        self._reranker: RemoteVectorsClient | None = None
        self.hash_keys = self._hash_keys(begin=begin)

    @cached_property
    def definitions(self) -> Mapping[str, Definition]:
        """The pipelines, read and checked; those that cannot be read are in `unreadable`."""
        found: dict[str, Definition] = {}
        for name in self.settings.pipeline:
            try:
                found[name] = definitions.read(self.settings, name)
            except errors.SettingsError as exc:
                self.unreadable[name] = exc
        return found

    def definition(self, name: str) -> Definition:
        """Return one pipeline.

        Raises:
            errors.SettingsError: What is wrong with its files; that stops no other pipeline.
        """
        if name in self.definitions:
            return self.definitions[name]
        if name in self.unreadable:
            raise self.unreadable[name]
        raise errors.SettingsError(
            f"there is no pipeline {name!r}",
            where=str(self.settings.resolve(self.settings.pipelines_dir)),
            fix=f"pipelines: {', '.join(self.settings.pipeline) or 'none'}",
        )

    def embedders(self) -> list[EmbedderClient | RemoteVectorsClient]:
        """Return the configured embedder and, while it takes over, the one it replaces."""
        if not self.opened_embedders:
            configured = self.settings.embedding
            for found in (configured, configured.previous):
                if found is not None:
                    embedder = self._embedder(found)
                    self.stack.callback(embedder.close)
                    self.opened_embedders.append(embedder)
        return self.opened_embedders

    def _embedder(self, found: EmbeddingSettings) -> EmbedderClient | RemoteVectorsClient:
        if found.server is not None:
            return open_vectors(self.settings, found.server, self.passages)
        reranker = found.reranker and self.settings.resolve(found.reranker)
        files = embedding_files(self.settings, found)
        return EmbedderClient(
            files,
            reranker=reranker,
            reranker_sha256=found.reranker_sha256,
            threads=found.threads,
            confined=self.settings.daemon.confine,
        )

    def reranker(self) -> EmbedderClient | RemoteVectorsClient:
        """Return what judges passages.

        Raises:
            errors.SettingsError: If nothing does.
        """
        configured = self.settings.embedding
        if configured.rerank_server is not None:
            if self._reranker is None:
                self._reranker = open_vectors(
                    self.settings, configured.rerank_server, self.passages
                )
                self.stack.callback(self._reranker.close)
            return self._reranker
        if configured.reranker is None:
            raise errors.SettingsError(
                "a pipeline reranks, but there is no reranker",
                where="embedding.reranker",
                fix="name a cross-encoder's folder, or take rerank out of the pipeline",
            )
        return self.embedders()[0]

    @cached_property
    def recognizer(self) -> RecognizerClient:
        """What finds names; a child for each model starts when it is first asked."""
        made = RecognizerClient(confined=self.settings.daemon.confine)
        self.stack.callback(made.close)
        return made

    def source(self, name: str) -> SourceClient:
        """Return a source, one reader each."""
        if name not in self.sources:
            self.sources[name] = self.stack.enter_context(
                open_source(self.settings, name, self.hash_keys, self.recognizer)
            )
        return self.sources[name]

    def rows(self, stream: StreamSpec) -> Rows:
        """Return where the pipeline reads a stream's rows: a source, or the inbox."""
        return InboxRows(self.store) if stream.of_inbox else self.source(stream.source)

    def courtesy(self, stream: str, *, rate: int | None = None) -> Courtesy:
        """Return a budget of a stream; its quiet hours follow the settings while it runs."""
        made = Courtesy(rate, self.settings.stream[stream].quiet_hours)
        self.courtesies.setdefault(stream, []).append(made)
        return made

    def generator(self, name: str) -> Generator:
        """Return a model's generator, one each."""
        if name not in self.generators:
            made = open_generator(self.settings, name)
            self.stack.callback(made.close)
            self.generators[name] = made
        return self.generators[name]

    def register(self, made: Definition) -> Registered:
        """Record a pipeline's version and its sink in the store.

        One never seen before is live: a version of another pipeline's as a shadow.

        Raises:
            errors.ModelError: If the embedding model, which is part of it, cannot be read.
        """
        sha256, facts = self.described(made)
        sink = made.settings.sink
        return self.deployments.register(
            made.pipeline,
            sha256,
            facts,
            stream=made.stream.name,
            columns=made.stream.inputs,
            sink_id=None if sink is None else self.registry.sink(sink),
            overlap_s=made.stream.overlap_s,
            key_personal=made.stream.key_personal,
            from_the_beginning=made.stream.start == "beginning",
            stage="full" if made.settings.version_of is None else "shadow",
        )

    @property
    def rotates(self) -> bool:
        """Whether the hash key is new to the store: the next daemon begins to rotate it."""
        return self.hash_keys.version > hashkeys.version(self.registry)

    @property
    def reports(self) -> Reports:
        """What the store tells people."""
        return Reports(self.store)

    @property
    def row_keys(self) -> RowKeys:
        """How keys are shown to people."""
        return RowKeys(self.store)

    @property
    def trail(self) -> Trail:
        """What the audit knows."""
        return Trail(self.store)

    def readings(self, actor: str) -> Readings:
        """Return what tells the audit that a command shows rows or passages."""
        return Readings(self.store, actor)

    def sha256(self, made: Definition) -> str:
        """Return what the version of a pipeline's files is known by."""
        return self.described(made)[0]

    def described(self, made: Definition) -> tuple[str, Json]:
        """Return the SHA-256 of a pipeline's files, and what it is taken over."""
        wanted = made.settings.retrieval
        if not made.settings.collections:
            return definitions.version(self.settings, made, "")
        embedder = self.embedders()[0]
        reranker = self._reranker_sha256() if wanted.rerank else None
        return definitions.version(
            self.settings, made, embedder.model.sha256, reranker_sha256=reranker
        )

    def _reranker_sha256(self) -> str | None:
        """Return what stands for the reranker; None if there is none, which the search refuses."""
        configured = self.settings.embedding
        if configured.reranker is None and configured.rerank_server is None:
            return None
        judge = self.reranker()
        if isinstance(judge, RemoteVectorsClient):
            return judge.model.sha256
        return judge.reranker_sha256

    @cached_property
    def deployments(self) -> Deployments:
        """Which versions are live."""
        return Deployments(self.store, self.holder, key_version=self.hash_keys.version)

    @cached_property
    def leases(self) -> Leases:
        """This daemon's leases."""
        return Leases(self.store, self.holder, ttl_s=self.settings.daemon.lease)

    @cached_property
    def holder(self) -> str:
        """This daemon's name: unique, and the same after a restart on this state directory.

        Two hosts may be called alike, so the name alone does not do. A second daemon on the same
        state directory gets a name of its own.
        """
        state = self.settings.resolve(self.settings.state_dir)
        state.mkdir(parents=True, exist_ok=True)
        name = f"{self.settings.daemon.name}-{environment.machine_id(state)}"
        lock = self.stack.enter_context((state / "daemon.lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"{name}-{os.getpid()}"
        return name

    def _hash_keys(self, *, begin: bool) -> HashKeys:
        """Return the hash keys; refuse one that is not this store's."""
        state_dir = self.settings.resolve(self.settings.state_dir)
        key = environment.hash_key(state_dir, embedded=self.settings.store.url is None)
        former = environment.hash_key_former(state_dir)
        return hashkeys.agree(self.registry, key, former, begin=begin)


@contextmanager
def open_app(config: Path | Settings, *, begin: bool = False) -> Iterator[App]:
    """Open everything that commands work with; children start when they are first needed.

    Args:
        config: The settings, or where they are.
        begin: Take the credential `hash_key` into use, as a daemon does: see `hashkeys.agree`.

    Raises:
        errors.StoreError: If the store's schema or derived objects do not fit.
    """
    settings = load(config) if isinstance(config, Path) else config
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        yield App(settings, store, stack, begin=begin)


def check_store(app: App) -> None:
    """Refuse a store whose indexes may mislead, or that lacks what depends on the settings."""
    check_collation(app.store)
    wanted = [
        typed_view(made.name, made.stream.name, made.output_schema)
        for made in app.definitions.values()
        if made.settings.version_of is None
    ]
    if app.settings.collection:
        wanted.extend(vector_indexes(app.settings, app.passages))
    derived.check(app.store, wanted)


def refuse_without_pipeline(app: App) -> errors.SettingsError:
    """Return the error of a site that has nothing to run."""
    return errors.SettingsError(
        "there is no pipeline to run",
        where=str(app.settings.resolve(app.settings.pipelines_dir)),
        fix="`insights init` writes one",
    )
