"""`insights evaluate`: how often a pipeline is right, by labelled rows; two versions if asked."""

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from insights.cli import labelling, workbench
from insights.cli.evaluation_page import cells, summary
from insights.cli.evaluation_page import page as report
from insights.cli.output import Json, emit_json, emit_table, shown, stdout
from insights.enriching import evaluation
from insights.enriching.evaluation import Evaluation
from insights.wiring import enriching
from insights.wiring.app import open_app
from insights.wiring.commands import deployments

ACTOR = "insights evaluate"
_SHORT = 12


def evaluate(
    ctx: typer.Context,
    wanted: labelling.Labels,
    pipeline: labelling.Pipeline = None,
    against: Annotated[
        str | None,
        typer.Option(help="Another version: how its SHA-256 begins, or `live` for the live one"),
    ] = None,
    rows: labelling.Rows = 1000,
    page: Annotated[Path | None, typer.Option("--html", help="Write a report to this file")] = None,
    as_json: Json = False,
) -> None:
    """Say how often a pipeline is right, on rows that people have decided.

    Accuracy, F1, calibration, what would be wrong at each confidence, abstentions, support, tokens
    and seconds; with --against both versions on the same rows, and the twenty rows most worth a
    look. Reads rows from the replica and runs the models; writes an audit event for each row that
    is shown, and nothing else.
    """
    with open_app(ctx.obj) as app:
        name = workbench.chosen(app, pipeline, where="evaluate")
        here = enriching.trial(app, name)
        sides = [(f"{app.sha256(app.definition(name))[:_SHORT]} (the files here)", here)]
        if against is not None:
            with deployments(ctx.obj, ACTOR) as deployed:
                version = deployed.version(name, "" if against == "live" else against)
            other = enriching.former(app, name, version)
            sides.insert(0, (f"{version.sha256[:_SHORT]} ({version.stage})", other))
        made = labelling.found(here, wanted, rows, partial(enriching.said, app, name))
        runs = [labelling.run(app, recipe, made, f"{name} {title}") for title, recipe in sides]
        looked_at = evaluation.disagreements(*runs)
        if page is not None or as_json:
            keys = list(dict.fromkeys(one.key for one in looked_at))
            app.readings(ACTOR).rows(here.stream.name, keys, pipeline=name)
        personal = here.stream.key_personal
        looked_at = [
            msgspec.structs.replace(one, key=app.row_keys.shown(one.key, personal=personal))
            for one in looked_at
        ]
    found = Evaluation(
        pipeline=name,
        labels=made.source,
        left_out=made.left_out,
        absent=len(made.truth) - len(runs[-1]),
        sides=[
            evaluation.side(title, run, recipe.output_schema)
            for (title, recipe), run in zip(sides, runs, strict=True)
        ],
        paired=evaluation.paired(*runs) if len(runs) > 1 else {},
        disagreements=looked_at,
    )
    if page is not None:
        labelling.write(page, report(found).encode())
    if as_json:
        emit_json(found)
        return
    _show(found)
    if page is not None:
        stdout.print(f"wrote {shown(page)}", highlight=False)


def _show(found: Evaluation) -> None:
    for one in found.sides:
        title = f"{found.pipeline}, version {one.version}: {one.rows:,} rows"
        emit_table(title, [cells(field) for field in one.fields], "No label.")
        stdout.print(shown(summary(one)), highlight=False, soft_wrap=True)
    for name, paired in found.paired.items():
        stdout.print(
            f"{shown(name)}: {paired.gain:+.1%} of all rows ({paired.low:+.1%} to "
            f"{paired.high:+.1%}); only the first right {paired.only_first:,}, only the second "
            f"{paired.only_second:,}; p = {paired.p:.2g}",
            highlight=False,
        )
    for why, count in found.left_out.items():
        stdout.print(f"{count:,} labels left out: {shown(why)}", highlight=False)
    if found.absent:
        stdout.print(f"{found.absent:,} labelled rows are not on the replica", highlight=False)
