"""`insights pause` and `insights resume`: a stream's switch."""

import typer

from insights.cli.output import stdout
from insights.store.streams import switch
from insights.wiring.adapters import open_store


def pause(ctx: typer.Context, stream: str) -> None:
    """Stop reading a stream, and working on its rows, until `insights resume`."""
    with open_store(ctx.obj) as store:
        changed = switch(store, stream, "pause", actor="insights pause")
    said = "is paused" if changed else "was paused already"
    stdout.print(f"Stream {stream} {said}.", markup=False, highlight=False)


def resume(ctx: typer.Context, stream: str) -> None:
    """Let a stream go on that was paused or has stopped, with its columns as they are now."""
    with open_store(ctx.obj) as store:
        changed = switch(store, stream, "resume", actor="insights resume")
    said = "goes on at its next poll" if changed else "was neither paused nor stopped"
    stdout.print(f"Stream {stream} {said}.", markup=False, highlight=False)
