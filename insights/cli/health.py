"""`insights health`: ask the daemon of this host how it is; for containers and scripts."""

import http.client
from typing import Annotated, Any

import msgspec
import typer

from insights import errors
from insights.cli.output import Json, emit_json, shown, stdout
from insights.site.files import load

_PATIENCE_S = 5.0  # it answers from memory

_MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "failed": "[red]failed [/]"}
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on


def health(
    ctx: typer.Context,
    live: Annotated[
        bool, typer.Option("--live", help="Ask only whether it lives, not whether it is ready")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell whether the daemon of these settings lives and is ready.

    Ends with 0 if so, with 28 if not, with 27 if nobody answers at `health.listen`.
    """
    found = standing(load(ctx.obj).health.listen)
    checks = [check for check in found["checks"] if not live or check["about"] == "live"]
    if as_json:
        emit_json({**found, "checks": checks})
    else:
        for check in checks:
            says = f" {shown(check['says'])}" if check["says"] else ""
            mark = _MARKS[check["status"]]
            stdout.print(f"{mark} [bold]{shown(check['name'])}[/]{says}", soft_wrap=True)
    if not found["live"] or not (live or found["ready"]):
        failed = ", ".join(check["name"] for check in checks if check["status"] == "failed")
        raise errors.NotReady(
            f"it {'is not ready' if found['live'] else 'does not live'}: {failed}",
            where="the daemon",
            fix="mend what failed" if found["live"] else "start it anew",
        )


def standing(listen: str) -> dict[str, Any]:
    """Return how the daemon that answers there is, with its checks.

    Raises:
        errors.DaemonUnavailable: If none does.
    """
    found: dict[str, Any] = msgspec.json.decode(asked(listen, "/healthz?verbose"))
    return found


def asked(listen: str, path: str) -> bytes:
    """Return what the daemon of this host answers to a question; the status is in the answer.

    Raises:
        errors.DaemonUnavailable: If nothing answers.
        errors.SettingsError: If it cannot be asked there.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or port == "0":
        raise errors.SettingsError(
            f"a daemon that listens at {listen!r} cannot be asked",
            where="health.listen",
            fix="name a port",
        )
    connection = http.client.HTTPConnection(_HERE.get(host, host), int(port), timeout=_PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as exc:
        raise errors.DaemonUnavailable(
            f"no daemon answers there: {exc}",
            where=listen,
            fix="`systemctl status insights`; is health.listen what the daemon was started with?",
        ) from exc
    finally:
        connection.close()
