"""The wiring: settings in, a running whole out. Its single parts are opened in `parts`."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from insights import errors
from insights.documents.folder import Folder
from insights.embedding.client import EmbedderClient
from insights.enriching.recipe import Recipe
from insights.ground import environment
from insights.inference.client import LocalGenerator
from insights.knowledge.chunking import Chunker, Chunking
from insights.knowledge.following import Following
from insights.knowledge.indexer import Collection, Indexer
from insights.knowledge.retriever import HybridRetriever
from insights.knowledge.selection import Floor, Selection
from insights.knowledge.stream import StreamDocuments
from insights.model import MarkSpec
from insights.pipeline import Pipeline
from insights.polling.courtesy import Courtesy
from insights.polling.jobs import StreamJob
from insights.polling.poller import Poller
from insights.polling.requests import AppliedMarks
from insights.polling.sweeper import Sweeper
from insights.ports import Documents, Generator
from insights.publishing.marks import Acknowledging
from insights.publishing.sinks import Publishing
from insights.service.daemon import Daemon, Job
from insights.site import definitions
from insights.site.definitions import Definition
from insights.site.files import load
from insights.site.settings import Settings
from insights.sources.client import SourceClient
from insights.store import derived, hashkeys
from insights.store.hashkeys import HashKeys
from insights.store.insights import InsightStore, Registry
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.outbox import SinkOutbox
from insights.store.passages import PassageStore
from insights.store.postgres import Store
from insights.store.requests import StreamRequests
from insights.store.revision import check_collation
from insights.store.support import SupportStore
from insights.store.views import typed_view
from insights.store.work import Outlet, WorkQueue
from insights.wiring.parts import (
    embedding_files,
    open_generator,
    open_marks,
    open_sink,
    open_source,
    open_store,
    routed,
    vector_indexes,
)

ALL_ROLES = ("poll", "knowledge", "enrich", "publish")


class App:
    """Everything opened: see `open_app`."""

    def __init__(
        self, settings: Settings, store: Store, stack: ExitStack, *, begin: bool = False
    ) -> None:
        self.settings = settings
        self.store = store
        self.registry = Registry(store)
        self.passages = PassageStore(store)
        self._stack = stack
        self._definitions = {name: definitions.read(settings, name) for name in settings.pipeline}
        self._embedders: list[EmbedderClient] = []
        self._sources: dict[str, SourceClient] = {}
        self._generators: dict[str, Generator] = {}
        self.hash_keys = self._hash_keys(begin=begin)

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
                    embedding_files(self.settings, found), reranker=reranker, threads=found.threads
                )
                self._stack.callback(embedder.close)
                self._embedders.append(embedder)
        return self._embedders

    def source(self, name: str) -> SourceClient:
        """Return a source, one reader each."""
        if name not in self._sources:
            self._sources[name] = self._stack.enter_context(
                open_source(self.settings, name, self.hash_keys)
            )
        return self._sources[name]

    def generator(self, name: str) -> Generator:
        """Return a model's generator, one each."""
        if name not in self._generators:
            made = open_generator(self.settings, name)
            self._stack.callback(made.close)
            self._generators[name] = made
        return self._generators[name]

    def indexer(self, name: str, documents: Documents | None = None) -> Indexer:
        """Return what synchronises one collection."""
        found = self.settings.collection[name]
        embedder = self.embedders()[0]
        chunker = Chunker(
            embedder.files.tokenizer,
            Chunking(tokens=found.chunk_tokens, overlap=found.overlap_tokens),
            embedder.model.max_tokens,
        )
        collection = Collection(name=name, language=found.language)
        documents = documents or self._documents(name)
        return Indexer(collection, documents, self.passages, embedder, chunker)

    def _following(self, name: str, leases: Leases, *, once: bool) -> Following:
        """Return the job that synchronises one collection; `once` compares all there is."""
        found = self.settings.collection[name]
        documents = self._documents(name)
        indexer = self.indexer(name, documents)
        if found.stream is None:
            return Following(name, indexer, leases, found.sync_every)
        stream = self.settings.stream[found.stream]
        courtesy, source = Courtesy(quiet_hours=stream.quiet_hours), self.source(stream.source)
        return Following(
            name,
            indexer,
            leases,
            found.sync_every,
            stream=documents if isinstance(documents, StreamDocuments) and not once else None,
            compare_s=stream.sweep_every,
            wait=lambda: courtesy.waits(source.fingerprint),
        )

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
            pay=Courtesy(spec.rows_per_second).pay,
        )

    def searcher(
        self,
        collections: Sequence[str],
        selection: Selection | None = None,
        *,
        rerank: bool = False,
    ) -> HybridRetriever:
        """Return a search over collections."""
        if rerank and self.settings.embedding.reranker is None:
            raise errors.SettingsError(
                "a pipeline reranks, but there is no reranker",
                where="embedding.reranker",
                fix="name a cross-encoder's folder, or take rerank out of the pipeline",
            )
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
            generator=routed(
                self.settings, made.settings.model, made.settings.fallback, self.generator
            ),
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
            deadline_s=made.settings.timeout,
            version_id=version_id,
            canonical_passages=wanted.order == "canonical",
            filters=wanted.filters,
            collections=wanted.collections,
        )

    def daemon(self, roles: Sequence[str], *, once: bool) -> Daemon:
        """Return the daemon with the parts its roles need."""
        settings = self.settings.daemon
        holder = self._holder()
        lease_s = settings.lease
        recipes = {r.stream.name: r for r in (self.recipe(name) for name in self._definitions)}
        if not recipes and set(roles) != {"knowledge"}:
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
            hash_version=self.hash_keys.version,
        )
        jobs: list[Job] = []
        if "poll" in roles:
            jobs += [
                self._polling(recipe, leases, sinks, holder, once=once)
                for recipe in recipes.values()
            ]
        if "knowledge" in roles:
            jobs += [
                self._following(name, leases, once=once)
                for name, found in self.settings.collection.items()
                if found.sync_every > 0
            ]
        if "publish" in roles:
            jobs += [
                self._publishing(made, leases) for made in self._definitions.values() if made.sink
            ]
            jobs += [
                self._acknowledging(made.marks, leases, sinks, holder)
                for made in self._definitions.values()
                if made.marks
            ]
        pipeline = None
        if "enrich" in roles:
            pipeline = Pipeline(
                recipes,
                work,
                InsightStore(self.store, holder, sinks),
                batch=settings.batch,
                in_flight=settings.in_flight,
                grounds=SupportStore(self.store),
            )
        return Daemon(pipeline, work, jobs, lease_s=lease_s, drain_s=settings.drain)

    def check_models(self) -> None:
        """Load every local model, and refuse a schema that it cannot be held to.

        Raises:
            errors.ModelError: If a model is missing, malformed or not the one named.
            errors.SettingsError: Naming the place in the schema.
        """
        for made in self._definitions.values():
            generator = self.generator(made.settings.model)
            if isinstance(generator, LocalGenerator):
                where = str(made.settings.schema_)
                generator.check(made.output_schema, made.settings.abstain, where=where)

    def _polling(
        self, recipe: Recipe, leases: Leases, sinks: Mapping[str, int], holder: str, *, once: bool
    ) -> Job:
        stream = recipe.stream
        found = self.settings.stream[stream.name]
        marks = self._definitions[recipe.name].marks
        ledger = Ledger(
            self.store,
            stream.name,
            recipe.version_id,
            sink_id=sinks.get(stream.name),
            holder=holder,
            hash_version=self.hash_keys.version,
            rotating=self.hash_keys.former is not None,
            remark=(
                None if marks is None else "regenerate" if found.regenerate_on_remark else "publish"
            ),
        )
        courtesy = Courtesy(stream.rows_per_second, found.quiet_hours)
        sweep_s = found.sweep_every
        applied = None
        if marks is not None:
            requests = self._requests(marks, leases, sinks, holder)
            applied = AppliedMarks(stream, recipe.source, ledger, requests, courtesy)
        poller = Poller(stream, recipe.source, ledger, leases, courtesy, applied)
        sweeper = Sweeper(stream, recipe.source, ledger, leases, courtesy, sweep_s)
        return StreamJob(stream.name, poller, sweeper, found.poll_every, once=once)

    def _publishing(self, made: Definition, leases: Leases) -> Publishing:
        assert made.sink is not None  # noqa: S101 - asked for only where there is one
        sink = self._stack.enter_context(open_sink(self.settings, made.sink.name))
        return Publishing(made.sink.name, sink, SinkOutbox(self.store, leases, made.sink.name))

    def _acknowledging(
        self, marks: MarkSpec, leases: Leases, sinks: Mapping[str, int], holder: str
    ) -> Acknowledging:
        client = self._stack.enter_context(open_marks(self.settings, marks))
        requests = self._requests(marks, leases, sinks, holder)
        return Acknowledging(marks.stream, client, requests)

    def _requests(
        self, marks: MarkSpec, leases: Leases, sinks: Mapping[str, int], holder: str
    ) -> StreamRequests:
        return StreamRequests(
            self.store,
            leases,
            marks.stream,
            verbs=tuple(marks.changes),
            sink_id=sinks.get(marks.stream),
            holder=holder,
        )

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
        app = App(settings, store, stack, begin=begin)
        yield app


def check_store(app: App) -> None:
    """Refuse a store whose indexes may mislead, or that lacks what depends on the settings."""
    check_collation(app.store)
    wanted = [
        typed_view(made.name, made.stream.name, made.output_schema)
        for made in app.definitions.values()
    ]
    if app.settings.collection:
        wanted.extend(vector_indexes(app.settings, app.passages))
    derived.check(app.store, wanted)
