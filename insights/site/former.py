"""A pipeline as one of its versions was, made again from what the store keeps of it."""

from typing import Any

import msgspec

from insights import errors
from insights.model import Json
from insights.site import definitions
from insights.site.adapters import AdapterSettings
from insights.site.calibrations import Certificates
from insights.site.definitions import Definition
from insights.site.pipelines import ConfidenceSettings, confidence_of
from insights.site.settings import NEAREST, RetrievalSettings, SamplingSettings, Settings
from insights.site.versions import Version, changes
from insights.steps.normalise import normalised
from insights.steps.prompt import Template

_SAME = ("examples", "redaction", "names", "chat_template")


def former(
    settings: Settings, now: Definition, now_facts: Json, version: Version
) -> tuple[Definition, Certificates]:
    """Return a version's definition, and the least confidence it asks for, of a larger model too.

    Prompt, schema, retrieval, sampling and policy are the version's own. Its model has to be among
    the models here; examples and redaction have to be those of today.

    Raises:
        errors.SettingsError: Naming what it needs and is not here.
    """
    facts: dict[str, Any] = version.definition
    where = f"version {version.sha256[:12]} of {now.name}"
    for name in _SAME:
        if facts.get(name) != now_facts.get(name):
            (first, *_) = changes({name: facts.get(name)}, {name: now_facts.get(name)})
            raise errors.SettingsError(
                f"{first.what} was {first.before or 'not set'}, now {first.after or 'not set'}",
                where=where,
                fix="put it back as it was, or compare with a newer version",
            )
    template = Template(str(facts["template"]), where=where)
    written: Json = msgspec.json.decode(str(facts["schema"]))
    retrieval = RetrievalSettings.model_validate(facts["retrieval"])
    pipeline = now.settings.model_copy(
        update={
            "model": (model := _model(settings, facts["generator"], where)),
            "adapter": _adapter(settings, model, facts.get("adapter"), where),
            "confidence": _confidence(settings, facts, where),
            "fallback": None,
            "baseline": None,
            "abstain": tuple(facts["abstain"]),
            "cut": tuple(facts["cut"]),
            "retrieval": retrieval,
            "sampling": SamplingSettings.model_validate(facts["sampling"]),
            "min_support": facts.get("min_support"),
        }
    )
    found = pipeline.examples
    asked = {*retrieval.columns, *retrieval.filters.values()}
    if found is not None:
        asked |= {*found.columns, *found.filters.values(), *filter(None, [found.time])}
    inputs = tuple(sorted(template.columns() | asked))
    extra = tuple(sorted(set(now.stream.redaction.columns) - set(inputs)))
    made = msgspec.structs.replace(
        now,
        settings=pipeline,
        template=template,
        written_schema=written,
        output_schema=normalised(written, where),
        stream=msgspec.structs.replace(now.stream, inputs=inputs, extra=extra),
        certificates=None,
    )
    larger = facts.get("larger", {})
    least = Certificates("", facts.get("confidence", {}), larger.get("confidence", {}))
    return made, least


def _confidence(settings: Settings, facts: Json, where: str) -> ConfidenceSettings | None:
    """Return what names the larger model that a version went on to; its targets are certified."""
    found: Any = facts.get("larger")
    if found is None:
        return None
    name = _model(settings, found["generator"], where)
    now = definitions.generator(settings, name).get("chat_template")
    if now != found.get("chat_template"):
        raise errors.SettingsError(
            "the chat template of its larger model is another one now",
            where=where,
            fix=f"put model.{name}.chat_template back, or compare with a newer version",
        )
    return confidence_of(name)


def _adapter(
    settings: Settings, model: str, wanted: Json | None, where: str
) -> AdapterSettings | None:
    """Return the adapter that a version was made under: one that a pipeline here has."""
    if wanted is None:
        return None
    for pipeline in settings.pipeline.values():
        found = pipeline.adapter
        if found and pipeline.model == model and found.sha256 == wanted["sha256"]:
            return found.model_copy(update={"scale": wanted["scale"]})
    raise errors.SettingsError(
        f"its adapter is not here: {wanted['sha256'][:16]}",
        where=where,
        fix="keep a pipeline with that adapter, such as one with version_of",
    )


def _model(settings: Settings, generator: Any, where: str) -> str:  # noqa: ANN401 - JSON
    """Return the name of the model that a version was made with."""
    if generator == NEAREST:
        return NEAREST
    for name, model in settings.model.items():
        if generator in (model.sha256, {"url": model.url, "model": model.model}):
            return name
    told = generator if isinstance(generator, str) else generator.get("model")
    raise errors.SettingsError(
        f"its model is not here: {str(told)[:16]}",
        where=where,
        fix="add a [model.NAME] section with that model's file",
    )
