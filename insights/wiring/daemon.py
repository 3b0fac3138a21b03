"""The daemon with the parts that its roles need, and no other."""

from collections.abc import Callable, Sequence
from importlib.metadata import version

from insights import errors
from insights.doors.folder import FolderDoor
from insights.service.daemon import Daemon, Job
from insights.service.runner import Runner
from insights.store.daemons import Daemons
from insights.wiring import (
    applied,
    column_verdicts,
    doors,
    enriching,
    files,
    knowledge,
    polling,
    publishing,
)
from insights.wiring.anchoring import Anchoring
from insights.wiring.app import App, refuse_without_pipeline
from insights.wiring.counting import Counting
from insights.wiring.forgetting import Forgets, Retains
from insights.wiring.guarding import Guarding
from insights.wiring.health import Readiness, threads_of

ALL_ROLES = ("poll", "knowledge", "enrich", "publish")


def build(
    app: App,
    roles: Sequence[str],
    *,
    once: bool,
    runner: Runner | None = None,
    readiness: Readiness | None = None,
) -> Daemon:
    """Return the daemon.

    Args:
        app: The site, opened.
        roles: What it does.
        once: Everything there is to do is done once.
        runner: What its health is asked of.
        readiness: What is told which parts it has.

    Raises:
        errors.SettingsError: If this site gives its roles nothing to do.
    """
    settings = app.settings.daemon
    applied.tell(app)
    work = enriching.queue(app, [])
    pipeline = None
    jobs: list[Job] = []
    if "enrich" in roles:
        bound, app.refused = enriching.recipes(app, load=not once)
        work = enriching.queue(app, list(bound))
        pipeline = enriching.pipeline(app, bound, work)
        jobs += [enriching.Serving(app, list(bound.values()), pipeline), Guarding(app, bound)]
        jobs += column_verdicts.jobs(app, bound, once=once)
        jobs.append(enriching.Raising(app))  # of what no guard has just ended
        jobs += doors.jobs(app)
        if readiness is not None:
            readiness.pipeline = pipeline
    elif "poll" in roles:
        polling.register(app)
    if "poll" in roles:
        jobs += polling.jobs(app, once=once)
        jobs += _folders(app, readiness, once=once)
    if "knowledge" in roles:
        jobs += knowledge.jobs(app, once=once)
    if "publish" in roles:
        jobs += publishing.jobs(app)
    if pipeline is None and not jobs and set(roles) != {"knowledge"}:
        raise _nothing_to_do(app, roles)
    anchoring = Anchoring(app)
    jobs += [anchoring, Forgets(app)]
    if not once:
        jobs.append(Counting(app))
    if app.settings.retention.has_ages:
        jobs.append(Retains(app))
    daemons = Daemons(
        app.store,
        app.holder,
        roles=roles,
        version=version("legacy-insights"),
        threads=lambda: _threads(app),
    )
    daemon = Daemon(
        pipeline,
        work,
        jobs if readiness is None else [*jobs, *readiness.jobs],
        lease_s=settings.lease,
        drain_s=settings.drain,
        tell=daemons.tell,
        at_end=_ending(app, daemons, anchoring),
        runner=runner,
    )
    daemon.draining.wanted = lambda: app.leases.stands(f"drain {app.holder}")
    return daemon


def _folders(app: App, readiness: Readiness | None, *, once: bool) -> list[FolderDoor]:
    found = files.jobs(app, once=once)
    if readiness is not None:
        readiness.folders = found
    return found


def only(app: App, pipeline: str) -> Daemon:
    """Return a daemon that works off one pipeline's rows, once; the site has no other from now on.

    Raises:
        errors.SettingsError: If it cannot run.
    """
    found = {pipeline: app.settings.pipeline[pipeline]}
    app.settings = app.settings.model_copy(update={"pipeline": found})
    return build(app, ("enrich",), once=True)


def _threads(app: App) -> dict[str, str]:
    generators = sorted(app.generators.items())
    return {name: said for name, one in generators if (said := threads_of(one))}


def _ending(app: App, daemons: Daemons, anchoring: Anchoring) -> Callable[[], None]:
    def end() -> None:
        app.leases.give_back()
        daemons.forget()
        anchoring.run_once()

    return end


def _nothing_to_do(app: App, roles: Sequence[str]) -> errors.SettingsError:
    if "poll" not in roles or not app.settings.stream:
        return refuse_without_pipeline(app)
    return errors.SettingsError(
        "no pipeline follows a stream of these settings yet",
        where=", ".join(f"stream.{name}" for name in app.settings.stream),
        fix="start a daemon that has the pipeline's files first: `insights run --roles enrich`",
    )
