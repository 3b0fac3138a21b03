"""The role `poll`: a job for each stream of this site that a pipeline may follow."""

from insights import errors
from insights.model import INBOX, MarkSpec, StreamSpec
from insights.polling.jobs import StreamJob
from insights.polling.poller import Poller
from insights.polling.requests import AppliedMarks
from insights.polling.sweeper import Sweeper
from insights.service.daemon import Job
from insights.site import definitions
from insights.site.marks import marks as marked
from insights.store.ledger import Ledger
from insights.store.reports import Reports
from insights.store.requests import StreamRequests
from insights.wiring.app import App


def jobs(app: App, *, once: bool) -> list[Job]:
    """Return the jobs; what is read of a stream, the versions that are deployed say.

    A pipeline's files need not be here. Where they are, its version is registered, so that a host
    that only polls can be the first to start.
    """
    known = {version.stream for version in Reports(app.store).versions()}
    polled = [name for name, found in app.settings.stream.items() if found.source != INBOX]
    streams = [name for name in polled if name in known]
    return [_job(app, name, once=once) for name in streams]


def register(app: App) -> None:
    """Register the versions whose files are here; one that cannot be read is another host's."""
    for name in app.settings.pipeline:
        try:
            app.register(app.definition(name))
        except errors.ModelError:  # the embedding model is where rows are enriched
            continue


def requests(app: App, marks: MarkSpec) -> StreamRequests:
    """Return a stream's marked rows in the store."""
    return StreamRequests(
        app.store, app.leases, marks.stream, verbs=tuple(marks.changes), holder=app.holder
    )


def _job(app: App, name: str, *, once: bool) -> Job:
    found = app.settings.stream[name]
    stream = definitions.followed_stream(app.settings, name)
    marks = marked(app.settings, stream)
    ledger = Ledger(
        app.store,
        name,
        holder=app.holder,
        key_version=app.hash_keys.version,
        swept=stream.pending is None,
        remark=None if marks is None else "regenerate" if found.regenerate_on_remark else "publish",
    )
    courtesy = app.courtesy(name, rate=stream.rows_per_second)
    source = app.source(stream.source)

    def build(spec: StreamSpec) -> tuple[Poller, Sweeper]:
        applied = None
        if marks is not None:
            applied = AppliedMarks(spec, source, ledger, requests(app, marks), courtesy)
        poller = Poller(spec, source, ledger, app.leases, courtesy, applied)
        app.pollers[name] = poller
        return poller, Sweeper(spec, source, ledger, app.leases, courtesy, found.sweep_every)

    return StreamJob(stream, ledger, app.leases, build, found.poll_every, once=once)
