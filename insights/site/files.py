"""Reads the settings file and its pipelines; a mistake names the file, the key and the fix."""

import difflib
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from insights import errors
from insights.ground import connections
from insights.model import INBOX
from insights.site import escalation
from insights.site.pipelines import bind_versions
from insights.site.settings import NEAREST, BudgetSettings, PipelineSettings, Settings

_SECRETS = connections.PASSWORDS | {"sslpassword", "sslkeypassword"}
_WHOLE_CREDENTIAL = re.compile(r"^\{?\$\{[A-Za-z0-9_.-]+\}\}?$")
_LITERAL_URL_PASSWORD = re.compile(
    r"(?i)://[^/@:\s]*:(?!\$\{)[^@/\s]+@|[?&](?:password|passwd|sslpassword)=(?!\$\{)[^&\s]"
)


def load(path: Path) -> Settings:
    """Read and check the settings file and its pipelines.

    Raises:
        errors.SettingsError: Naming the file, the key and the nearest valid one.
    """
    path = path.absolute()
    data = _toml(path)
    if "pipeline" in data or "config_dir" in data:
        raise errors.SettingsError(
            "pipelines have files of their own",
            where=str(path),
            fix=f"move each to {path.parent / 'pipelines'}/<name>.toml",
        )
    _refuse_literal_secrets(data, path)
    folder = path.parent / data.get("pipelines_dir", "pipelines")
    pipelines: dict[str, PipelineSettings] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            pipeline = PipelineSettings.model_validate(_toml(file))
        except ValidationError as exc:
            raise _explained(exc, file, PipelineSettings) from exc
        pipelines[file.stem] = pipeline.beside(file.parent)
    bind_versions(pipelines, folder)
    data.setdefault("state_dir", Settings.model_fields["state_dir"].default)
    try:
        settings = Settings(**data, pipeline=pipelines, config_dir=path.parent)
    except ValidationError as exc:
        raise _explained(exc, path, Settings) from exc
    _check_references(settings, path)
    return settings


def raw(path: Path) -> dict[str, Any]:
    """Return a settings file as it is written, not checked.

    Raises:
        errors.SettingsError: If it is missing or no TOML.
    """
    return _toml(path)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise errors.SettingsError(
            "there is no settings file",
            where=str(path),
            fix="`insights init` writes one; or name yours with --config or INSIGHTS_CONFIG",
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise errors.SettingsError(f"not valid TOML: {exc}", where=str(path)) from exc


def _refuse_literal_secrets(data: dict[str, Any], path: Path) -> None:
    for name, source in data.get("source", {}).items():
        odbc = str(source.get("odbc", "")) if isinstance(source, dict) else ""
        if any(
            part.key.casefold() in _SECRETS and part.value and not part.is_credential
            for part in connections.attributes(odbc)
        ):
            raise errors.SettingsError(
                "a password stands in the settings file",
                where=f"{path}: source.{name}.odbc",
                fix=f"write PWD=${{{name}_password}} and give that credential to the service",
            )
    for where, server in _servers(data):
        key = str(server.get("api_key", "")) if isinstance(server, dict) else ""
        if key and not _WHOLE_CREDENTIAL.match(key):
            raise errors.SettingsError(
                "a key stands in the settings file",
                where=f"{path}: {where}.api_key",
                fix=f"write ${{{where.rsplit('.', 1)[-1]}_key}} and give that credential to the"
                " service",
            )
    if _LITERAL_URL_PASSWORD.search(str(data.get("store", {}).get("url", ""))):
        raise errors.SettingsError(
            "a password stands in the settings file",
            where=f"{path}: store.url",
            fix="write postgresql://user:${store_password}@host/db and give that credential",
        )


def _explained(exc: ValidationError, path: Path, root: type[BaseModel]) -> errors.SettingsError:
    """Turn pydantic's first complaint into one that names the key and the nearest valid one."""
    first = exc.errors(include_url=False)[0]
    keys = [str(part) for part in first["loc"] if part != "[key]"]
    where = f"{path}: {'.'.join(keys) or 'top level'}"
    if first["type"] == "extra_forbidden":
        valid = _valid_keys(root, keys[:-1])
        near = difflib.get_close_matches(keys[-1], valid, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(sorted(valid))}"
        return errors.SettingsError(f"unknown setting {keys[-1]!r}", where=where, fix=fix)
    message = first["msg"].removeprefix("Value error, ")
    return errors.SettingsError(message[0].lower() + message[1:], where=where)


def _valid_keys(root: type[BaseModel], trail: list[str]) -> list[str]:
    """Return the keys that the section at `trail` may have."""
    model: type[BaseModel] = root
    named = False
    for part in trail:
        if named:
            named = False
            continue
        field = model.model_fields.get(part)
        if field is None:
            break
        kind = field.annotation
        if typing.get_origin(kind) is dict:
            kind, named = typing.get_args(kind)[1], True
        if isinstance(kind, types.GenericAlias) or not (
            isinstance(kind, type) and issubclass(kind, BaseModel)
        ):
            break
        model = kind
    hidden = {"pipeline", "config_dir"}
    return [f.alias or name for name, f in model.model_fields.items() if name not in hidden]


def _servers(data: dict[str, typing.Any]) -> typing.Iterator[tuple[str, typing.Any]]:
    """Yield every section that may name a server, and what it says."""
    for name, model in data.get("model", {}).items():
        yield f"model.{name}", model
    yield "traces", data.get("traces")
    where, embedding = "embedding", data.get("embedding")
    while isinstance(embedding, dict):
        for name in ("server", "rerank_server"):
            yield f"{where}.{name}", embedding.get(name)
        where, embedding = f"{where}.previous", embedding.get("previous")


def _check_references(settings: Settings, path: Path) -> None:
    """Every name that a section mentions must exist; every stream has at most one pipeline."""

    def known(kind: str, name: str, names: typing.Iterable[str], where: str) -> None:
        names = sorted(names)
        if name in names:
            return
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"add [{kind}.{name}] to {path}"
        raise errors.SettingsError(f"there is no {kind} {name!r}", where=where, fix=hint)

    if NEAREST in settings.model:
        raise errors.SettingsError(
            f"{NEAREST!r} is no name for a model: it stands for none",
            where=f"{path}: model.{NEAREST}",
            fix="rename the section",
        )
    _refuse_misplaced_inbox(settings, path)
    for where, source in _sources(settings):
        known("source", source, settings.source, f"{path}: {where}")
    for name, rows in ((n, c.stream) for n, c in settings.collection.items() if c.stream):
        known("stream", rows, settings.stream, f"{path}: collection.{name}.stream")
        if settings.stream[rows].sensitive and settings.embedding.leaves:
            raise _leaving(rows, f"{path}: collection.{name}.stream")
    folder = settings.resolve(settings.pipelines_dir)
    for name, pipeline in settings.pipeline.items():
        where = f"{folder / name}.toml"
        for kind, mentioned, names, key in _mentions(settings, pipeline):
            known(kind, mentioned, names, f"{where}: {key}")
        _refuse_the_future(settings, pipeline, f"{where}: examples")
        _keep_sensitive_rows(settings, pipeline, where)
        _keep_personal_rows(settings, pipeline, where)
        escalation.check(pipeline, settings.model, sensitive_stream(settings, pipeline), where)
    _refuse_sharing(settings, folder)
    for where, kind, mentioned in _bounded(settings):
        known(kind, mentioned, getattr(settings, kind), f"{path}: {where}.{kind}")
    _refuse_money_without_tariff(settings, path)


def _mentions(
    settings: Settings, pipeline: PipelineSettings
) -> typing.Iterator[tuple[str, str, typing.Iterable[str], str]]:
    """Yield every name that a pipeline mentions: of what, the name, those there are, its key."""
    yield "stream", pipeline.stream, settings.stream, "stream"
    yield "model", pipeline.model, [*settings.model, NEAREST], "model"
    if pipeline.fallback is not None:
        yield "model", pipeline.fallback, settings.model, "fallback"
    if pipeline.sink is not None:
        yield "sink", pipeline.sink, settings.sink, "sink"
    for name in pipeline.retrieval.collections:
        yield "collection", name, settings.collection, "retrieval.collections"
    if pipeline.examples is not None:
        yield "collection", pipeline.examples.collection, settings.collection, "examples"


def _sources(settings: Settings) -> typing.Iterator[tuple[str, str]]:
    """Yield every setting that names a source, and the name."""
    for name, stream in settings.stream.items():
        if stream.source != INBOX:
            yield f"stream.{name}.source", stream.source
        for verb, mark in (("acknowledge", stream.acknowledge), ("reject", stream.reject)):
            if mark is not None:
                yield f"stream.{name}.{verb}.source", mark.source
    for name, sink in settings.sink.items():
        yield f"sink.{name}.source", sink.source


def _refuse_misplaced_inbox(settings: Settings, path: Path) -> None:
    """The inbox is the store's: no database has its name, and what needs one cannot use it."""
    if INBOX in settings.source:
        raise errors.SettingsError(
            f"{INBOX!r} is no name for a source: it stands for rows that come in through doors",
            where=f"{path}: source.{INBOX}",
            fix="rename the section",
        )
    mine = {name for name, stream in settings.stream.items() if stream.source == INBOX}
    for name, collection in settings.collection.items():
        if collection.stream in mine:
            raise errors.SettingsError(
                "rows of the inbox are forgotten: they are no knowledge",
                where=f"{path}: collection.{name}.stream",
                fix="name a stream of a database, or a folder",
            )
    for name, pipeline in settings.pipeline.items():
        if pipeline.stream in mine and pipeline.sink and settings.sink[pipeline.sink].restore:
            raise errors.SettingsError(
                "rows of the inbox keep nothing that a sink could restore",
                where=f"{settings.resolve(settings.pipelines_dir) / name}.toml: sink",
                fix=f"take restore out of sink.{pipeline.sink}",
            )


def _refuse_sharing(settings: Settings, folder: Path) -> None:
    """A sink belongs to one pipeline; any number of them follow one stream."""
    taken: dict[str, str] = {}
    for name, pipeline in settings.pipeline.items():
        if pipeline.sink is None or pipeline.version_of is not None:
            continue
        if pipeline.sink in taken:
            raise errors.SettingsError(
                f"the sink {pipeline.sink!r} already has pipeline {taken[pipeline.sink]}",
                where=f"{folder / name}.toml: sink",
                fix="declare a second sink with a table of its own",
            )
        taken[pipeline.sink] = name


def _bounded(settings: Settings) -> typing.Iterator[tuple[str, str, str]]:
    """Yield whose each budget and door is: its section, the kind of section, that one's name."""
    for name, door in settings.door.items():
        yield f"door.{name}", "pipeline", door.pipeline
    for name, budget in settings.budget.items():
        for kind in ("pipeline", "stream", "model"):
            if (mentioned := getattr(budget, kind)) is not None:
                yield f"budget.{name}", kind, mentioned


def _refuse_money_without_tariff(settings: Settings, path: Path) -> None:
    """Money is counted where every model that a budget concerns says what it costs."""
    under = (
        (name, model)
        for name, budget in settings.budget.items()
        for pipeline_name, pipeline in settings.pipeline.items()
        if budget.unit == "money" and concerned(settings, budget, pipeline_name)
        for model in ((budget.model,) if budget.model else pipeline.models)
    )
    for name, model in under:
        if settings.model[model].tariff is None:
            raise errors.SettingsError(
                f"money is counted, and the model {model!r} does not say what it costs",
                where=f"{path}: budget.{name}",
                fix=f"add model.{model}.tariff, such as {{ watts = 300, kwh = 0.25 }}",
            )


def concerned(settings: Settings, budget: BudgetSettings, name: str) -> bool:
    """Tell whether the work of a pipeline, or a client's part of it, is under a budget."""
    found = settings.pipeline[name]
    if budget.client is not None:
        return budget.unit != "rows" and settings.stream[found.stream].source == INBOX
    whole = budget.model is None or budget.model in found.models
    mine = budget.pipeline in (None, found.version_of or name)
    return whole and mine and budget.stream in (None, found.stream)


def _refuse_the_future(settings: Settings, pipeline: PipelineSettings, where: str) -> None:
    """Rows of one table are examples of what came before the row in hand, or of nothing."""
    examples = pipeline.examples
    if examples is None:
        return
    collection = settings.collection[examples.collection]
    if not collection.labels:
        raise errors.SettingsError(
            f"the collection {examples.collection!r} has no labels, so it has no examples",
            where=where,
            fix=f"name the columns in collection.{examples.collection}.labels",
        )
    if (collection.time is None) != (examples.time is None):
        raise errors.SettingsError(
            "an example is decided before the row was there, and one of the two times is not set",
            where=where,
            fix=f"set collection.{examples.collection}.time, and time here",
        )
    labelled, asking = settings.stream[str(collection.stream)], settings.stream[pipeline.stream]
    tables = [(one.source, one.schema_, one.table) for one in (labelled, asking)]
    if tables[0] != tables[1] or asking.table is None:
        return
    if collection.time is None:
        raise errors.SettingsError(
            "examples and rows are of one table, so an example could be from a row's future",
            where=where,
            fix=f"set collection.{examples.collection}.time (when a label was decided) and time "
            "here (when a row was there)",
        )
    if labelled.key != asking.key:
        raise errors.SettingsError(
            "examples and rows are of one table and have different keys: a row could be its own "
            "example",
            where=where,
            fix=f"give stream.{collection.stream} the key {list(asking.key)}",
        )


def sensitive_stream(settings: Settings, pipeline: PipelineSettings) -> str | None:
    """Return a sensitive stream whose rows the pipeline's prompts may show; None without one."""
    known = (settings.collection[name].stream for name in pipeline.collections)
    streams = [pipeline.stream, *filter(None, known)]
    return next((name for name in streams if settings.stream[name].sensitive), None)


def _keep_sensitive_rows(settings: Settings, pipeline: PipelineSettings, where: str) -> None:
    """A sensitive stream needs a model on this machine."""
    sensitive = sensitive_stream(settings, pipeline)
    if sensitive is None:
        return
    if pipeline.routes and not any(settings.model[name].path for name in pipeline.routes):
        raise errors.SettingsError(
            f"rows of the sensitive stream {sensitive!r} may not leave this machine",
            where=f"{where}: model",
            fix="use a model that is a file",
        )
    if pipeline.collections and settings.embedding.leaves:
        raise _leaving(sensitive, f"{where}: retrieval.collections")


def _keep_personal_rows(settings: Settings, pipeline: PipelineSettings, where: str) -> None:
    """What keeps rows here has to be looked for in them, and a model has to be here."""
    if not pipeline.local_with:
        return
    looked = settings.stream[pipeline.stream].redact
    named = looked.names_labels.values() if looked.names_model else ()
    denied = ["denied"] if looked.deny else []
    found = [*looked.kinds, *looked.patterns, *looked.columns, *named, *denied]
    known = {"any", *(kind.casefold() for kind in found)}
    for kind in pipeline.local_with:
        if kind not in known:
            raise errors.SettingsError(
                f"{kind!r} is not looked for in the rows of {pipeline.stream!r}",
                where=f"{where}: local_with",
                fix=f"name some of {', '.join(sorted(known))}",
            )
    if pipeline.routes and not any(settings.model[name].path for name in pipeline.routes):
        raise errors.SettingsError(
            "rows with personal data may not leave this machine",
            where=f"{where}: local_with",
            fix="use a model that is a file, as `model` or as `fallback`",
        )
    if pipeline.collections and settings.embedding.leaves:
        raise errors.SettingsError(
            "a server embeds, and rows with personal data may not leave this machine",
            where=f"{where}: local_with",
            fix="embed on this machine, or take local_with out",
        )


def _leaving(stream: str, where: str) -> errors.SettingsError:
    return errors.SettingsError(
        f"a server embeds, and rows of the sensitive stream {stream!r} may not leave this machine",
        where=where,
        fix="embed with a model that is a folder, or leave the collections out",
    )
