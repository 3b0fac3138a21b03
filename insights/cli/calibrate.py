"""`insights calibrate`: from which confidence on a pipeline's closed fields are right enough."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli import labelling, workbench
from insights.cli.output import Json, emit_json, emit_table, shown, stdout
from insights.enriching import evaluation
from insights.enriching.labelled import Outcome
from insights.enriching.labels import Labelled
from insights.enriching.recipe import Recipe
from insights.site import calibrations
from insights.site.calibrations import Calibration
from insights.steps import cascading
from insights.steps.cascading import PairCertificate, PairCounts
from insights.steps.certifying import LEVEL, Certificate, Counts, certified, needed
from insights.wiring import enriching
from insights.wiring.app import App, open_app

_TARGETS = (0.01, 0.02, 0.05, 0.1)
_OF_TWO = ("models", "to the larger")
_TARGET = re.compile(r"(?P<field>.+?)=(?P<share>[0-9.]+)(?P<percent>\s*%)?")


def calibrate(  # noqa: PLR0917 - each is an option of its own
    ctx: typer.Context,
    wanted: labelling.Labels,
    pipeline: labelling.Pipeline = None,
    rows: labelling.Rows = 1000,
    max_error: Annotated[
        list[str] | None,
        typer.Option(help="FIELD=SHARE that may be wrong, as category=2%; may be repeated"),
    ] = None,
    level: Annotated[
        float, typer.Option(help="How sure the certificate is", min=0.5, max=0.999)
    ] = LEVEL,
    escalate_to: Annotated[
        str | None,
        typer.Option(
            help="A larger model that unsure rows go on to [default: the pipeline's escalate_to]"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The file [default: NAME.calibration.json by the pipeline]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count on labelled rows how often each confidence is right, and certify a share of errors.

    Takes the rows through the model as the daemon would; writes a file of counts, no row text, and
    nothing to the store. With `[confidence]` in the pipeline, rows that are less sure than what is
    certified abstain. A target that these labels do not certify is refused. With a larger model
    both are asked, and certified together: of what is shown of either so much may be wrong.
    """
    targets = dict(map(_target, max_error or ()))
    if escalate_to is not None and len(targets) > 1:
        raise errors.SettingsError(
            "two models are certified together of one field", where="--max-error", fix="name one"
        )
    with open_app(ctx.obj) as app:
        name = workbench.chosen(app, pipeline, where="calibrate")
        larger = escalate_to or app.settings.pipeline[name].larger
        recipe, sha256 = enriching.uncertified(app, name, larger)
        closed = calibrations.closed(recipe.output_schema)
        unknown = [field for field in targets if field not in closed]
        if unknown or not closed:
            raise errors.SettingsError(
                f"{unknown[0]} is no closed field" if unknown else "the output has no closed field",
                where="calibrate",
                fix="closed fields: " + (", ".join(closed) or "none; give a property an enum"),
            )
        made = labelling.found(recipe, wanted, rows)
        outcomes = labelling.run(app, recipe, made, f"{name}: labelled rows")
        pairs = {} if recipe.larger is None else _pairs(app, recipe.larger, made, outcomes, closed)
        folder = app.settings.resolve(app.settings.pipelines_dir)
    fields = {
        field: evaluation.counts(field, outcomes)
        for field in closed
        if any(field in one.truth for one in outcomes)
    }
    _refuse_unsure(fields, outcomes)
    path = out or folder / f"{name}.calibration.json"
    told = f"{made.source}: {len(outcomes):,} rows"
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    written = msgspec.json.encode(Calibration(name, sha256, told, moment, fields, pairs))
    labelling.write(path, msgspec.json.format(written, indent=1) + b"\n")
    table = [
        _row(field, counts, share, level, len(outcomes))
        for field in fields
        for share in ([targets[field]] if field in targets else () if targets else _TARGETS)
        for some in (fields, pairs)
        if (counts := some.get(field)) is not None
    ]
    if not pairs:
        table = [{name: one[name] for name in one if name not in _OF_TWO} for one in table]
    if as_json:
        emit_json({"file": str(path), "rows": len(outcomes), "left_out": made.left_out,
                   "fields": fields, "pairs": pairs, "certified": table})  # fmt: skip
    else:
        emit_table(f"{name}, from {told}", table, "No label is of a closed field.")
        for why, count in made.left_out.items():
            stdout.print(f"{count:,} labels left out: {shown(why)}", highlight=False)
        stdout.print(f"wrote {shown(path)}", highlight=False)
    for field, share in targets.items():
        if field not in fields:
            raise errors.SettingsError(f"there is no label of {field}", where="--labels")
        counts = fields[field] if larger is None else pairs[field]
        if calibrations.least(counts, share, level) is None:
            raise calibrations.refused(field, counts, share, level, where=f"calibrate {name}")
    if targets and not as_json:
        shares = ", ".join(f"{field} = {share:g}" for field, share in targets.items())
        stdout.print(
            f'Write into the pipeline\'s file:\n[confidence]\ncalibration = "{path.name}"\n'
            f"max_error = {{ {shares} }}"
            + ("" if level == LEVEL else f"\nlevel = {level:g}")
            + ("" if larger is None else f'\nescalate_to = "{larger}"'),
            markup=False,
            highlight=False,
        )


def _target(text: str) -> tuple[str, float]:
    found = _TARGET.fullmatch(text.strip())
    share = float(found["share"]) / (100 if found["percent"] else 1) if found else 0.0
    if found is None or not 0 < share < 1:
        raise errors.SettingsError(
            f"{text!r} is no target", where="--max-error", fix="write it as category=2%"
        )
    return found["field"], share


def _refuse_unsure(fields: dict[str, Counts], outcomes: list[Outcome]) -> None:
    """Refuse a model that does not say how sure it is."""
    if any(one.output is not None for one in outcomes) and not any(c.rows for c in fields.values()):
        raise errors.ModelError(
            "the model does not say how sure it is",
            where="calibrate",
            fix="confidence is of models that run here, and of labelled neighbours",
        )


def _pairs(
    app: App, larger: Recipe, made: Labelled, outcomes: Sequence[Outcome], closed: Sequence[str]
) -> dict[str, PairCounts]:
    """Take through the larger model what may go on to it; count each field with both."""
    names = [field for field in closed if any(field in one.truth for one in outcomes)]
    onward = {one.key for one in outcomes if any(evaluation.goes_on(name, one) for name in names)}
    truth = {key: label for key, label in made.truth.items() if key in onward}
    after: Sequence[Outcome] = ()
    if truth:
        some = msgspec.structs.replace(made, truth=truth)
        title = f"{larger.name}: those that may go on to {' or '.join(larger.models)}"
        after = labelling.run(app, larger, some, title)
    return {name: evaluation.pair_counts(name, outcomes, after) for name in names}


def _row(
    field: str, counts: Counts | PairCounts, share: float, level: float, rows: int
) -> dict[str, str | int | None]:
    said: dict[str, str | int | None] = {"field": field, "wrong at most": f"{share:.1%}"}
    if isinstance(counts, PairCounts):
        both = cascading.certified(counts, share, level)
        said |= {
            "models": "both",
            "from confidence": None if both is None else f"{both.first:.4f}, {both.larger:.4f}",
            "to the larger": None if both is None else f"{both.asked / rows:.0%}",
        }
        return said | _shown(both, rows, cascading.needed_rows(share, level))
    found = certified(counts, share, level)
    said |= {
        "models": "the own",
        "from confidence": None if found is None else f"{found.threshold:.4f}",
        "to the larger": None,
    }
    return said | _shown(found, rows, needed(share, level))


def _shown(
    found: Certificate | PairCertificate | None, rows: int, least: int
) -> dict[str, str | int | None]:
    return {
        "rows shown": None if found is None else f"{found.kept / rows:.0%}",
        "of them wrong": None if found is None else f"{found.wrong:,} of {found.kept:,}",
        "labels needed": least,
    }
