"""`insights forget`: take away all that was made of one row, and keep it out."""

import sys
import time
from typing import Annotated

import msgspec
import typer

from insights import errors
from insights.cli import logins
from insights.cli.logins import PasswordStdin
from insights.cli.output import Json, emit_json, shown, stdout
from insights.site.files import load
from insights.site.settings import Settings
from insights.store.forgetting import Forgetting, Standing
from insights.wiring.commands import forgetting
from insights.wiring.forgetting import Sought, fed_by, look_for

_LOOK_S = 0.25


def forget(
    ctx: typer.Context,
    *,
    stream: Annotated[str, typer.Option("--stream", "-s", help="The row's stream")],
    key: Annotated[
        str, typer.Option("--key", "-k", help="The row's key; - reads it from standard input")
    ],
    undo: Annotated[
        bool, typer.Option("--undo", help="Let a row that was forgotten be recorded again")
    ] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Change nothing: look for the row everywhere")
    ] = False,
    text: Annotated[
        list[str] | None,
        typer.Option(help="With --prove: words of the row to look for; may be given again"),
    ] = None,
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
    replica. The audit keeps empty events. A login of the role insights_retention is needed; to
    --prove that nothing is left, the daemon's.
    """
    settings = load(ctx.obj)
    named = url or (settings.store.url if password_stdin else None)
    taken = named and logins.taken(named, "--url", "store", password_stdin=password_stdin)
    login = taken.revealed if taken else None
    row_key = sys.stdin.readline().rstrip("\r\n") if key == "-" else key
    if not row_key:
        raise errors.SettingsError("the key is empty", where="--key", fix="name the row's key")
    if prove:
        _prove(settings, Sought(stream, row_key, tuple(text or ())), login, as_json=as_json)
        return
    with forgetting(settings, login) as opened:
        if undo:
            opened.allow(stream, row_key)
            _tell_allowed(as_json=as_json)
            return
        number = opened.forget(stream, row_key, fed_by(settings, stream))
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


def _prove(settings: Settings, sought: Sought, login: str | None, *, as_json: bool) -> None:
    """Look everywhere for the row, and say where that was.

    Raises:
        errors.NotForgotten: If anything was found.
    """
    proved = look_for(settings, sought, login)
    found = sum(one.found for one in proved.places)
    if as_json:
        emit_json({**msgspec.to_builtins(proved), "found": found})
    else:
        for one in proved.places:
            mark = "[bold red]" if one.found else "[dim]"
            stdout.print(f"{mark}{one.found:>6,}[/]  {shown(one.place)}", soft_wrap=True)
        for note in proved.notes:
            stdout.print(shown(note), soft_wrap=True)
        stdout.print(f"{found:,} found in {len(proved.places)} places.")
    if found:
        raise errors.NotForgotten(
            f"something of the row was found in {sum(one.found > 0 for one in proved.places)} "
            "places",
            where="forget --prove",
            fix="`insights forget` it, or go on with it",
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
