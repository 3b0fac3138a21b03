"""Settings: one TOML file, a folder of pipelines beside it, the environment on top.

`INSIGHTS_STORE__URL=…` overrides `[store] url`. Secrets are never in the files: a setting says
`${name}`, which `environment.reveal` reads from a credential when it is needed. An unknown key is
an error that names the nearest valid one.
"""

import difflib
import re
import socket
import tomllib
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from insights import errors

_LITERAL_PASSWORD = re.compile(r"(?i)(?:^|;)\s*(?:pwd|password)\s*=\s*\{?(?!\$\{)[^;\s{}]")
_LITERAL_URL_PASSWORD = re.compile(r"://[^/@:\s]*:(?!\$\{)[^@/\s]+@")
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)$")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


def seconds(text: str | float) -> float:
    """Return a duration such as `5s`, `2min`, `1h` or a number of seconds, in seconds."""
    if isinstance(text, int | float):
        return float(text)
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 500ms, 5s, 10min, 6h or 1d")
    return float(match.group(1)) * _UNIT_S[match.group(2)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(_Section):
    """`[store]`: the PostgreSQL database that holds ledger, insights and knowledge."""

    url: str | None = None
    connections: int = Field(default=8, ge=2, le=64)


class SourceSettings(_Section):
    """`[source.<name>]`: a read replica, or the database of a sink."""

    odbc: str
    timeout: str | float = "30s"


class RedactionSettings(_Section):
    """`[stream.<name>.redact]`: what becomes a placeholder before a row leaves its reader."""

    kinds: tuple[Literal["email", "card", "iban", "phone", "ip"], ...] = (
        "email",
        "card",
        "iban",
        "phone",
        "ip",
    )
    columns: tuple[str, ...] = ()


class StreamSettings(_Section):
    """`[stream.<name>]`: one table or query of a source, its key, and how its changes are found."""

    source: Name
    table: str | None = None
    schema_: str | None = Field(default=None, alias="schema")
    query: str | None = None
    key: tuple[str, ...] = Field(min_length=1)
    cursor: str | None = None
    pending: str | None = None
    where: str | None = None
    grade: Literal["L0", "L1", "L2", "L3", "L4"] | None = None
    start: str = "beginning"
    overlap: str | float = "60s"
    page_rows: int = Field(default=5_000, ge=1, le=100_000)
    max_text_chars: int = Field(default=200_000, ge=100)
    rows_per_second: int | None = Field(default=None, ge=1)
    quiet_hours: str | None = None
    accept_scan: bool = False
    key_personal: bool = False
    sensitive: bool = False
    poll_every: str | float = "5s"
    sweep_every: str | float = "6h"
    redact: RedactionSettings = RedactionSettings()

    @model_validator(mode="after")
    def _one_way(self) -> "StreamSettings":
        if (self.table is None) == (self.query is None):
            raise ValueError("give exactly one of table and query")
        if self.cursor is not None and self.pending is not None:
            raise ValueError("give at most one of cursor and pending")
        return self


class CollectionSettings(_Section):
    """`[collection.<name>]`: knowledge from a folder of documents, or from a stream's rows.

    Of a stream, `text` names the columns that make a document and `title` the one that names it.
    """

    folder: Path | None = None
    stream: Name | None = None
    title: str | None = None
    text: tuple[str, ...] = ()
    pattern: str = "**/*"
    chunk_tokens: int = Field(default=240, ge=20, le=8192)
    overlap_tokens: int = Field(default=0, ge=0)
    language: str = "english"
    filters: dict[Name, Literal["text", "integer", "boolean", "date"]] = {}

    @model_validator(mode="after")
    def _one_origin(self) -> "CollectionSettings":
        if (self.folder is None) == (self.stream is None):
            raise ValueError("give exactly one of folder and stream")
        if (self.stream is None) != (not self.text):
            raise ValueError("a stream, and only a stream, needs text: the columns to search")
        return self


class EmbeddingSettings(_Section):
    """`[embedding]`: the sentence-transformers model of all collections.

    `previous` is the model it replaces: it answers until every passage has the new one's vector.
    """

    model: str = "all-MiniLM-L6-v2"
    path: Path | None = None
    sha256: str | None = None
    threads: int | None = None
    reranker: Path | None = None
    previous: "EmbeddingSettings | None" = None


class ModelSettings(_Section):
    """`[model.<name>]`: a GGUF file with its SHA-256, or an OpenAI-compatible server."""

    path: Path | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    url: str | None = None
    model: str | None = None
    api_key: str | None = None
    gpu_layers: int | None = None
    context: int | None = Field(default=None, ge=256)
    parallel: int | None = Field(default=None, ge=1, le=512)
    threads: int | None = Field(default=None, ge=1)
    timeout: str | float = "5min"

    @model_validator(mode="after")
    def _one_place(self) -> "ModelSettings":
        if (self.path is None) == (self.url is None):
            raise ValueError("give exactly one of path (a GGUF file) and url (a server)")
        if self.path is not None and self.sha256 is None:
            raise ValueError("a GGUF file needs its sha256 (`sha256sum FILE` prints it)")
        return self


class SinkSettings(_Section):
    """`[sink.<name>]`: the table in a legacy database that shows a pipeline's insights."""

    source: Name
    table: str
    schema_: str | None = Field(default=None, alias="schema")
    view: str | None = None


class DaemonSettings(_Section):
    """`[daemon]`: how this process works through the rows."""

    name: str = Field(default_factory=socket.gethostname)
    batch: int = Field(default=32, ge=1, le=1000)
    in_flight: int = Field(default=64, ge=1, le=10_000)
    lease: str | float = "60s"
    drain: str | float = "25s"
    max_attempts: int = Field(default=5, ge=1, le=100)
    roles: tuple[Literal["poll", "enrich", "publish"], ...] = ("poll", "enrich", "publish")


class LogSettings(_Section):
    """`[log]`: JSON for journald, pretty for people; `auto` asks whether stderr is a terminal."""

    format: Literal["auto", "json", "pretty"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class RetrievalSettings(_Section):
    """`[retrieval]` of a pipeline: which passages a row is given."""

    collections: tuple[Name, ...] = ()
    columns: tuple[str, ...] = ()
    passages: int = Field(default=3, ge=1, le=20)
    max_tokens: int = Field(default=800, ge=50)
    filters: dict[Name, str] = {}
    min_similarity: float = Field(default=0.3, ge=0, le=1)
    rerank: bool = False

    @model_validator(mode="after")
    def _filters_need_collections(self) -> "RetrievalSettings":
        if self.filters and not self.collections:
            raise ValueError("filters need collections to search")
        return self


class SamplingSettings(_Section):
    """`[sampling]` of a pipeline. Temperature 0 is greedy; `max_tokens` bounds the output."""

    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    seed: int = 0
    max_tokens: int = Field(default=512, ge=8, le=8192)


class PipelineSettings(_Section):
    """`pipelines/<name>.toml`: what is made of a stream's rows."""

    stream: Name
    model: Name
    prompt: Path
    schema_: Path = Field(alias="schema")
    sink: Name | None = None
    abstain: tuple[str, ...] = ("not enough information",)
    cut: tuple[str, ...] = ()
    retrieval: RetrievalSettings = RetrievalSettings()
    sampling: SamplingSettings = SamplingSettings()
    timeout: str | float = "5min"


class Settings(BaseSettings):
    """Everything, checked. Relative paths in files are relative to the file that has them."""

    model_config = SettingsConfigDict(
        env_prefix="INSIGHTS_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    state_dir: Path = Path("/var/lib/insights")
    pipelines_dir: Path = Path("pipelines")
    store: StoreSettings = StoreSettings()
    daemon: DaemonSettings = Field(default_factory=DaemonSettings)
    log: LogSettings = LogSettings()
    source: dict[Name, SourceSettings] = {}
    stream: dict[Name, StreamSettings] = {}
    collection: dict[Name, CollectionSettings] = {}
    embedding: EmbeddingSettings = EmbeddingSettings()
    model: dict[Name, ModelSettings] = {}
    sink: dict[Name, SinkSettings] = {}
    pipeline: dict[Name, PipelineSettings] = Field(default_factory=dict, exclude=True)
    config_dir: Path = Field(default=Path(), exclude=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the hook's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: environment over file. `load` passes what it computed from the file as init."""
        return env_settings, init_settings

    def resolve(self, path: Path) -> Path:
        """Return a path of the main file as an absolute one."""
        return path if path.is_absolute() else (self.config_dir / path).resolve()


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
        pipelines[file.stem] = pipeline.model_copy(
            update={
                "prompt": (file.parent / pipeline.prompt).resolve(),
                "schema_": (file.parent / pipeline.schema_).resolve(),
            }
        )
    data.setdefault("state_dir", Settings.model_fields["state_dir"].default)
    try:
        settings = Settings(**data, pipeline=pipelines, config_dir=path.parent)
    except ValidationError as exc:
        raise _explained(exc, path, Settings) from exc
    _check_references(settings, path)
    return settings


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
        if isinstance(source, dict) and _LITERAL_PASSWORD.search(str(source.get("odbc", ""))):
            raise errors.SettingsError(
                "a password stands in the settings file",
                where=f"{path}: source.{name}.odbc",
                fix=f"write PWD=${{{name}_password}} and give that credential to the service",
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


def _check_references(settings: Settings, path: Path) -> None:
    """Every name that a section mentions must exist; every stream has at most one pipeline."""

    def known(kind: str, name: str, names: typing.Iterable[str], where: str) -> None:
        names = sorted(names)
        if name in names:
            return
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"add [{kind}.{name}] to {path}"
        raise errors.SettingsError(f"there is no {kind} {name!r}", where=where, fix=hint)

    for name, stream in settings.stream.items():
        known("source", stream.source, settings.source, f"{path}: stream.{name}.source")
    for name, sink in settings.sink.items():
        known("source", sink.source, settings.source, f"{path}: sink.{name}.source")
    for name, rows in ((n, c.stream) for n, c in settings.collection.items() if c.stream):
        known("stream", rows, settings.stream, f"{path}: collection.{name}.stream")
    folder = settings.resolve(settings.pipelines_dir)
    for name, pipeline in settings.pipeline.items():
        where = f"{folder / name}.toml"
        known("stream", pipeline.stream, settings.stream, f"{where}: stream")
        known("model", pipeline.model, settings.model, f"{where}: model")
        if pipeline.sink is not None:
            known("sink", pipeline.sink, settings.sink, f"{where}: sink")
        for collection in pipeline.retrieval.collections:
            known("collection", collection, settings.collection, f"{where}: retrieval.collections")
    _refuse_sharing(settings, folder)


def _refuse_sharing(settings: Settings, folder: Path) -> None:
    """A stream and a sink belong to one pipeline each."""
    taken: dict[tuple[str, str], str] = {}
    for name, pipeline in settings.pipeline.items():
        for kind, used in (("stream", pipeline.stream), ("sink", pipeline.sink)):
            if used is None:
                continue
            if (kind, used) in taken:
                own = " with a table of its own" if kind == "sink" else " on the same table"
                raise errors.SettingsError(
                    f"the {kind} {used!r} already has pipeline {taken[kind, used]}",
                    where=f"{folder / name}.toml: {kind}",
                    fix=f"declare a second {kind}{own}",
                )
            taken[kind, used] = name
