"""config/ explains every setting, with the default that it has."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from insights.site import definitions, files
from insights.site import settings as s
from insights.site.access import JwtSettings
from insights.site.adapters import AdapterSettings
from insights.site.baselines import BaselineSettings
from insights.site.columns import FeedbackSettings
from insights.site.guards import GuardSettings
from insights.site.pipelines import ConfidenceSettings
from insights.site.telemetry import (
    MailSettings,
    PageSettings,
    TracesSettings,
    WebhookSettings,
)

ROOT = Path(__file__).resolve().parents[2] / "config"
LINE = re.compile(r"^(?P<off># )?(?P<name>\w+) = (?P<value>.+)$")
TABLE = re.compile(r"^(?:# )?\[(?P<name>[\w.]+)\]$")
MAIN: dict[str, type[BaseModel]] = {
    "": s.Settings,
    "store": s.StoreSettings,
    "daemon": s.DaemonSettings,
    "log": s.LogSettings,
    "health": s.HealthSettings,
    "page": PageSettings,
    "access.jwt": JwtSettings,
    "serve": s.ServeSettings,
    "traces": TracesSettings,
    "alerts": s.AlertsSettings,
    "alerts.webhook": WebhookSettings,
    "alerts.mail": MailSettings,
    "audit": s.AuditSettings,
    "retention": s.RetentionSettings,
    "source.erp": s.SourceSettings,
    "stream.ticket": s.StreamSettings,
    "stream.ticket.redact": s.RedactionSettings,
    "collection.manuals": s.CollectionSettings,
    "collection.manuals.redact": s.TextRedactionSettings,
    "embedding": s.EmbeddingSettings,
    "model.default": s.ModelSettings,
    "door.exports": s.DoorSettings,
    "sink.triage": s.SinkSettings,
    "budget.night": s.BudgetSettings,
    "queue.desk": s.QueueSettings,
    "webhook.desk": s.OutcomeWebhookSettings,
}
PIPELINE: dict[str, type[BaseModel]] = {
    "": s.PipelineSettings,
    "retrieval": s.RetrievalSettings,
    "examples": s.ExamplesSettings,
    "adapter": AdapterSettings,
    "confidence": ConfidenceSettings,
    "guard": GuardSettings,
    "feedback": FeedbackSettings,
    "baseline": BaselineSettings,
    "injection": s.InjectionSettings,
    "sampling": s.SamplingSettings,
}


def _sections(file: str) -> dict[str, list[re.Match[str]]]:
    found: dict[str, list[re.Match[str]]] = {"": []}
    name = ""
    for line in (ROOT / file).read_text().splitlines():
        if table := TABLE.match(line):
            name = table["name"]
            found[name] = []
        elif setting := LINE.match(line):
            found[name].append(setting)
    return found


CASES = [
    (file, section, model)
    for file, models in (("insights.toml", MAIN), ("pipelines/triage.toml", PIPELINE))
    for section, model in models.items()
]


@pytest.mark.parametrize(("file", "section", "model"), CASES)
def test_each_setting_is_explained(file: str, section: str, model: type[BaseModel]) -> None:
    nested = {
        "redact",
        "retrieval",
        "examples",
        "injection",
        "sampling",
        "webhook",
        "mail",
    }  # sections of their own
    if model is s.PipelineSettings:
        nested |= {"adapter", "confidence", "guard", "feedback", "baseline"}
    if model is s.Settings:
        nested = {"pipeline", "config_dir", *(name.split(".")[0] for name in MAIN)}
    wanted = {field.alias or name for name, field in model.model_fields.items()} - nested
    shown = {setting["name"] for setting in _sections(file)[section]}
    assert shown == wanted


@pytest.mark.parametrize(("file", "section", "model"), CASES)
def test_each_default_shown_is_the_default(file: str, section: str, model: type[BaseModel]) -> None:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    for setting in _sections(file)[section]:
        field = fields[setting["name"]]
        default = None if field.default_factory or field.is_required() else field.default
        if setting["off"] and default not in (None, {}, ()):
            shown = tomllib.loads(f"x = {setting['value']}")["x"]
            if isinstance(default, float) and isinstance(shown, str):  # a duration
                shown = s.seconds(shown)
            assert shown == (list(default) if isinstance(default, tuple) else _plain(default))


def _plain(default: object) -> object:
    return str(default) if isinstance(default, Path) else default


def test_the_example_is_valid() -> None:
    found = files.load(ROOT / "insights.toml")
    assert definitions.read(found, "triage").sink is not None
