"""`insights dead`: rows that could not be processed, with their reasons."""

from typing import Annotated

import typer

from insights import errors
from insights.cli.output import Json, emit_json, emit_table, shown, stdout
from insights.wiring.commands import dead_letters

app = typer.Typer(help="Dead letters: rows given up after their attempts.", no_args_is_help=True)

Stream = Annotated[str | None, typer.Option("--stream", "-s", help="Only this stream")]


@app.command("list")
def list_(
    ctx: typer.Context,
    stream: Stream = None,
    limit: Annotated[int, typer.Option(help="Most rows shown")] = 50,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    with dead_letters(ctx.obj) as letters:
        rows = letters.list(stream, limit)
    if as_json:
        emit_json(rows)
    else:
        emit_table("Dead letters", rows, "No dead letters.")


@app.command("show")
def show(ctx: typer.Context, work_id: int, as_json: Json = False) -> None:
    """Show one dead letter and what the audit knows of its row."""
    with dead_letters(ctx.obj) as letters:
        letter = letters.show(work_id)
    if letter is None:
        raise errors.RowError(
            f"there is no dead letter {work_id}", where="dead show", fix="`insights dead list`"
        )
    if as_json:
        emit_json(letter)
        return
    for name, value in letter.items():
        stdout.print(f"[bold]{name.replace('_', ' ')}[/]: {shown(value)}")


@app.command("retry")
def retry(
    ctx: typer.Context,
    work_id: Annotated[int | None, typer.Argument(help="One dead letter; without it, all")] = None,
    stream: Stream = None,
    as_json: Json = False,
) -> None:
    """Give dead letters a fresh start: one, those of a stream, or all."""
    with dead_letters(ctx.obj) as letters:
        revived = letters.retry(stream=stream, work_id=work_id, actor="insights dead")
    if as_json:
        emit_json({"revived": revived})
    else:
        stdout.print(f"{revived} rows will be tried again.")
