"""From the settings of redaction to what readers and loaders redact by."""

from insights.model import NamesModel, Redaction
from insights.site.settings import RedactionSettings, Settings, TextRedactionSettings


def redaction(found: TextRedactionSettings) -> Redaction:
    """Return what a stream's or a collection's texts are redacted by."""
    columns = found.columns if isinstance(found, RedactionSettings) else ()
    return Redaction(
        kinds=found.kinds,
        columns=columns,
        regions=found.regions,
        patterns=tuple(sorted(found.patterns.items())),
        allow=found.allow,
        deny=found.deny,
    )


def names_model(settings: Settings, found: TextRedactionSettings) -> NamesModel | None:
    """Return the model that finds names in what is redacted by these settings, if there is one."""
    if found.names_model is None or found.names_model_sha256 is None:
        return None
    return NamesModel(
        path=str(settings.resolve(found.names_model)),
        sha256=found.names_model_sha256,
        labels=tuple(sorted(found.names_labels.items())),
        allow=found.allow,
    )


def names_models(settings: Settings) -> dict[str, NamesModel]:
    """Return each model that finds names once, by the first section that names it."""
    sections = {
        **{f"stream {name}": found.redact for name, found in settings.stream.items()},
        **{f"collection {name}": found.redact for name, found in settings.collection.items()},
    }
    made: dict[str, NamesModel] = {}
    for place, section in sections.items():
        model = names_model(settings, section)
        if model is not None and model not in made.values():
            made[place] = model
    return made
