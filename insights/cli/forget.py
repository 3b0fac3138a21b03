"""`insights forget`: take away all that was made of one row, and keep it out."""

import sys
import time
from contextlib import ExitStack
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli import logins
from insights.cli.logins import PasswordStdin
from insights.cli.output import Json, emit_json, shown, stdout
from insights.site.files import load
from insights.store.forgetting import Forgetting, Standing
from insights.wiring.commands import forgetting

_LOOK_S = 0.25


def forget(
    ctx: typer.Context,
    stream: Annotated[str, typer.Option("--stream", "-s", help="The row's stream")],
    key: Annotated[
        str, typer.Option("--key", "-k", help="The row's key; - reads it from standard input")
    ],
    undo: Annotated[
        bool, typer.Option("--undo", help="Let a row that was forgotten be recorded again")
    ] = False,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait until every sink has said so", min=0)
    ] = 60.0,
    url: Annotated[
        str | None,
        typer.Option(
            help="Log in to the store by this URL; - reads it from stdin [default: store.url]",
            metavar="URL",
        ),
    ] = None,
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Forget one row: its insights, citations, documents and vectors, and what sinks show of it.

    The row's key is kept out from then on, by its keyed hash, though it may still be on the
    replica. The audit keeps empty events. A login of the role insights_retention is needed.
    """
    settings = load(ctx.obj)
    named = url or (settings.store.url if password_stdin else None)
    login = named and logins.taken(named, "--url", "store", password_stdin=password_stdin)
    row_key = sys.stdin.readline().rstrip("\r\n") if key == "-" else key
    if not row_key:
        raise errors.SettingsError("the key is empty", where="--key", fix="name the row's key")
    fed = [name for name, found in settings.collection.items() if found.stream == stream]
    with ExitStack() as stack:
        opened = stack.enter_context(forgetting(settings, login.revealed if login else None))
        if undo:
            opened.allow(stream, row_key)
            _tell_allowed(as_json=as_json)
            return
        number = opened.forget(stream, row_key, fed)
        standing = _ended(opened, number, wait)
    if as_json:
        emit_json({"forgotten": number, **msgspec.to_builtins(standing)})
    elif standing.completed:
        stdout.print("The row is forgotten, and stays out.")
    if not standing.completed:
        waits = ", ".join(standing.sinks) or "what others were shown of it"
        raise errors.Unfinished(
            f"what was made of the row is gone from the store; waiting for {waits}",
            where="forget",
            fix="a daemon with the role publish goes on by itself; `insights status` tells",
        )


def _ended(opened: Forgetting, number: int, wait_s: float) -> Standing:
    """Go on until the forgetting is over, or nothing can be done within the time."""
    until = time.monotonic() + wait_s
    while True:
        while opened.go_on():
            pass
        standing = opened.standing(number)
        if standing.completed or time.monotonic() >= until:
            return standing
        time.sleep(_LOOK_S)


def _tell_allowed(*, as_json: bool) -> None:
    if as_json:
        emit_json({"allowed": True})
    else:
        stdout.print(shown("The row may be recorded again; the next sweep finds it."))
