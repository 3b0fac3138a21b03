"""`insights sink`: the tables in legacy databases that show insights."""

from typing import Annotated

import typer

from insights import errors
from insights.cli.output import Json, emit_json, emit_table, next_step, stdout
from insights.site import definitions, files
from insights.site.settings import Settings
from insights.wiring.adapters import open_marks, open_sink, sink_ddl
from insights.wiring.commands import outbox

app = typer.Typer(
    help="Sinks: the tables in legacy databases that show insights.", no_args_is_help=True
)

OneName = Annotated[
    str | None, typer.Argument(help="The sink's name in the settings [default: the only one]")
]
Name = Annotated[str, typer.Argument(help="The sink's name in the settings")]


@app.command("ddl")
def ddl(
    ctx: typer.Context,
    name: OneName = None,
    dialect: Annotated[
        str | None,
        typer.Option(help="sqlite, mysql, mariadb, postgresql, mssql or oracle [default: its own]"),
    ] = None,
) -> None:
    """Print what a DBA runs once to make a sink: its table, its view, its grants. Runs nothing.

    The stream's reader is asked how the legacy table is made: the writer need not see it.
    """
    settings = files.load(ctx.obj)
    print(sink_ddl(settings, name or _only(settings), dialect))
    next_step("doctor", then="   (once a DBA has run this)")


@app.command("check")
def check(ctx: typer.Context, name: Name) -> None:
    """Look whether a sink has its table, columns, key and grants; change nothing.

    So for the marks of the rows that it shows, where they are acknowledged or rejected.
    """
    with open_sink(ctx.obj, name) as sink:
        sink.check()
    settings = files.load(ctx.obj)
    for made in (definitions.read(settings, pipeline) for pipeline in settings.pipeline):
        if made.sink is not None and made.sink.name == name and made.marks is not None:
            with open_marks(settings, made.marks) as marks:
                marks.check()
    stdout.print(f"Sink {name} can be written.")


@app.command("refused")
def refused(
    ctx: typer.Context,
    name: Name,
    limit: Annotated[int, typer.Option(help="Most rows shown")] = 50,
    as_json: Json = False,
) -> None:
    """List rows that a sink refused for good, with the reason."""
    with outbox(ctx.obj, name) as told:
        rows = told.refused(limit)
    if as_json:
        emit_json(rows)
    else:
        emit_table("Refused", rows, "No row was refused.")


@app.command("retry")
def retry(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Publish refused rows again, once what they were refused for is mended."""
    with outbox(ctx.obj, name) as told:
        revived = told.retry(actor="insights sink")
    if as_json:
        emit_json({"revived": revived})
    else:
        stdout.print(f"{revived} rows will be published again.")


def _only(settings: Settings) -> str:
    """Return the only sink.

    Raises:
        errors.SettingsError: If there is none, or several.
    """
    if len(settings.sink) != 1:
        raise errors.SettingsError(
            "there is no sink" if not settings.sink else "there are several sinks",
            where="sink ddl",
            fix="name one of " + ", ".join(settings.sink) if settings.sink else "add [sink.<name>]",
        )
    return next(iter(settings.sink))
