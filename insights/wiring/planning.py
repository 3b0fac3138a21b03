"""What pending rows will take, from what is in the store, or from a sample where nothing is."""

from collections.abc import Callable, Sequence

from insights.enriching.recipe import Recipe
from insights.governance.budget import Costs
from insights.governance.plan import Estimate, cost_of, estimates
from insights.model import Generation
from insights.site.settings import PipelineSettings
from insights.store.plans import Plans
from insights.wiring import enriching
from insights.wiring.app import App

_TRIAL = 0
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
    costs = _costs(app, definition.settings)
    sha256 = app.sha256(definition)
    waiting = plans.pending(definition.pipeline, sha256)
    cost = plans.cost(sha256)
    rows = 0 if waiting is None else waiting.pending
    if cost is None or cost.rows < MEASURED or waiting is None or not waiting.polled:
        recipe = enriching.trial(app, name)
        if waiting is None or not waiting.polled:
            rows = enriching.rows(app, recipe) or 0
        if rows and (cost is None or cost.rows < MEASURED):
            cost = cost_of(sample(recipe), lambda made: _paid(costs, made))
    if cost is None:
        return []
    settings = definition.settings
    found = estimates(
        name, rows, cost, settings.models, app.settings.model, cascade=settings.larger is not None
    )
    for one in found[:1]:
        if one.own:
            plans.keep(one)
    return found


def _costs(app: App, pipeline: PipelineSettings) -> Costs:
    """Return what tells the cost of a version that has no number yet."""
    larger = {} if pipeline.larger is None else {_TRIAL: (pipeline.larger,)}
    return Costs(app.settings.model, {_TRIAL: pipeline.routes}, larger)


def _paid(costs: Costs, made: Generation) -> float | None:
    paid = [one.money for one in costs.of(_TRIAL, made)]
    return None if None in paid else sum(filter(None, paid))
