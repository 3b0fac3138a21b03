"""The command line. Commands are thin: they read options, call the wired parts, print."""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from insights import errors
from insights.cli import exits
from insights.cli.output import console, remember, runnable, shown
from insights.governance import access
from insights.ground import logs
from insights.ground.environment import config_path

# Where each command is: its module here, and its function or its own commands.
_COMMANDS = {
    "init": "init.init",
    "migrate": "migrate.migrate",
    "doctor": "doctor.doctor",
    "try": "try_.try_",
    "enrich": "enrich.enrich",
    "replay": "replay.replay",
    "evaluate": "evaluate.evaluate",
    "calibrate": "calibrate.calibrate",
    "redteam": "redteam.redteam",
    "run": "run.run",
    "serve": "serve.serve",
    "listen": "listen.listen",
    "health": "health.health",
    "status": "status.status",
    "budget": "budget.budget",
    "pause": "streams.pause",
    "resume": "streams.resume",
    "drain": "drain.drain",
    "forget": "forget.forget",
    "tune": "tune.tune",
    "unit": "unit.unit",
    "support-bundle": "support_bundle.support_bundle",
    "plan": "plan.plan",
    "promote": "rollout.promote",
    "rollback": "rollout.rollback",
    "backfill": "pipeline.backfill",
    "alert": "alert.app",
    "audit": "audit.app",
    "dead": "dead.app",
    "export": "export.app",
    "key": "key.app",
    "knowledge": "knowledge.app",
    "pipeline": "pipeline.app",
    "redact": "redact.app",
    "service": "service.app",
    "sink": "sink.app",
}


class _Commands(Mapping[str, Any]):
    """The commands by name; a module is read when its command is asked for, not before."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - typer's own command or group
        module, _, member = _COMMANDS[name].partition(".")
        found = getattr(import_module(f"{__name__}.{module}"), member)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(name)(found)
            return typer.main.get_command(alone)
        group = typer.main.get_group(found)
        group.name = name
        return group

    def __iter__(self) -> Iterator[str]:
        return iter(_COMMANDS)

    def __len__(self) -> int:
        return len(_COMMANDS)


class _Group(TyperGroup):
    """A command starts in the time that it takes to read it, not to read them all."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - whatever typer gives it
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]  # a mapping is all that is asked


app = typer.Typer(
    name="insights",
    cls=_Group,
    help="AI insights for software that cannot be changed: rows from a legacy database's read "
    "replica in, an insights table that the legacy application displays out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First steps: insights init; each command prints the next.\n\n"
    "Exit codes (docs/errors.md): 0 done; 1 an error nobody foresaw; 2 a wrong option; "
    + "; ".join(f"{code} {what}" for code, what in exits.codes())
    + ".",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"insights {metadata.version('legacy-insights')}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings file [default: /etc/insights/insights.toml]"),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """AI insights for software that cannot be changed."""
    del version  # its callback has spoken
    logs.configure("auto", "warning")  # to standard error: what commands print is for scripts too
    ctx.obj = config_path(config)
    remember(ctx.obj)


def main() -> None:
    """Run the command line; an `InsightsError` becomes one message and its exit code."""
    try:
        app()
    except errors.InsightsError as found:
        exc = _explained(found)
        console.print(
            f"[bold red]error[/] {shown(exc.where or 'insights')}: {shown(exc.what)}",
            soft_wrap=True,
        )
        if exc.fix:
            console.print(f"  [bold]fix[/] {shown(runnable(exc.fix))}", soft_wrap=True)
        sys.exit(exc.exit_code)


def _explained(exc: errors.InsightsError) -> errors.InsightsError:
    """Name the role whose command it is, where the store refused the login."""
    command = access.command_of(sys.argv[1:])
    if not isinstance(exc, errors.AccessDenied) or command is None:
        return exc
    found = access.remedy(command, exc.login)
    if found is None:
        return exc
    whose, fix = found
    return errors.AccessDenied(f"{whose}: {exc.what}", where=exc.where, fix=fix)
