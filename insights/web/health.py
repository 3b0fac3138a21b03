"""`/livez`, `/readyz` and `/healthz`: for containers, load balancers and people.

The answers are made from memory on the event loop itself; nothing here may block.
"""

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from insights.service.health import Check, Health, worst

_MARKS = {"ok": "+", "warning": "!", "failed": "-"}


def routes(health: Health) -> list[Route]:
    """Return the three pages."""

    async def livez(request: Request) -> Response:
        return _words("livez", health.alive(), request)

    async def readyz(request: Request) -> Response:
        return _words("readyz", health.ready(), request)

    async def healthz(request: Request) -> Response:
        return _report(health, verbose="verbose" in request.query_params)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/healthz", healthz)]


def _words(name: str, checks: Sequence[Check], request: Request) -> Response:
    """Answer as Kubernetes' own components do: one word, and a line a check if something failed."""
    found = worst(checks)
    lines = [
        f"[{_MARKS[check.status]}]{check.name} {check.says or check.status}" for check in checks
    ]
    said = f"{name} {'check failed' if found == 'failed' else 'check passed'}"
    wordy = found == "failed" or "verbose" in request.query_params
    text = "\n".join([*lines, said]) if wordy else "ok"
    return PlainTextResponse(
        text + "\n", 503 if found == "failed" else 200, {"Cache-Control": "no-store"}
    )


def _report(health: Health, *, verbose: bool) -> Response:
    """Answer with JSON; with `?verbose`, one line a check."""
    alive, ready = health.alive(), health.ready()
    checks = [("live", check) for check in alive] + [("ready", check) for check in ready]
    status = worst(check for _, check in checks)
    head = {
        "status": status,
        "stage": health.stage,
        "live": worst(alive) != "failed",
        "ready": worst(ready) != "failed",
    }
    text = _json(head)
    if verbose:
        lines = ",\n".join(
            _json({"about": about, **msgspec.structs.asdict(check)}) for about, check in checks
        )
        text = f'{text[:-1]},"checks":[\n{lines}\n]}}'
    return Response(
        text + "\n",
        503 if status == "failed" else 200,
        {"Cache-Control": "no-store"},
        media_type="application/json",
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
