"""`insights alert`: try who is told when something is wrong."""

import typer

from insights import errors
from insights.cli.output import Json, emit_json, shown, stdout
from insights.site.files import load

app = typer.Typer(help="Who is told when something is wrong ([alerts]).", no_args_is_help=True)


@app.callback()
def root() -> None:
    """Who is told when something is wrong ([alerts])."""


@app.command("test")
def try_(ctx: typer.Context, as_json: Json = False) -> None:
    """Send a test alert to everybody whom [alerts] names.

    Ends with 39 if one of them takes none; the others are told all the same.
    """
    from insights.web import receivers  # noqa: PLC0415 - it takes a tenth of a second to load

    settings = load(ctx.obj)
    told: list[str] = []
    failed: list[errors.InsightsError] = []
    for receiver in receivers.receivers(settings):
        try:
            receiver.send(receivers.trial(settings.daemon.name))
        except errors.ReceiverUnavailable as exc:
            failed.append(exc)
        else:
            told.append(receiver.name)
    if not told and not failed:
        raise errors.SettingsError(
            "nobody is told of alerts",
            where="alerts",
            fix="name alerts.webhook.url or alerts.mail.to; docs/operations.md has examples",
        )
    if as_json:
        emit_json({"told": told, "failed": [str(exc) for exc in failed]})
    else:
        for name in told:
            stdout.print(f"[green]told[/] {shown(name)}: see that it has arrived")
    if failed:
        raise failed[0]
