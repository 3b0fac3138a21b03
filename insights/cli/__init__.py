"""The command line. Commands are thin: they read options, call the wired parts, print."""

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from insights import errors
from insights.cli import (
    alert,
    audit,
    budget,
    calibrate,
    dead,
    doctor,
    drain,
    enrich,
    evaluate,
    exits,
    export,
    forget,
    health,
    init,
    key,
    knowledge,
    listen,
    migrate,
    pipeline,
    plan,
    redact,
    redteam,
    replay,
    rollout,
    run,
    serve,
    service,
    sink,
    status,
    streams,
    support_bundle,
    try_,
    tune,
    unit,
)
from insights.cli.output import console, remember, runnable, shown
from insights.governance import access
from insights.ground import logs
from insights.ground.environment import config_path

app = typer.Typer(
    name="insights",
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


app.command("init")(init.init)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.command("try")(try_.try_)
app.command("enrich")(enrich.enrich)
app.command("replay")(replay.replay)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("redteam")(redteam.redteam)
app.command("run")(run.run)
app.command("serve")(serve.serve)
app.command("listen")(listen.listen)
app.command("health")(health.health)
app.command("status")(status.status)
app.command("budget")(budget.budget)
app.command("pause")(streams.pause)
app.command("resume")(streams.resume)
app.command("drain")(drain.drain)
app.command("forget")(forget.forget)
app.command("tune")(tune.tune)
app.command("unit")(unit.unit)
app.command("support-bundle")(support_bundle.support_bundle)
app.command("plan")(plan.plan)
app.command("promote")(rollout.promote)
app.command("rollback")(rollout.rollback)
app.command("backfill")(pipeline.backfill)
app.add_typer(alert.app, name="alert")
app.add_typer(audit.app, name="audit")
app.add_typer(dead.app, name="dead")
app.add_typer(export.app, name="export")
app.add_typer(key.app, name="key")
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(redact.app, name="redact")
app.add_typer(service.app, name="service")
app.add_typer(sink.app, name="sink")


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
