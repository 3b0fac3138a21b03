"""What pending rows will take, from what is in the store, or from a sample where nothing is."""

from collections.abc import Callable, Sequence

from insights.enriching.recipe import Recipe
from insights.governance.plan import Estimate, cost_of, estimates
from insights.model import Generation
from insights.store.plans import Plans
from insights.wiring import enriching
from insights.wiring.app import App

MEASURED = 100  # rows of a version that say as much as a sample


def plan(
    app: App, name: str, sample: Callable[[Recipe], Sequence[Generation | None]]
) -> list[Estimate]:
    """Estimate what waits for a pipeline, and keep it for `status`.

    Args:
        app: The site.
        name: The pipeline.
        sample: Takes some rows through a recipe; asked where too few rows were ever made.

    Returns:
        An estimate for each model, the pipeline's own first; none where no model is asked.

    Raises:
        errors.InsightsError: If the pipeline cannot run here.
    """
    definition, plans = app.definition(name), Plans(app.store)
    sha256 = app.sha256(definition)
    waiting = plans.pending(definition.pipeline, sha256)
    cost = plans.cost(sha256)
    rows = 0 if waiting is None else waiting.pending
    if cost is None or cost.rows < MEASURED or waiting is None or not waiting.polled:
        recipe = enriching.trial(app, name)
        if waiting is None or not waiting.polled:
            rows = enriching.rows(app, recipe) or 0
        if rows and (cost is None or cost.rows < MEASURED):
            cost = cost_of(sample(recipe))
    if cost is None:
        return []
    found = estimates(name, rows, cost, definition.settings.models, app.settings.model)
    for one in found[:1]:
        if one.own:
            plans.keep(one)
    return found
