"""Budgets: from the settings to the store, for the versions that a daemon has."""

from collections.abc import Iterable

from insights import errors
from insights.enriching.recipe import Recipe
from insights.governance.budget import Costs, reserve
from insights.site.files import concerned
from insights.site.settings import BudgetSettings, PipelineSettings, Settings
from insights.store.budgets import Budget, Budgets
from insights.wiring.app import App


def costs(settings: Settings, recipes: Iterable[Recipe]) -> Costs:
    """Return what tells the cost of what these recipes make."""
    found = list(recipes)
    return Costs(
        settings.model,
        {recipe.version_id: recipe.models for recipe in found},
        {one.version_id: one.larger.models for one in found if one.larger is not None},
    )


def put(app: App, recipes: Iterable[Recipe]) -> None:
    """Put the versions of these recipes under the budgets of the settings.

    Raises:
        errors.SettingsError: As `check`.
    """
    settings, found = app.settings, list(recipes)
    check(settings)
    wanted = [
        Budget(
            name=name,
            concerns=_concerns(budget),
            model=budget.model,
            client=budget.client,
            unit=budget.unit,
            per=budget.per,
            time_zone=budget.time_zone,
            soft=budget.soft,
            hard=budget.hard,
            reserves={
                recipe.version_id: _reserve(settings, budget, settings.pipeline[recipe.name])
                for recipe in found
                if concerned(settings, budget, recipe.name)
            },
            yields=frozenset(
                recipe.version_id for recipe in found if _yields(settings, budget, recipe)
            ),
        )
        for name, budget in sorted(settings.budget.items())
    ]
    Budgets(app.store, app.holder).put(
        [one for one in wanted if one.reserves or one.client is not None],
        [recipe.version_id for recipe in found],
    )


def check(settings: Settings) -> None:
    """Refuse a budget under which no row could begin.

    Raises:
        errors.SettingsError: If it is less than what one row may take.
    """
    for name, budget in settings.budget.items():
        for pipeline_name, pipeline in settings.pipeline.items():
            if budget.hard is None or not concerned(settings, budget, pipeline_name):
                continue
            most = _reserve(settings, budget, pipeline)
            if most > budget.hard:
                raise errors.SettingsError(
                    f"a row of {pipeline_name} may take {most:,.10g} {budget.unit}, and there are "
                    f"{budget.hard:,.10g} a {budget.per}: none could begin",
                    where=f"budget.{name}",
                    fix="raise hard, or say in reserve what a row takes at most",
                )


def _reserve(settings: Settings, budget: BudgetSettings, pipeline: PipelineSettings) -> float:
    """Return what a row takes at most: of a pipeline with a larger model it may be at both."""
    steps: list[tuple[str, ...]] = [pipeline.routes]
    if pipeline.larger is not None and budget.unit != "rows" and budget.reserve is None:
        steps.append((pipeline.larger,))
    named = ([name for name in one if budget.model in (None, name)] for one in steps)
    return sum(
        reserve(
            budget,
            {name: settings.model[name] for name in some},
            max_tokens=pipeline.sampling.max_tokens,
            deadline_s=pipeline.timeout,
        )
        for some in named
    )


def _yields(settings: Settings, budget: BudgetSettings, recipe: Recipe) -> bool:
    """Whether rows may go elsewhere once it is used up: none that is, or may be, to stay here."""
    pipeline = settings.pipeline[recipe.name]
    if budget.model not in pipeline.routes or not pipeline.budget_fallback:
        return False
    kept = recipe.stream.sensitive or bool(recipe.local_with)
    return settings.model[budget.model].url is not None or not kept


def _concerns(budget: BudgetSettings) -> str:
    for kind in ("pipeline", "stream", "model", "client"):
        if (name := getattr(budget, kind)) is not None:
            return f"{kind} {name}"
    return "everything"
