"""Counts and times what the HTTP door answers, by what was asked and the status."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from insights.ground import metrics

_NONE = "none"  # nothing asked for is here; or no answer was begun


class Counted:
    """Wraps an application; a stream of events counts when it begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, told = time.monotonic(), False

        def count(status: str) -> None:
            nonlocal told
            told = True
            route = scope.get("route")
            asked = getattr(route, "operation_id", None) or _NONE
            metrics.ANSWERED.labels(asked, status).observe(time.monotonic() - begin)

        async def sends(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(str(message["status"]))
            await send(message)

        try:
            await self._app(scope, receive, sends)
        finally:
            if not told:  # whoever asked is gone
                count(_NONE)
