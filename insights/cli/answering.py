"""Health, metrics and the status page over HTTP, beside whatever a process does."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from insights.ground import beats
from insights.service import signals
from insights.service.health import Health
from insights.service.runner import Runner
from insights.web.health import routes
from insights.web.metrics import Page
from insights.web.server import BaseRoute, Server, application
from insights.wiring.measures import living

log = structlog.get_logger(__name__)


@contextmanager
def answering(
    what: str, listen: str, runner: Runner, answered: Sequence[BaseRoute], *, key: str = "listen"
) -> Iterator[None]:
    """Answer routes in a thread of the runner's, for the length of a `with` block.

    Args:
        what: `health` or `page`.
        listen: Where, as `host:port`; "" is nowhere.
        runner: Whose thread it is.
        answered: The routes.
        key: Of the address, in the section of this name.

    Raises:
        errors.SettingsError: If nobody can listen there.
    """
    if not listen:
        yield
        return
    server = Server(listen, application(answered), f"{what}.{key}")
    over = threading.Event()
    runner.thread("http" if what == "health" else what, server.turn, over, vital=False)
    said = "health is answered" if what == "health" else "the status page is answered"
    log.info(said, at=server.address)
    try:
        yield
    finally:
        over.set()
        server.close()


@contextmanager
def beginning(listen: str, key: str) -> Iterator[Runner]:
    """Begin the process of a door: it unwinds at SIGTERM, and its health is answered.

    Args:
        listen: Where, as `host:port`; "" is nowhere.
        key: Of the address, in `[health]`.

    Raises:
        errors.SettingsError: If nobody can listen there.
    """
    signal.signal(signal.SIGTERM, signals.unwind)
    runner = Runner()
    beats.carry(runner.main)
    health, page = Health(runner), Page()
    page.read = partial(living, health)
    with answering("health", listen, runner, [*routes(health), page.route], key=key):
        yield runner
