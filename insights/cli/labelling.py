"""What `calibrate` and `evaluate` share: labels, and labelled rows through a recipe."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from insights import errors
from insights.cli.output import console
from insights.doors import results
from insights.enriching import feedback, labels
from insights.enriching.labelled import Outcome, outcomes
from insights.enriching.labels import Labelled
from insights.enriching.recipe import Recipe
from insights.model import Said
from insights.wiring import enriching
from insights.wiring.app import App

Pipeline = Annotated[str | None, typer.Argument(help="Which pipeline, if there are several")]
Labels = Annotated[
    list[str],
    typer.Option(
        "--labels",
        help="A CSV file with the key and properties of the output, or [PROPERTY=][TABLE.]COLUMN "
        "of the legacy database (may be repeated), or `feedback`: what people said of insights",
    ),
]
Rows = Annotated[int, typer.Option(help="At most so many labelled rows", min=1)]


def found(
    recipe: Recipe,
    wanted: Sequence[str],
    rows: int,
    said: Callable[[], Sequence[Said]] | None = None,
) -> Labelled:
    """Return the labels that are meant: of a file, of columns, or what people said of insights.

    Args:
        recipe: Whose rows and schema it is.
        wanted: What the command was given.
        rows: How many labelled rows at most.
        said: Reads what people said; None where that is no sample to count on.

    Raises:
        errors.SettingsError: If there is none that can be used.
    """
    schema = recipe.output_schema
    file = Path(wanted[0])
    if list(wanted) == [feedback.SOURCE]:
        if said is None:
            raise errors.SettingsError(
                "feedback is no random sample: people look at what they doubt, and saw the answer",
                where="--labels",
                fix="label rows without looking at what the model says of them",
            )
        made = feedback.labelled(recipe, said(), rows)
    elif len(wanted) == 1 and (file.is_file() or file.suffix == ".csv"):
        made = labels.from_file(file, recipe.stream.key, schema)
        some = list(made.truth.items())[:rows]
        made = Labelled(made.source, dict(some), made.left_out)
    else:
        columns = [labels.column(one, schema) for one in wanted]
        made = labels.from_columns(recipe, columns, rows)
    if not made.truth:
        why = "; ".join(f"{count:,}: {reason}" for reason, count in made.left_out.items())
        raise errors.SettingsError(
            "no row has a label", where="--labels", fix=why or "name a column that people fill"
        )
    return made


def run(app: App, recipe: Recipe, made: Labelled, what: str) -> list[Outcome]:
    """Take labelled rows through a recipe, with a bar on a terminal.

    Raises:
        errors.SettingsError: If none of them is on the replica.
    """
    with Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=len(made.truth))
        got = outcomes(
            recipe,
            made.truth,
            enriching.grounds(app),
            done=lambda rows: bar.update(task, completed=rows),
        )
    if not got:
        raise errors.SettingsError(
            f"none of the {len(made.truth):,} labelled rows is on the replica",
            where=f"stream {recipe.stream.name}",
            fix="write keys as `insights dead list` and `insights try` show them",
        )
    return got


def write(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        errors.SettingsError: If it cannot be written.
    """
    try:
        results.write(path, data)
    except OSError as exc:
        raise errors.SettingsError(
            f"the file cannot be written: {exc.strerror}", where=str(path), fix="name another"
        ) from None
