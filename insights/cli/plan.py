"""`insights plan`: rows, tokens, hours and money of what is pending, before anything is spent."""

from typing import Annotated

import typer

from insights.cli import workbench
from insights.cli.output import Json, emit_json, emit_table, stdout
from insights.wiring import planning
from insights.wiring.app import open_app

HOUR_S = 3600.0


def plan(
    ctx: typer.Context,
    pipeline: Annotated[str | None, typer.Argument(help="Only this pipeline")] = None,
    sample: Annotated[
        int, typer.Option(help="Rows to try where too few were ever made", min=1, max=500)
    ] = 40,
    as_json: Json = False,
) -> None:
    """Estimate what pending rows will take, with each model side by side.

    From what rows of the same version took; where fewer than a hundred were made, a sample is taken
    through the model, as `insights try` does. Kept, so that `insights status` tells how right it
    was. Hours are the model's.
    """
    with open_app(ctx.obj) as app:
        names = [pipeline] if pipeline else list(app.settings.pipeline)
        found = [
            one
            for name in names
            for one in planning.plan(app, name, lambda recipe: workbench.sampled(recipe, sample))
        ]
    if as_json:
        emit_json(found)
        return
    rows = [
        {
            "pipeline": one.pipeline,
            "model": f"{one.model} ({one.place}{', its own' if one.own else ''})",
            "rows": one.rows,
            "tokens": round(one.tokens),
            "model hours": None if one.seconds is None else f"{one.seconds / HOUR_S:,.3g}",
            "money": None if one.money is None else f"{one.money:,.4g}",
        }
        for one in found
    ]
    emit_table("Plan", rows, "Nothing that asks a model is pending.")
    for one in found:
        if one.own:
            stdout.print(f"{one.pipeline}: from {one.basis}.", markup=False, highlight=False)
