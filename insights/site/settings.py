"""Settings: one TOML file, a folder of pipelines beside it, the environment on top.

`INSIGHTS_STORE__URL=…` overrides `[store] url`. Secrets are never in the files: a setting says
`${name}`, which `environment.reveal` reads from a credential when it is needed. An unknown key is
an error that names the nearest valid one.
"""

import socket
from pathlib import Path
from typing import Literal

from pydantic import (
    Field,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from insights.site.access import AccessSettings
from insights.site.audit import AuditSettings, RetentionSettings
from insights.site.budgets import BudgetSettings, TariffSettings
from insights.site.doors import DoorSettings
from insights.site.models import EmbeddingSettings, ModelSettings
from insights.site.personal import PersonalKind, RedactionSettings, TextRedactionSettings
from insights.site.pipelines import (
    NEAREST,
    ExamplesSettings,
    InjectionSettings,
    PipelineSettings,
    RetrievalSettings,
    SamplingSettings,
)
from insights.site.queues import QueueSettings
from insights.site.serve import ServeSettings
from insights.site.streams import MarkSettings, StreamSettings, check_attachment
from insights.site.telemetry import AlertsSettings, PageSettings, TracesSettings
from insights.site.values import Duration, Name, Section, seconds
from insights.site.webhooks import OutcomeWebhookSettings

__all__ = [
    "NEAREST",
    "AccessSettings",
    "AlertsSettings",
    "AuditSettings",
    "BudgetSettings",
    "CollectionSettings",
    "DaemonSettings",
    "DoorSettings",
    "Duration",
    "EmbeddingSettings",
    "ExamplesSettings",
    "HealthSettings",
    "InjectionSettings",
    "LogSettings",
    "MarkSettings",
    "ModelSettings",
    "Name",
    "OutcomeWebhookSettings",
    "PersonalKind",
    "PipelineSettings",
    "QueueSettings",
    "RedactionSettings",
    "RetentionSettings",
    "RetrievalSettings",
    "SamplingSettings",
    "ServeSettings",
    "Settings",
    "SinkSettings",
    "SourceSettings",
    "StoreSettings",
    "StreamSettings",
    "TariffSettings",
    "TextRedactionSettings",
    "seconds",
]


_LAST_PORT = 65_535


class StoreSettings(Section):
    """`[store]`: the PostgreSQL database that holds ledger, insights and knowledge."""

    url: str | None = None
    connections: int = Field(default=8, ge=2, le=64)
    as_root: bool = False


class SourceSettings(Section):
    """`[source.<name>]`: a read replica, or the database of a sink."""

    odbc: str
    timeout: Duration = seconds("30s")


class CollectionSettings(Section):
    """`[collection.<name>]`: knowledge from a folder of documents, or from a stream's rows.

    Of a stream, `text` names the columns that make a document and `title` the one that names it;
    `labels` names those that hold what people decided, and `time` the one that tells when;
    `attachment` a binary column with a file, and `attachment_name` the column of its name.
    The daemon looks for changes every `sync_every`; `0s` leaves that to `insights knowledge sync`.
    """

    folder: Path | None = None
    stream: Name | None = None
    title: str | None = None
    text: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    time: str | None = None
    attachment: str | None = None
    attachment_name: str | None = None
    attachment_mib: int = Field(default=10, ge=1, le=64)
    ocr_pages: int = Field(default=0, ge=0, le=10_000)
    pattern: str = "**/*"
    chunking: Literal["recursive", "fixed", "semantic"] = "recursive"
    chunk_tokens: int = Field(default=240, ge=20, le=8192)
    overlap_tokens: int = Field(default=0, ge=0)
    language: str = "english"
    filters: dict[Name, Literal["text", "integer", "boolean", "date"]] = Field(default_factory=dict)
    sync_every: Duration = seconds("10min")
    redact: TextRedactionSettings = TextRedactionSettings()

    @model_validator(mode="after")
    def _one_origin(self) -> "CollectionSettings":
        if (self.folder is None) == (self.stream is None):
            raise ValueError("give exactly one of folder and stream")
        if (self.stream is None) != (not self.text and self.attachment is None):
            raise ValueError("a stream, and only a stream, needs text: the columns to search")
        others = (self.title, *self.text, *self.filters)
        check_attachment(self.attachment, self.attachment_name, others)
        if self.chunking == "semantic" and self.overlap_tokens:
            raise ValueError("overlap_tokens: passages that end where a subject does share nothing")
        if self.stream is not None and "redact" in self.model_fields_set:
            raise ValueError("rows are redacted as [stream.<name>.redact] says; put it there")
        if self.labels and self.stream is None:
            raise ValueError("labels are columns of a stream, and a folder has none")
        if self.labels and self.attachment is not None:
            raise ValueError("a labelled row is compared by its text: it has no attachment")
        if self.time is not None and not self.labels:
            raise ValueError("time tells when labels were decided, and there are no labels")
        return self


class SinkSettings(Section):
    """`[sink.<name>]`: the table in a legacy database that shows a pipeline's insights."""

    source: Name
    table: str
    schema_: str | None = Field(default=None, alias="schema")
    view: str | None = None
    text: Literal["plain", "html", "csv"] = "plain"
    restore: tuple[str, ...] = ()
    confidence: bool = False


class DaemonSettings(Section):
    """`[daemon]`: how this process works through the rows."""

    name: str = Field(default_factory=socket.gethostname)
    batch: int | None = Field(default=None, ge=1, le=1000)
    in_flight: int | None = Field(default=None, ge=1, le=10_000)
    lease: Duration = seconds("60s")
    drain: Duration = seconds("25s")
    max_attempts: int = Field(default=5, ge=1, le=100)
    confine: bool = True
    roles: tuple[Literal["poll", "knowledge", "enrich", "publish"], ...] = (
        "poll",
        "knowledge",
        "enrich",
        "publish",
    )


class LogSettings(Section):
    """`[log]`: JSON for journald, pretty for people; `auto` asks whether stderr is a terminal."""

    format: Literal["auto", "json", "pretty"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class HealthSettings(Section):
    """`[health]`: where health and metrics are answered over HTTP, as `host:port`; "" is nowhere.

    `listen` is the daemon's, `serve` that of `insights serve`, `queues` that of `insights listen`.
    """

    listen: str = "127.0.0.1:9187"
    serve: str = ""
    queues: str = ""

    @field_validator("listen", "serve", "queues")
    @classmethod
    def _address(cls, listen: str) -> str:
        host, colon, port = listen.rpartition(":")
        known = host and (":" not in host or host.startswith("[")) and port.isdecimal()
        if listen and not (colon and known and int(port) <= _LAST_PORT):
            raise ValueError(f"{listen!r} is no address; write it as 127.0.0.1:9187 or [::1]:9187")
        return listen


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
    health: HealthSettings = HealthSettings()
    page: PageSettings = PageSettings()
    access: AccessSettings = AccessSettings()
    serve: ServeSettings = ServeSettings()
    traces: TracesSettings = TracesSettings()
    alerts: AlertsSettings = AlertsSettings()
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
    source: dict[Name, SourceSettings] = Field(default_factory=dict)
    stream: dict[Name, StreamSettings] = Field(default_factory=dict)
    collection: dict[Name, CollectionSettings] = Field(default_factory=dict)
    embedding: EmbeddingSettings = EmbeddingSettings()
    model: dict[Name, ModelSettings] = Field(default_factory=dict)
    door: dict[Name, DoorSettings] = Field(default_factory=dict)
    sink: dict[Name, SinkSettings] = Field(default_factory=dict)
    budget: dict[Name, BudgetSettings] = Field(default_factory=dict)
    queue: dict[Name, QueueSettings] = Field(default_factory=dict)
    webhook: dict[Name, OutcomeWebhookSettings] = Field(default_factory=dict)
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
