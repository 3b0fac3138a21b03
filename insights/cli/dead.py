"""`insights dead`: rows that could not be processed, with their reasons."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from insights import errors
from insights.cli.output import Json, Wide, emit_json, emit_line, shown, stdout
from insights.wiring.commands import dead_letters

app = typer.Typer(help="Dead letters: rows given up after their attempts.", no_args_is_help=True)

Stream = Annotated[str | None, typer.Option("--stream", "-s", help="Only this stream")]


@app.command("list")
def list_(
    ctx: typer.Context,
    stream: Stream = None,
    limit: Annotated[int, typer.Option(help="Most rows shown")] = 50,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List dead letters by reason, the most frequent first; of each reason the newest first."""
    with dead_letters(ctx.obj) as letters:
        rows = letters.list(stream, limit)
        reasons = letters.reasons(stream)
    if as_json:
        emit_json(rows)
        return
    if not reasons:
        stdout.print("No dead letters.")
    for reason, count in reasons.items():
        emit_line(f"[bold]{count:,} rows:[/] {shown(reason)}", wide=wide)
        some = [row for row in rows if row["reason"] == reason]
        for row in some:
            emit_line(f"  {_line(row)}", wide=wide)
        if len(some) < count:
            emit_line(f"  … {count - len(some):,} more: --limit {sum(reasons.values())}")


def _line(row: Mapping[str, Any]) -> str:
    at = row["enqueued_at"].astimezone().strftime("%Y-%m-%d %H:%M:%S")
    tries = f"{row['attempts']} attempt{'s' if row['attempts'] != 1 else ''}"
    return f"{row['work_id']}  {shown(row['stream'])} {shown(row['row_key'])}  {tries}, {at}"


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
