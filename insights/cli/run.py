"""`insights run`: the daemon, or one pass through everything there is to do."""

import signal
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from insights import errors
from insights.cli.answering import answering
from insights.cli.output import Json, console, emit_json, stdout
from insights.ground import beats, environment, logs
from insights.service import daemon, signals, systemd
from insights.service.health import Changes, Health, worst
from insights.service.reloading import Reloading
from insights.service.runner import Job, Runner
from insights.site.files import load
from insights.site.settings import Settings
from insights.store import made
from insights.web.guard import People, Tokens
from insights.web.health import routes
from insights.web.metrics import Page
from insights.web.page import StatusPage
from insights.web.server import Server, application
from insights.wiring import alerting, enriching, reload
from insights.wiring.adapters import await_store
from insights.wiring.app import App, check_store, open_app
from insights.wiring.board import Board
from insights.wiring.daemon import ALL_ROLES, build
from insights.wiring.health import Readiness
from insights.wiring.measures import Measures

log = structlog.get_logger(__name__)


def run(
    ctx: typer.Context,
    once: Annotated[
        bool,
        typer.Option("--once", help="Poll and sweep every stream once, work off, publish, end"),
    ] = False,
    roles: Annotated[
        str | None,
        typer.Option(help="Comma-separated: poll, knowledge, enrich, publish [default: settings]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the daemon until SIGTERM; with --once, end when everything is done.

    After SIGTERM, --once says what was done and ends with 143: the rest waits for the next run.
    Any number of daemons on any hosts may share one store.
    """
    if not once:
        signals.hear_reload()
    settings = load(ctx.obj)
    logs.configure(settings.log.format, settings.log.level)
    chosen = tuple(roles.split(",")) if roles else settings.daemon.roles
    unknown = set(chosen) - set(ALL_ROLES)
    if unknown:
        raise errors.SettingsError(
            f"there is no role {unknown.pop()!r}", where="--roles", fix=", ".join(ALL_ROLES)
        )
    # Until the daemon watches its signals, SIGTERM unwinds whatever waits, opens or loads.
    signal.signal(signal.SIGTERM, signals.unwind)
    signals.spare()
    if not once:
        with _tracing(settings):
            anew = _serve(settings, chosen, ctx.obj)
        if anew:
            logs.FLOOD.flush(all_=True)
            signals.begin_anew()
        return
    with _tracing(settings), open_app(settings, begin=True) as app:
        check_store(app)
        supervisor = build(app, chosen, once=True)
        began = made.mark(app.store)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        ) as progress:
            task = progress.add_task("poll", total=None)

            def report(at: daemon.Progress) -> None:
                total = at.done + at.open or None
                progress.update(task, description=at.stage, completed=at.done, total=total)

            ended = supervisor.run_once(report)
        if app.refused:  # what could be done is done
            raise next(iter(app.refused.values()))
        if ended and "enrich" in chosen and (waits := enriching.stranded(app)) is not None:
            raise waits
        changed = msgspec.structs.asdict(made.since(app.store, began))
    if as_json:
        emit_json(changed)
    else:
        told = ", ".join(f"{count:,} {name}" for name, count in changed.items() if count)
        word = "Done" if ended else "Stopped, the rest waits for the next run"
        stdout.print(f"{word}: {told or 'nothing had changed'}.")
    if not ended:
        raise typer.Exit(128 + signal.SIGTERM)


def _serve(settings: Settings, roles: Sequence[str], path: Path) -> bool:
    """Run the daemon; health is answered from before the store is there until after the drain.

    Returns:
        Whether it has to begin anew, with other settings.
    """
    runner = Runner()
    beats.carry(runner.main)
    health = Health(runner)
    page, board = Page(), _status_page(settings)
    ready = threading.Event()
    if every := environment.watchdog_s():
        fed = partial(systemd.keep_alive, runner.main, every)
        runner.thread("watchdog", fed, ready, vital=False)
    with (
        answering("health", settings.health.listen, runner, [*routes(health), page.route]),
        answering("page", settings.page.listen, runner, board.routes),
    ):
        await_store(settings, runner.waiting)
        with open_app(settings, begin=True) as app:
            check_store(app)
            readiness = Readiness(app, roles, runner)
            health.add(readiness)
            readiness.changes = Changes(health)
            page.read = measures = Measures(app, health, readiness)
            readiness.telling = _telling(app, measures, health)
            if settings.page.listen:
                board.board = Board(app, health, readiness)
                readiness.history = board.board.history
            supervisor = build(app, roles, once=False, runner=runner, readiness=readiness)
            ready.set()
            return supervisor.run(Reloading(lambda: _changed(path, app, roles), runner))


def _telling(app: App, measures: Measures, health: Health) -> list[Job]:
    told = app.settings.alerts
    if not (told.webhook.url or told.mail.to or told.heartbeat):
        return []
    from insights.web import receivers  # noqa: PLC0415 - it takes a tenth of a second to load

    found = alerting.jobs(app, measures, receivers.receivers(app.settings))
    if told.heartbeat:
        found.append(receivers.Heartbeat(app.settings, lambda: worst(health.alive()) != "failed"))
    return found


def _changed(path: Path, app: App, roles: Sequence[str]) -> bool:
    """Look at the settings, and apply what can be applied; tell whether to begin anew for the rest.

    Raises:
        errors.InsightsError: Why they are refused.
    """
    changes = reload.look(path, app, roles)
    if "health.listen" in changes.anew:
        _check_listening("health", app.settings.health.listen, changes.settings.health.listen)
    if "page.listen" in changes.anew:
        _check_listening("page", app.settings.page.listen, changes.settings.page.listen)
    if changes.anew:
        _status_page(changes.settings)
        log.info("settings changed: drains, and begins anew", changed=changes.anew)
        return True
    reload.apply(app, changes.settings)
    if "log" in {name.partition(".")[0] for name in changes.at_once}:
        logs.configure(changes.settings.log.format, changes.settings.log.level)
    log.info("settings read again", changed=changes.at_once)
    return False


def _status_page(settings: Settings) -> StatusPage:
    """Return the status page.

    Raises:
        errors.SettingsError: If the credential with its tokens cannot be read.
    """
    if not settings.page.listen:
        return StatusPage(People(Tokens("")), settings.page.names)
    known = None
    if settings.access.jwt.issuer:
        from insights.web.bearer import Bearers  # noqa: PLC0415 - it loads cryptography

        known = Bearers(settings)
    text = environment.credential("page_tokens") or ""
    return StatusPage(People(Tokens(text), known), settings.page.names)


def _check_listening(what: str, former: str, listen: str) -> None:
    """Refuse an address on which nobody can listen; on the former port we listen ourselves."""
    if listen and listen.rpartition(":")[2] != former.rpartition(":")[2]:
        Server(listen, application([]), f"{what}.listen").close()


def _tracing(settings: Settings) -> AbstractContextManager[None]:
    if not settings.traces.endpoint:
        return nullcontext()
    from insights.web import otlp  # noqa: PLC0415 - it takes a quarter of a second to load

    collector = otlp.Collector.of(settings)
    return otlp.sending(collector, settings.traces.share, instance=settings.daemon.name)
