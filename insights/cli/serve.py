"""`insights serve`: the HTTP door, in a process of its own."""

import gc
import threading

import structlog
import typer

from insights import errors
from insights.cli.answering import beginning
from insights.doors.telling import Telling, Webhooks
from insights.ground import environment, logs
from insights.service import systemd
from insights.service.runner import Runner
from insights.site.files import load
from insights.site.settings import Settings
from insights.store.revision import check_collation
from insights.web.server import Server
from insights.wiring.adapters import await_store
from insights.wiring.app import open_app
from insights.wiring.doors import doors, replies, webhooks

log = structlog.get_logger(__name__)

_AT_ONCE = 512  # connections


def serve(ctx: typer.Context) -> None:
    """Take requests over HTTP until SIGTERM, at `[serve] listen`; see docs/doors.md.

    What is accepted is in the store; daemons do it, and this tells webhooks. Any number of these
    may share one store.
    """
    settings = load(ctx.obj)
    logs.configure(settings.log.format, settings.log.level)
    if not settings.serve.listen:
        raise errors.SettingsError(
            "the HTTP door is off", where="serve.listen", fix='listen = "127.0.0.1:9189"'
        )
    with beginning(settings.health.serve, "serve") as runner:
        _serve(settings, runner)


def _serve(settings: Settings, runner: Runner) -> None:
    from insights.web import door  # noqa: PLC0415 - it takes a second to load
    from insights.web.clients import Clients  # noqa: PLC0415
    from insights.web.webhooks import OutcomeHook  # noqa: PLC0415

    bearers = None
    if settings.access.jwt.issuer:
        from insights.web.bearer import Bearers  # noqa: PLC0415 - cryptography, for an issuer

        bearers = Bearers(settings)
    clients = Clients(environment.credential("door_tokens") or "", bearers)
    await_store(settings, runner.waiting)
    with open_app(settings) as app:
        check_collation(app.store)
        opened = doors(app, bounded=True)
        if not opened.entrances:
            raise errors.SettingsError(
                "no pipeline follows a stream of the inbox",
                where="serve",
                fix='a stream with source = "inbox", and a pipeline with stream = its name',
            )
        told, kept, ends = webhooks(app), replies(app), threading.Event()
        telling = [
            Telling(one, OutcomeHook(settings, name), opened, kept) for name, one in told.items()
        ]
        answers = door.application(opened, clients, settings.serve, Webhooks(told, kept))
        server = Server(settings.serve.listen, answers, "serve.listen", at_once=_AT_ONCE)
        for one in telling:
            runner.thread(one.name, one.turn, ends, vital=False)
        log.info("requests are taken", at=server.address, pipelines=sorted(opened.entrances))
        runner.stage = "running"
        systemd.tell("READY=1")
        # What stands now stays. Python would look through all of it again and again, for a tenth of
        # a second in which nobody is answered.
        gc.collect()
        gc.freeze()
        try:
            server.turn()  # until SIGTERM or SIGINT, which uvicorn hears; answers under way end
        finally:
            ends.set()
            server.close()
