"""The larger model of a pipeline: which one it may be."""

from collections.abc import Mapping

from insights import errors
from insights.site.models import ModelSettings
from insights.site.pipelines import NEAREST, PipelineSettings


def check(
    pipeline: PipelineSettings,
    models: Mapping[str, ModelSettings],
    sensitive: str | None,
    where: str,
) -> None:
    """Refuse a larger model that is none, or that a pipeline's rows may not go on to.

    Args:
        pipeline: The pipeline.
        models: The site's, by name.
        sensitive: A stream whose rows its prompts may show and that stay on this machine.
        where: The pipeline's file.

    Raises:
        errors.SettingsError: If rows could not go on to it.
    """
    name, here = pipeline.larger, f"{where}: confidence.escalate_to"
    if name is None:
        return
    if name not in models:
        raise errors.SettingsError(
            f"there is no model {name!r}", where=here, fix=f"models: {', '.join(models)}"
        )
    if pipeline.model == NEAREST or name in pipeline.routes:
        raise errors.SettingsError(
            'model = "nearest" has no prompt that a larger model could be asked'
            if pipeline.model == NEAREST
            else f"rows begin with {name!r}: it is no larger model",
            where=here,
            fix="name another model, or leave it out: unsure rows abstain then",
        )
    if sensitive is not None and models[name].path is None:
        raise errors.SettingsError(
            f"rows of the sensitive stream {sensitive!r} may not leave this machine",
            where=here,
            fix="name a model that is a file, or leave it out: unsure rows abstain then",
        )
