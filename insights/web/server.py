"""The HTTP server: uvicorn in one of the runner's threads, on an address that is ours alone."""

import contextlib
import socket
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from insights import errors
from insights.ground import beats

__all__ = ["BaseRoute", "Server", "application"]

_AT_ONCE = 64
_QUIET_S = 5  # a kept connection that asks nothing is closed
_LEAVE_S = 1  # for answers under way when it ends


def application(routes: Sequence[BaseRoute]) -> ASGIApp:
    """Return what answers these routes."""
    return Starlette(routes=routes)


class Server:
    """Listens from its construction on, and answers while `turn` runs.

    Args:
        listen: Where, as `host:port`; port 0 takes a free one.
        app: What answers.
        setting: What names the address, for errors.
        at_once: Connections; more are refused, not queued.

    Raises:
        errors.SettingsError: If nobody can listen there, naming why.
    """

    def __init__(
        self, listen: str, app: ASGIApp, setting: str = "health.listen", *, at_once: int = _AT_ONCE
    ) -> None:
        self._socket = _bound(listen, setting)
        self._config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=at_once,
            timeout_keep_alive=_QUIET_S,
            timeout_graceful_shutdown=_LEAVE_S,
        )
        self._serving: _Uvicorn | None = None
        self._closed = False

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def turn(self) -> float:
        """Answer until `close`; the runner calls it, and again after a failure."""
        self._serving = serving = _Uvicorn(self._config)
        if self._closed:
            return 0.0
        serving.run([self._socket.dup()])  # uvicorn closes what it is given
        return 0.0

    def close(self) -> None:
        """Answer no more."""
        self._closed = True
        if self._serving is not None:
            self._serving.should_exit = True
        self._socket.close()


class _Uvicorn(uvicorn.Server):
    """Beats while its loop turns: ten times a second."""

    async def on_tick(self, counter: int) -> bool:
        beats.beat()
        return await super().on_tick(counter)


def _bound(listen: str, setting: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
        with contextlib.ExitStack() as undo:
            undo.callback(made.close)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(address)
            made.listen(_AT_ONCE)
            made.setblocking(False)  # noqa: FBT003 - the standard library's signature
            undo.pop_all()
    except OSError as exc:
        raise errors.SettingsError(
            f"nobody can listen on {listen}: {(exc.strerror or str(exc)).lower()}",
            where=setting,
            fix="give each daemon of a host a port of its own, such as "
            f'"{host or "127.0.0.1"}:{int(port) + 1}"; "" answers nowhere',
        ) from exc
    return made
