"""`insights drain`: daemons finish what they hold, and end."""

import os
import time
from typing import Annotated

import typer

from insights import errors
from insights.cli.output import Json, console, emit_json, shown, stdout
from insights.site.files import load
from insights.site.values import seconds
from insights.store.reports import DaemonReport, Reports
from insights.wiring import commands

_LOOKS_S = 1.0


def drain(
    ctx: typer.Context,
    daemon: Annotated[
        list[str] | None,
        typer.Argument(help="Names as `insights status` has them [default: those of this host]"),
    ] = None,
    everywhere: Annotated[bool, typer.Option("--all", help="All daemons of the store")] = False,
    timeout: Annotated[str, typer.Option(help="How long to wait for them")] = "10min",
    as_json: Json = False,
) -> None:
    """Let daemons finish the rows that they hold and claim no more; they end when they hold none.

    A stop (`systemctl stop`) gives rows back after [daemon] drain; this waits for them. Ctrl-C, or
    a timeout, and they go on as before. systemd leaves them ended until `systemctl start`.
    """
    settings = load(ctx.obj)
    patience_s = _duration(timeout)
    with commands.draining(settings, f"insights drain {os.getpid()}") as (reports, leases):
        wanted = _wanted(reports, daemon or [], settings.daemon.name, everywhere=everywhere)
        if not wanted:
            console.print("No daemon runs on this store." if everywhere else "None runs here.")
        for name in wanted:
            if leases.take(f"drain {name}") is None:
                console.print(f"{shown(name)} is drained by another command already")
        began = time.monotonic()
        left = wanted
        with console.status("") as progress:
            while left and time.monotonic() - began < patience_s:
                waited = f"{time.monotonic() - began:.0f} s"
                progress.update(f"{shown(', '.join(left))}: finishing what is in hand, {waited}")
                time.sleep(_LOOKS_S)
                for name in left:
                    leases.take(f"drain {name}")
                left = [one.holder for one in _alive(reports) if one.holder in left]
    ended = [name for name in wanted if name not in left]
    if as_json:
        emit_json({"ended": ended, "left": left})
    for name in ended if not as_json else ():
        stdout.print(f"{shown(name)} has finished what it held, and ended.")
    if left:
        raise errors.NotReady(
            f"{', '.join(left)} did not finish within {timeout}, and goes on as before",
            where="insights drain",
            fix="a longer --timeout, or `systemctl stop insights`: it gives back what is not done",
        )


def _wanted(reports: Reports, names: list[str], host: str, *, everywhere: bool) -> list[str]:
    """Return the daemons to drain.

    Raises:
        errors.DaemonUnavailable: If one that is named does not run.
    """
    alive = [one.holder for one in _alive(reports)]
    if missing := [name for name in names if name not in alive]:
        raise errors.DaemonUnavailable(
            f"no daemon {missing[0]!r} runs on this store",
            where="insights drain",
            fix="`insights status` has their names",
        )
    if names or everywhere:
        return names or alive
    return [name for name in alive if name.startswith(f"{host}-")]


def _alive(reports: Reports) -> list[DaemonReport]:
    return [one for one in reports.daemons() if not one.lost]


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as exc:
        raise errors.SettingsError(str(exc), where="--timeout", fix="write it as 10min") from None
