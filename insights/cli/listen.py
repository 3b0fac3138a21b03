"""`insights listen`: the queue door, in a process of its own."""

import time

import structlog
import typer

from insights import errors
from insights.cli.answering import beginning
from insights.ground import beats, logs
from insights.service import systemd
from insights.service.runner import Runner
from insights.site.files import load
from insights.site.settings import Settings
from insights.store.revision import check_collation
from insights.wiring.adapters import await_store
from insights.wiring.app import open_app
from insights.wiring.doors import doors
from insights.wiring.queues import listeners

log = structlog.get_logger(__name__)

_LOOK_S = 0.5


def listen(ctx: typer.Context) -> None:
    """Take requests from the queues of `[queue.<name>]` until SIGTERM; see docs/doors.md.

    A message is acknowledged once it is in the store; daemons do it, and this tells outcomes. Any
    number of these may share one store and one queue.
    """
    settings = load(ctx.obj)
    logs.configure(settings.log.format, settings.log.level)
    if not settings.queue:
        raise errors.SettingsError(
            "there is no queue to listen to", where="listen", fix="a section [queue.<name>]"
        )
    with beginning(settings.health.queues, "queues") as runner:
        _listen(settings, runner)


def _listen(settings: Settings, runner: Runner) -> None:
    await_store(settings, runner.waiting)
    with open_app(settings) as app:
        check_collation(app.store)
        jobs = listeners(app, doors(app, "insights listen"))
        for job in jobs:
            runner.schedule(job)
        runner.begin()
        log.info("queues are listened to", queues=sorted(settings.queue))
        runner.stage = "running"
        systemd.tell("READY=1")
        try:
            while True:
                beats.beat()
                time.sleep(_LOOK_S)
        finally:
            runner.end()
            for job in jobs:
                job.close()
