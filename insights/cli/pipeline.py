"""`insights pipeline`: the versions of each pipeline, their making, and when each was live."""

from typing import Annotated

import typer

from insights.cli.output import Json, emit_json, emit_table, stdout, visible
from insights.site import versions
from insights.wiring.app import open_app
from insights.wiring.commands import deployments

app = typer.Typer(
    help="Pipelines: their versions, and which of them makes new work.", no_args_is_help=True
)

ACTOR = "insights pipeline"
_SHORT = 12  # characters of a version's SHA-256 that are shown

Name = Annotated[str, typer.Argument(help="The pipeline's name")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]


@app.command("list")
def list_(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only this pipeline")] = None,
    as_json: Json = False,
) -> None:
    """List versions: which is live, since when, and how many insights each has made."""
    with deployments(ctx.obj, ACTOR) as deployed:
        rows = deployed.rows(name)
    if as_json:
        emit_json(rows)
        return
    shown = [
        {
            "pipeline": row["pipeline"],
            "version": row["pipeline_version"][:_SHORT],
            "stage": row["stage"],
            "share": f"{row['share']:.4g}",
            "since": row["changed_at"],
            "by": row["changed_by"],
            "insights": row["insights"],
        }
        for row in rows
    ]
    emit_table("Versions", shown, "No pipeline has run yet: `insights run`.")


@app.command("history")
def history(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show which version was live from when to when, who made it so and why, and its insights then.

    As the audit has it: what retention has sealed is not in it.
    """
    with deployments(ctx.obj, ACTOR) as deployed:
        rows = deployed.history(name)
    if as_json:
        emit_json(rows)
        return
    shown_rows = [
        {
            **row,
            "pipeline_version": row["pipeline_version"][:_SHORT],
            "until": row["until"] or "now",
        }
        for row in rows
    ]
    emit_table("Live versions", shown_rows, f"No version of {name} has been live yet.")


@app.command("show")
def show(
    ctx: typer.Context,
    name: Name,
    version: Annotated[
        str, typer.Argument(help="How its SHA-256 begins [default: the live one]")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show what a version is made of: prompt, schema, model, retrieval, policy."""
    with deployments(ctx.obj, ACTOR) as deployed:
        found = deployed.version(name, version)
    if as_json:
        emit_json(found)
        return
    stdout.print(
        f"{name}, version {found.sha256}: {found.stage} since {found.since:%Y-%m-%d %H:%M}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    for change in versions.changes({}, found.definition):
        _tell(change, made=True)


@app.command("diff")
def diff(
    ctx: typer.Context,
    name: Name,
    before: Annotated[
        str, typer.Argument(help="How its SHA-256 begins [default: the live one]")
    ] = "",
    after: Annotated[
        str, typer.Argument(help="How its SHA-256 begins [default: that of the files here]")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show what differs between two versions, setting by setting.

    Without any, the live version and the files here; where those are the same, the version that
    was live before and the live one.
    """
    here = None
    if not after:
        with open_app(ctx.obj) as opened:
            if name in opened.settings.pipeline:
                here = opened.described(opened.definition(name))
    with deployments(ctx.obj, ACTOR) as deployed:
        old = deployed.version(name, before)
        if after:
            new = deployed.version(name, after)
            sha256, definition = new.sha256, new.definition
        elif here is not None and (before or here[0] != old.sha256):
            sha256, definition = here
        else:
            sha256, definition = old.sha256, old.definition
            former = [one for one in deployed.made_of(name) if one.sha256 != old.sha256]
            old = former[0] if former else old
    found = versions.changes(old.definition, definition)
    if as_json:
        emit_json({"before": old.sha256, "after": sha256, "changes": found})
        return
    stdout.print(f"{name}: {old.sha256[:_SHORT]} → {sha256[:_SHORT]}", markup=False)
    for change in found:
        _tell(change)
    if not found:
        stdout.print("Nothing differs.")


def _tell(change: versions.Change, *, made: bool = False) -> None:
    said = f"{visible(change.before or 'not set')} → {visible(change.after or 'not set')}"
    if change.lines:
        lines = [line[1:] if made else line for line in change.lines if not line.startswith("@@")]
        said = "".join(f"\n    {visible(line)}" for line in lines)
    elif made:
        said = visible(change.after or "not set")
    stdout.print(f"{change.what}: {said}", markup=False, highlight=False, soft_wrap=True)


def backfill(ctx: typer.Context, name: Name, yes: Yes = False) -> None:
    """Let a pipeline's live version do all rows that it has made nothing of.

    A changed prompt regenerates nothing by itself. This says how many rows that is and what it
    would cost, and asks.
    """
    with deployments(ctx.obj, ACTOR) as deployed:
        wanted = deployed.to_backfill(name)
        if wanted.rows == 0:
            stdout.print(f"{name}: there is nothing to do.", markup=False)
            return
        cost = "its cost is not known: it has done no row yet"
        if wanted.tokens_a_row is not None and wanted.ms_a_row is not None:
            cost = (
                f"about {wanted.rows * wanted.tokens_a_row:,.0f} tokens, "
                f"{wanted.rows * wanted.ms_a_row / 3.6e6:,.1f} hours of its model"
            )
        stdout.print(f"{name}: {wanted.rows:,} rows; {cost}.", markup=False)
        if not yes:
            typer.confirm("Do them?", abort=True)
        stdout.print(f"{deployed.backfill(name):,} rows are queued.")
