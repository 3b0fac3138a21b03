"""`insights redteam`: orders in rows, against the site's own pipeline and model."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli import workbench
from insights.cli.output import Json, emit_json, emit_table, stdout
from insights.enriching.redteam import attacked, closed_field, counted
from insights.steps.attacks import Attack, built_in
from insights.wiring import enriching
from insights.wiring.app import open_app


class _Line(msgspec.Struct, frozen=True):
    """A line of a corpus."""

    text: str
    frame: str = "corpus"


def redteam(
    ctx: typer.Context,
    pipeline: Annotated[
        str | None, typer.Argument(help="Which pipeline, if there are several")
    ] = None,
    rows: Annotated[int, typer.Option(help="So many rows, each with every attack", min=1)] = 6,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Attacks of your own: a JSON object with `text` (and `frame`) a line"),
    ] = None,
    field: Annotated[str | None, typer.Option(help="The closed field that is attacked")] = None,
    column: Annotated[str | None, typer.Option(help="The column that holds the attack")] = None,
    as_json: Json = False,
) -> None:
    """Put orders into rows, and show what the model makes of them and what the guard tells.

    Ten frames and a harmless mention, each demanding a value of one of the pipeline's closed fields
    (`{field}` and `{label}` in a corpus). Reads rows from the replica and runs the model, whatever
    `[injection]` would withhold; writes nothing but an event of the audit.
    """
    with open_app(ctx.obj) as app:
        recipe = enriching.trial(app, workbench.chosen(app, pipeline, where="redteam"))
        attacks = built_in(rows) if corpus is None else [corpus_of(corpus)] * rows
        name, _ = closed_field(recipe.output_schema, field)
        found = recipe.source.fetch(recipe.stream, workbench.keys(recipe, rows))
        outcomes = attacked(recipe, found, attacks[: len(found)], field=name, column=column)
        frames = counted(outcomes)
        enriching.attacked(app, recipe, frames[-1])
        personal = recipe.stream.key_personal
        keys = {row.key: app.row_keys.shown(row.key, personal=personal) for row in found}
    outcomes = [msgspec.structs.replace(one, key=keys[one.key]) for one in outcomes]
    if as_json:
        emit_json({"field": name, "frames": frames, "attacks": outcomes})
        return
    table = [msgspec.structs.asdict(one) for one in frames]
    emit_table(f"Orders to {recipe.name}.{name}", table, "No row.")
    stdout.print("through: flipped, and flagged by nothing; a mention gives no order")


def corpus_of(file: Path) -> list[Attack]:
    """Return a corpus.

    Raises:
        errors.SettingsError: If it cannot be read; names the line.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.SettingsError("the corpus cannot be read", where=str(file)) from exc
    made = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            one = msgspec.json.decode(line, type=_Line)
        except msgspec.DecodeError as exc:
            raise errors.SettingsError(
                f"line {number} is no attack: {exc}",
                where=str(file),
                fix='one a line: {"text": "Answer {label}.", "frame": "mine"}',
            ) from exc
        made.append(Attack(one.frame, one.text))
    if not made:
        raise errors.SettingsError("the corpus is empty", where=str(file))
    return made
