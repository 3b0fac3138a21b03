"""The wiring: the only place that names concrete classes. Settings in, a running whole out."""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from insights import definitions, environment, errors
from insights.daemon import Daemon, Job
from insights.definitions import Definition
from insights.documents.folder import Folder
from insights.inference.client import LocalGenerator
from insights.inference.embedder_client import EmbedderClient
from insights.inference.embedding_model import ModelFiles
from insights.inference.messages import EngineSettings
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.indexer import Collection, Indexer
from insights.knowledge.retriever import HybridRetriever
from insights.knowledge.selection import Floor, Selection
from insights.knowledge.stream import StreamDocuments
from insights.model import TableShape
from insights.pipeline import Pipeline, Recipe
from insights.polling.courtesy import Courtesy
from insights.polling.jobs import StreamJob
from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper
from insights.ports import Documents, Generator
from insights.publish.client import SinkClient
from insights.publishing import Publishing
from insights.settings import EmbeddingSettings, Settings, load, seconds
from insights.sources.client import SourceClient
from insights.store import derived, revision
from insights.store.derived import DerivedObject
from insights.store.embedded import EmbeddedPostgres
from insights.store.insights import InsightStore, Registry
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.outbox import SinkOutbox
from insights.store.passages import PassageStore, vector_index
from insights.store.postgres import Store
from insights.store.views import typed_view
from insights.store.work import Outlet, WorkQueue

ALL_ROLES = ("poll", "enrich", "publish")


# --- the store ------------------------------------------------------------------------------------


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """Give the store's URL; with none in the settings, that of the embedded server, started."""
    if settings.store.url is not None:
        yield environment.reveal(settings.store.url, "store.url")
        return
    with EmbeddedPostgres(settings.resolve(settings.state_dir)) as embedded:
        yield embedded.url


@contextmanager
def open_store(config: Path | Settings) -> Iterator[Store]:
    """Open the store and check that its schema fits."""
    settings = load(config) if isinstance(config, Path) else config
    with store_url(settings) as url:
        store = Store(url, connections=settings.store.connections).open()
        try:
            revision.check(store)
            yield store
        finally:
            store.close()


def derived_objects(settings: Settings, url: str | None) -> list[DerivedObject]:
    """Return what depends on the settings; without a URL (for --sql) only what needs no store."""
    wanted = [
        typed_view(made.name, made.stream.name, made.output_schema)
        for made in (definitions.read(settings, name) for name in settings.pipeline)
    ]
    if url is not None and settings.collection:
        store = Store(url, connections=2).open()
        try:
            wanted.extend(_vector_indexes(settings, PassageStore(store)))
        finally:
            store.close()
    return wanted


def _vector_indexes(settings: Settings, passages: PassageStore) -> list[DerivedObject]:
    used = [settings.embedding, settings.embedding.previous]
    models = [_embedding_files(settings, found).model for found in used if found is not None]
    return [vector_index(passages.declare_model(model), model) for model in models]


# --- parts ----------------------------------------------------------------------------------------


@contextmanager
def open_source(settings: Settings, name: str, hash_key: bytes) -> Iterator[SourceClient]:
    """Open a source; its reader starts at the first call."""
    found = settings.source[name]
    client = SourceClient(
        name,
        environment.reveal(found.odbc, f"source.{name}.odbc"),
        hash_key=hash_key,
        timeout_s=seconds(found.timeout),
    )
    try:
        yield client
    finally:
        client.close()


def describe_table(odbc: str, table: str) -> TableShape:
    """Return a table's columns and key, for `insights init`."""
    client = SourceClient("legacy", odbc, hash_key=b"", timeout_s=30.0)
    try:
        return client.describe(table)
    finally:
        client.close()


@contextmanager
def open_sink(config: Path | Settings, name: str) -> Iterator[SinkClient]:
    """Open a sink; its publisher starts at the first call."""
    settings = load(config) if isinstance(config, Path) else config
    for made in (definitions.read(settings, pipeline) for pipeline in settings.pipeline):
        if made.sink is not None and made.sink.name == name:
            found = settings.source[made.sink.source]
            odbc = environment.reveal(found.odbc, f"source.{made.sink.source}.odbc")
            client = SinkClient(made.sink, odbc, timeout_s=seconds(found.timeout))
            try:
                yield client
            finally:
                client.close()
            return
    raise errors.SettingsError(
        f"no pipeline writes to a sink {name!r}",
        where="sink",
        fix="set `sink` in a pipeline; sinks: " + (", ".join(settings.sink) or "none"),
    )


def open_generator(settings: Settings, name: str) -> LocalGenerator:
    """Return the generator of one `[model.<name>]`; its child starts at the first call."""
    model = settings.model[name]
    if model.path is None or model.sha256 is None:
        raise errors.SettingsError(
            "a model on a server is not supported yet", where=f"model.{name}"
        )
    path = settings.resolve(model.path)
    if not path.is_file():
        raise errors.ModelError(
            "there is no such file", where=f"model.{name}.path = {path}", fix="correct the setting"
        )
    return LocalGenerator(
        path,
        model.sha256,
        engine=EngineSettings(
            parallel=model.parallel,
            context=model.context,
            threads=model.threads,
            gpu_layers=model.gpu_layers,
        ),
        name=f"generator {name}",
    )


def _embedding_files(settings: Settings, found: EmbeddingSettings) -> ModelFiles:
    path = settings.resolve(found.path) if found.path is not None else None
    return ModelFiles(path, name=found.model, sha256=found.sha256)


class App:
    """Everything opened: see `open_app`."""

    def __init__(self, settings: Settings, store: Store, stack: ExitStack) -> None:
        self.settings = settings
        self.store = store
        self.registry = Registry(store)
        self.passages = PassageStore(store)
        self._stack = stack
        self._definitions = {name: definitions.read(settings, name) for name in settings.pipeline}
        self._embedders: list[EmbedderClient] = []
        self._sources: dict[str, SourceClient] = {}
        self._generators: dict[str, Generator] = {}
        self._key = self._hash_key()

    @property
    def definitions(self) -> Mapping[str, Definition]:
        """The pipelines, read and checked."""
        return self._definitions

    def embedders(self) -> list[EmbedderClient]:
        """Return the configured embedder and, while it takes over, the one it replaces."""
        if not self._embedders:
            configured = self.settings.embedding
            for found in (configured, configured.previous):
                if found is None:
                    continue
                reranker = found.reranker and self.settings.resolve(found.reranker)
                embedder = EmbedderClient(
                    _embedding_files(self.settings, found), reranker=reranker, threads=found.threads
                )
                self._stack.callback(embedder.close)
                self._embedders.append(embedder)
        return self._embedders

    def source(self, name: str) -> SourceClient:
        """Return a source, one reader each."""
        if name not in self._sources:
            self._sources[name] = self._stack.enter_context(
                open_source(self.settings, name, self._key)
            )
        return self._sources[name]

    def generator(self, name: str) -> Generator:
        """Return a model's generator, one each."""
        if name not in self._generators:
            made = open_generator(self.settings, name)
            self._stack.callback(made.close)
            self._generators[name] = made
        return self._generators[name]

    def indexer(self, name: str) -> Indexer:
        """Return what synchronises one collection."""
        found = self.settings.collection[name]
        embedder = self.embedders()[0]
        chunker = Chunker(
            embedder.files.tokenizer,
            Chunking(tokens=found.chunk_tokens, overlap=found.overlap_tokens),
            embedder.model.max_tokens,
        )
        collection = Collection(name=name, language=found.language)
        return Indexer(collection, self._documents(name), self.passages, embedder, chunker)

    def _documents(self, name: str) -> Documents:
        found = self.settings.collection[name]
        if found.folder is not None:
            return Folder(self.settings.resolve(found.folder), found.pattern, found.filters)
        spec = definitions.knowledge_stream(self.settings, name)
        return StreamDocuments(
            self.source(spec.source),
            spec,
            title=found.title,
            text=found.text,
            filters=found.filters,
        )

    def searcher(
        self,
        collections: Sequence[str],
        selection: Selection | None = None,
        *,
        rerank: bool = False,
    ) -> HybridRetriever:
        """Return a search over collections."""
        declared = (self.settings.collection[name].filters for name in collections)
        types = {name: kind for filters in declared for name, kind in filters.items()}
        embedders = self.embedders()
        return HybridRetriever(
            collections,
            self.passages,
            embedders,
            filter_types=types,
            selection=selection,
            reranker=embedders[0] if rerank else None,
        )

    def recipe(self, name: str) -> Recipe:
        """Bind a pipeline to its adapters and register its version."""
        made = self._definitions[name]
        wanted = made.settings.retrieval
        embedding = self.embedders()[0].model.sha256 if wanted.collections else ""
        sha256, facts = definitions.version(self.settings, made, embedding)
        version_id = self.registry.pipeline_version(name, sha256, facts)
        self.registry.stream(made.stream.name, version_id, made.stream.overlap_s)
        return Recipe(
            name=name,
            stream=made.stream,
            source=self.source(made.stream.source),
            generator=self.generator(made.settings.model),
            template=made.template,
            output_schema=made.output_schema,
            abstain=made.settings.abstain,
            sampling=made.sampling,
            cut=made.settings.cut,
            retriever=self.searcher(
                wanted.collections,
                Selection(
                    count=wanted.passages,
                    max_tokens=wanted.max_tokens,
                    floor=Floor(similarity=wanted.min_similarity),
                ),
                rerank=wanted.rerank,
            )
            if wanted.collections
            else None,
            query_columns=made.query_columns,
            deadline_s=seconds(made.settings.timeout),
            version_id=version_id,
            filters=wanted.filters,
        )

    def daemon(self, roles: Sequence[str], *, once: bool) -> Daemon:
        """Return the daemon with the parts its roles need."""
        settings = self.settings.daemon
        holder = self._holder()
        lease_s = seconds(settings.lease)
        recipes = {r.stream.name: r for r in (self.recipe(name) for name in self._definitions)}
        if not recipes:
            raise errors.SettingsError(
                "there is no pipeline to run",
                where=str(self.settings.resolve(self.settings.pipelines_dir)),
                fix="`insights init` writes one",
            )
        sinks = {
            made.stream.name: self.registry.sink(made.sink.name)
            for made in self._definitions.values()
            if made.sink is not None
        }
        leases = Leases(self.store, holder, ttl_s=lease_s)
        work = WorkQueue(
            self.store,
            holder,
            {s: Outlet(version_id=r.version_id, sink_id=sinks.get(s)) for s, r in recipes.items()},
            ttl_s=lease_s,
            max_attempts=settings.max_attempts,
        )
        jobs: list[Job] = []
        if "poll" in roles:
            jobs += [
                self._polling(recipe, leases, sinks, holder, once=once)
                for recipe in recipes.values()
            ]
        if "publish" in roles:
            jobs += [
                self._publishing(made, leases) for made in self._definitions.values() if made.sink
            ]
        pipeline = None
        if "enrich" in roles:
            pipeline = Pipeline(
                recipes,
                work,
                InsightStore(self.store, holder, sinks),
                batch=settings.batch,
                in_flight=settings.in_flight,
            )
        return Daemon(pipeline, work, jobs, lease_s=lease_s, drain_s=seconds(settings.drain))

    def _polling(
        self, recipe: Recipe, leases: Leases, sinks: Mapping[str, int], holder: str, *, once: bool
    ) -> Job:
        stream = recipe.stream
        found = self.settings.stream[stream.name]
        ledger = Ledger(
            self.store,
            stream.name,
            recipe.version_id,
            sink_id=sinks.get(stream.name),
            holder=holder,
        )
        courtesy = Courtesy(stream.rows_per_second, found.quiet_hours)
        sweep_s = seconds(found.sweep_every)
        poller = Poller(stream, recipe.source, ledger, leases, courtesy)
        sweeper = Sweeper(stream, recipe.source, ledger, leases, courtesy, sweep_s)
        return StreamJob(stream.name, poller, sweeper, seconds(found.poll_every), once=once)

    def _publishing(self, made: Definition, leases: Leases) -> Publishing:
        assert made.sink is not None  # noqa: S101 - asked for only where there is one
        sink = self._stack.enter_context(open_sink(self.settings, made.sink.name))
        return Publishing(made.sink.name, sink, SinkOutbox(self.store, leases, made.sink.name))

    def _holder(self) -> str:
        """Return this daemon's name; a second one on the same state directory gets its own."""
        name = self.settings.daemon.name
        state = self.settings.resolve(self.settings.state_dir)
        state.mkdir(parents=True, exist_ok=True)
        lock = self._stack.enter_context((state / "daemon.lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"{name}-{os.getpid()}"
        return name

    def _hash_key(self) -> bytes:
        """Return the hash key; refuse one that is not this store's."""
        key = environment.hash_key(
            self.settings.resolve(self.settings.state_dir),
            embedded=self.settings.store.url is None,
        )
        check = hashlib.blake2b(b"check", key=key, digest_size=16).hexdigest()
        self.registry.set_setting("hash_key_check", check)
        if self.registry.setting("hash_key_check") != check:
            raise errors.StoreError(
                "the credential hash_key is not the one this store was filled with: every row "
                "would look changed",
                where="hash_key",
                fix="restore the credential",
            )
        return key


@contextmanager
def open_app(config: Path | Settings) -> Iterator[App]:
    """Open everything that commands work with; children start when they are first needed.

    Raises:
        errors.StoreError: If the store's schema or derived objects do not fit.
    """
    settings = load(config) if isinstance(config, Path) else config
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        app = App(settings, store, stack)
        yield app


def check_derived(app: App) -> None:
    """Refuse a store that lacks what depends on the settings."""
    wanted = [
        typed_view(made.name, made.stream.name, made.output_schema)
        for made in app.definitions.values()
    ]
    if app.settings.collection:
        wanted.extend(_vector_indexes(app.settings, app.passages))
    derived.check(app.store, wanted)
