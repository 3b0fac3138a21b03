"""Whether what a pipeline's sections say fits its model, its stream and its output."""

from insights.model import Json
from insights.site import calibrations
from insights.site.columns import check as check_columns
from insights.site.settings import Settings
from insights.steps.schema import columns


def fit(
    settings: Settings, name: str, schema: Json, labels: dict[str, str], *, polled: bool
) -> None:
    """Refuse sections that can never hold.

    Args:
        settings: All of them.
        name: The pipeline.
        schema: Its output schema in normal form.
        labels: The label columns of its examples, by property.
        polled: Whether its stream's rows come from a database.

    Raises:
        errors.SettingsError: Naming the section and what does not fit.
    """
    pipeline, said = settings.pipeline[name], columns(schema)
    closed = calibrations.closed(schema)
    check_columns(pipeline.feedback, closed, name, polled=polled)
    if pipeline.adapter:
        pipeline.adapter.fits(settings.model[pipeline.model], name)
    if pipeline.guard:
        pipeline.guard.fits(said, closed, name)
    if pipeline.baseline:
        pipeline.baseline.fits(said, schema.get("required", ()), labels, name)
