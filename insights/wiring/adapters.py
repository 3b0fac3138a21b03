"""The single parts that commands open: store, source, sink, generator."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import msgspec
import structlog

from insights import errors
from insights.documents.client import LoaderClient
from insights.ground import beats, connections, environment
from insights.inference import chat_names
from insights.inference.adapted import AdaptedGenerator
from insights.inference.client import LocalGenerator
from insights.inference.messages import AdapterFile, EngineSettings
from insights.inference.nearest import NearestLabel
from insights.inference.remote_client import RemoteGenerator
from insights.inference.router import RoutedGenerator
from insights.model import MarkSpec, SinkSpec
from insights.ports import Generator, Recognizer
from insights.service import systemd
from insights.sinks.client import MarksClient, SinkClient
from insights.site import definitions
from insights.site.files import load
from insights.site.settings import NEAREST, PipelineSettings, Settings
from insights.sources.client import SourceClient
from insights.store import revision
from insights.store.derived import DerivedObject
from insights.store.embedded import EmbeddedPostgres
from insights.store.hashkeys import HashKeys
from insights.store.passages import PassageStore, vector_index
from insights.store.postgres import Store, reach
from insights.store.views import typed_view
from insights.wiring import servers
from insights.wiring.servers import embedding_model

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0  # between two looks for a store that is not there

# --- the store ------------------------------------------------------------------------------------


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """Give the store's URL; with none in the settings, that of the embedded server, started."""
    if settings.store.url is not None:
        yield environment.reveal(settings.store.url, "store.url", "store")
        return
    state_dir, as_root = settings.resolve(settings.state_dir), settings.store.as_root
    with EmbeddedPostgres(state_dir, as_root=as_root) as embedded:
        yield embedded.url


def await_store(settings: Settings, tell: Callable[[str], None] = lambda _: None) -> None:
    """Wait until the store answers, with growing pauses; say once why it does not.

    Args:
        settings: Which store.
        tell: Told why it is waited for, and "" at the end.

    Raises:
        errors.StoreError: If it answers, and refuses us: waiting would not help.
    """
    if settings.store.url is None:
        return  # the embedded server is started by us
    url = environment.reveal(settings.store.url, "store.url")
    said, pause = "", _FIRST_PAUSE_S
    while True:
        try:
            reach(url)
        except errors.StoreUnavailable as exc:
            if str(exc) != said:
                said = str(exc)
                tell(said)
                log.warning("waiting for the store", reason=said)
            # Not ready, and no failed start: systemd waits with us (sd_notify(3)).
            systemd.tell("STATUS=waiting for the store\nEXTEND_TIMEOUT_USEC=120000000")
            beats.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        else:
            tell("")
            if said:
                log.info("the store answers")
                systemd.tell("STATUS=")
            return


@contextmanager
def open_store(config: Path | Settings, login: str | None = None) -> Iterator[Store]:
    """Open the store, by another URL than the settings' if one is given; check its schema."""
    settings = load(config) if isinstance(config, Path) else config
    with nullcontext(login) if login else store_url(settings) as url:
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
        if made.settings.version_of is None
    ]
    if url is not None and settings.collection:
        store = Store(url, connections=2).open()
        try:
            wanted.extend(vector_indexes(settings, PassageStore(store)))
        finally:
            store.close()
    return wanted


def vector_indexes(settings: Settings, passages: PassageStore) -> list[DerivedObject]:
    """Return the vector index of each configured embedding model."""
    used = [settings.embedding, settings.embedding.previous]
    models = [embedding_model(settings, found) for found in used if found is not None]
    return [vector_index(passages.declare_model(model), model) for model in models]


# --- parts ----------------------------------------------------------------------------------------


@contextmanager
def open_source(
    settings: Settings, name: str, keys: HashKeys, recognizer: Recognizer | None = None
) -> Iterator[SourceClient]:
    """Open a source; its reader starts at the first call."""
    found = settings.source[name]
    client = SourceClient(
        name,
        environment.reveal(found.odbc, f"source.{name}.odbc", "odbc"),
        hash_key=keys.key,
        hash_key_former=keys.former,
        timeout_s=found.timeout,
        credential=connections.credential_of(found.odbc),
        seal_key=_seal_key(settings, settings.sink),
        recognizer=recognizer,
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def looking_at(odbc: str) -> Iterator[SourceClient]:
    """Open a database that no settings name yet, for `insights init`."""
    odbc = environment.reveal(odbc, "ODBC", "odbc")
    client = SourceClient("legacy", odbc, hash_key=b"", timeout_s=30.0)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def open_sink(config: Path | Settings, sink: str | SinkSpec) -> Iterator[SinkClient]:
    """Open a sink, given as it is or by name; its publisher starts at the first call.

    Raises:
        errors.SettingsError: If no pipeline writes to it, or the one that does cannot be read.
    """
    settings = load(config) if isinstance(config, Path) else config
    spec = _sink(settings, sink) if isinstance(sink, str) else sink
    found = settings.source[spec.source]
    odbc = environment.reveal(found.odbc, f"source.{spec.source}.odbc", "odbc")
    client = SinkClient(
        spec,
        odbc,
        timeout_s=found.timeout,
        credential=connections.credential_of(found.odbc),
        seal_key=_seal_key(settings, [spec.name]),
    )
    try:
        yield client
    finally:
        client.close()


def sink_ddl(settings: Settings, name: str, dialect: str | None) -> str:
    """Return a sink's DDL: the reader of its stream tells how the legacy table is made.

    The login that writes insights needs to see nothing but its own table. It is asked only which
    engine it is on, where that may be another one than the reader's.
    """
    spec = _sink(settings, name)
    stream = next(
        settings.stream[made.stream]
        for made in settings.pipeline.values()
        if made.sink == spec.name
    )
    reader, writer = settings.source[stream.source], settings.source[spec.source]
    if dialect is None and _driver(reader.odbc) != _driver(writer.odbc):
        with open_sink(settings, spec) as sink:
            dialect = sink.dialect()
    odbc = environment.reveal(reader.odbc, f"source.{stream.source}.odbc", "odbc")
    credential = connections.credential_of(reader.odbc)
    client = SinkClient(spec, odbc, timeout_s=reader.timeout, credential=credential)
    try:
        return client.ddl(dialect)
    finally:
        client.close()


def client_of(settings: Settings, sink: str) -> str:
    """Return how a DBA pipes a script into a sink's database; empty where that is not known."""
    odbc = settings.source[settings.sink[sink].source].odbc
    found = {part.key.casefold(): part.value for part in connections.attributes(odbc)}
    driver, base = _driver(odbc), found.get("database") or found.get("db") or ""
    server, port = found.get("server") or found.get("servername"), found.get("port")
    if "sqlite" in driver:
        return f" | sqlite3 {shlex.quote(base)}"
    if "maria" in driver or "mysql" in driver:
        words = ["mariadb", *(["-h", server] if server else []), *(["-P", port] if port else [])]
        return f" | {shlex.join([*words, '-u', '<the DBA>', '-p', base])}"
    if "postgres" in driver or "psql" in driver:
        words = ["psql", *(["-h", server] if server else []), *(["-p", port] if port else [])]
        return f" | {shlex.join([*words, '-U', '<the DBA>', base])}"
    return ""


def _driver(odbc: str) -> str:
    found = {part.key.casefold(): part.value for part in connections.attributes(odbc)}
    return (found.get("driver") or found.get("dsn") or "").casefold()


def _seal_key(settings: Settings, sinks: Iterable[str]) -> bytes | None:
    """Return the key of seals, if one of these sinks restores anything."""
    restores = any(settings.sink[name].restore for name in sinks if name in settings.sink)
    return environment.seal_key() if restores else None


def _sink(settings: Settings, name: str) -> SinkSpec:
    for pipeline, found in settings.pipeline.items():
        if found.sink == name and (spec := definitions.read(settings, pipeline).sink) is not None:
            return spec
    raise errors.SettingsError(
        f"no pipeline writes to a sink {name!r}",
        where="sink",
        fix="set `sink` in a pipeline; sinks: " + (", ".join(settings.sink) or "none"),
    )


@contextmanager
def open_marks(settings: Settings, spec: MarkSpec) -> Iterator[MarksClient]:
    """Open the marks of a stream; its acknowledger starts at the first call."""
    found = settings.source[spec.source]
    odbc = environment.reveal(found.odbc, f"source.{spec.source}.odbc", "odbc")
    client = MarksClient(spec, odbc, timeout_s=found.timeout)
    try:
        yield client
    finally:
        client.close()


def open_generator(
    settings: Settings, name: str
) -> LocalGenerator | RemoteGenerator | NearestLabel:
    """Return the generator of one `[model.<name>]`; its child starts at the first call."""
    if name == NEAREST:
        return NearestLabel()
    model = settings.model[name]
    if model.url is not None:
        init = servers.remote(settings, model, name=name, section=f"model.{name}")
        given = {"parallel": model.parallel, "context": model.context}
        chosen = {field: value for field, value in given.items() if value is not None}
        return RemoteGenerator(msgspec.structs.replace(init, **chosen))
    assert model.path is not None  # noqa: S101 - settings say so
    path = settings.resolve(model.path)
    if not path.is_file():
        raise errors.ModelError(
            "there is no such file", where=f"model.{name}.path = {path}", fix="correct the setting"
        )
    return LocalGenerator(
        path,
        model.sha256 or "",
        engine=EngineSettings(
            parallel=model.parallel,
            context=model.context,
            threads=model.threads,
            gpu_layers=model.gpu_layers,
            kv_type=model.kv_type,
            memory_mb=model.memory_mb,
        ),
        chat_template=chat_template(settings, name),
        tuned=tuned_folder(settings),
        confined=settings.daemon.confine,
        adapters=_adapters(settings, name),
        name=f"generator {name}",
    )


def _adapters(settings: Settings, name: str) -> list[AdapterFile]:
    """Return the LoRA adapters that pipelines have of a model."""
    folder = settings.resolve(settings.pipelines_dir)
    return [
        AdapterFile(
            path=str(found.path),
            sha256=found.sha256,
            where=f"{folder / pipeline}.toml: adapter.path = {found.path}",
        )
        for pipeline, made in settings.pipeline.items()
        if made.model == name and (found := made.adapter) is not None
    ]


def adapted(pipeline: PipelineSettings, name: str, model: Generator) -> Generator:
    """Return one of a pipeline's models, its own under the adapter that the pipeline may have."""
    found = pipeline.adapter
    if found is None or not pipeline.taught(name) or not isinstance(model, LocalGenerator):
        return model
    return AdaptedGenerator(model, found.adapter)


def chat_template(settings: Settings, name: str) -> str:
    """Return the chat template that a model's settings give it; empty for the file's own."""
    value = settings.model[name].chat_template
    if value is None:
        return ""
    where = f"model.{name}.chat_template"
    return chat_names.resolve(value, settings.config_dir, where=where)


def tuned_folder(settings: Settings) -> Path:
    """Return where `insights tune` keeps what it measured."""
    return settings.resolve(settings.state_dir) / "tuned"


def routed(
    settings: Settings, pipeline: PipelineSettings, open_: Callable[[str], Generator]
) -> Generator:
    """Return a pipeline's generator: its model, or that and the one for its outages.

    Raises:
        errors.SettingsError: If both are of one kind: then one outage takes both.
    """
    preferred, fallback = pipeline.model, pipeline.fallback
    if fallback is None:
        return adapted(pipeline, preferred, open_(preferred))
    remote = [name for name in (preferred, fallback) if settings.model[name].url is not None]
    if len(remote) != 1:
        raise errors.SettingsError(
            "of a pipeline's model and its fallback one must be a file and one a server",
            where=f"fallback = {fallback!r}",
        )
    local = fallback if remote[0] == preferred else preferred
    return RoutedGenerator(
        adapted(pipeline, local, open_(local)),
        open_(remote[0]),
        models={local: "local", remote[0]: "remote"},
        prefers="remote" if remote[0] == preferred else "local",
        remote_from=pipeline.remote_from,
    )


@contextmanager
def open_loader(folder: Path) -> Iterator[LoaderClient]:
    """Open the loader of a collection's folder; its child starts at the first call."""
    client = LoaderClient(folder)
    try:
        yield client
    finally:
        client.close()
