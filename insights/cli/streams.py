"""`insights pause` and `insights resume`: a stream's switch."""

import typer

from insights.cli.output import stdout
from insights.wiring.commands import switch


def pause(ctx: typer.Context, stream: str) -> None:
    """Stop reading a stream, and working on its rows, until `insights resume`."""
    changed = switch(ctx.obj, stream, "pause")
    said = "is paused" if changed else "was paused already"
    stdout.print(f"Stream {stream} {said}.", markup=False, highlight=False)


def resume(ctx: typer.Context, stream: str) -> None:
    """Let a stream go on that was paused or has stopped, with its columns as they are now."""
    changed = switch(ctx.obj, stream, "resume")
    said = "goes on at its next poll" if changed else "was neither paused nor stopped"
    stdout.print(f"Stream {stream} {said}.", markup=False, highlight=False)
