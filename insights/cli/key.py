"""`insights key`: from the keyed hash that stands for a personal key to its row, and back."""

import sys
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli.output import Json, emit_json, emit_table, stdout
from insights.site import files
from insights.wiring.commands import row_keys

app = typer.Typer(
    help="Personal keys: which row a keyed hash in a log or a view stands for.",
    no_args_is_help=True,
)


@app.command("find")
def find(
    ctx: typer.Context,
    shown: Annotated[str, typer.Argument(help="The keyed hash", metavar="HASH")],
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="Only this stream")] = None,
    as_json: Json = False,
) -> None:
    """Show the rows that a keyed hash stands for. Their keys are printed as they are.

    Who may do this is decided by the store: its login must be allowed to read the keys.
    """
    with row_keys(ctx.obj) as opened:
        rows = opened.find(shown.strip().lower(), stream)
    if not rows:
        raise errors.RowError(
            "no known row has this keyed hash", where="key find", fix="`insights key hash STREAM`"
        )
    found = [msgspec.structs.asdict(row) for row in rows]
    if as_json:
        emit_json(found)
    else:
        emit_table("Rows", found, "")


@app.command("hash")
def hash_(
    ctx: typer.Context,
    stream: Annotated[str, typer.Argument(help="The stream")],
    as_json: Json = False,
) -> None:
    """Read a key from standard input, and print how logs and views show it.

    From standard input, because what is typed as an argument stays in a shell's history.
    """
    settings = files.load(ctx.obj)
    if stream not in settings.stream:
        raise errors.SettingsError(
            f"there is no stream {stream!r}",
            where="key hash",
            fix="streams: " + (", ".join(settings.stream) or "none"),
        )
    key = typer.prompt("Key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    with row_keys(settings) as opened:
        shown = opened.shown(key.rstrip("\r\n"), personal=settings.stream[stream].key_personal)
    if as_json:
        emit_json({"shown_key": shown})
    else:
        stdout.print(shown, markup=False, highlight=False, soft_wrap=True)
