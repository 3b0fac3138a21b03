"""What readiness asks: the store, and for each role the parts that it needs."""

import time
from collections.abc import Iterator, Sequence

import structlog

from insights import errors
from insights.doors.folder import FolderDoor
from insights.inference.client import LocalGenerator
from insights.inference.remote_client import RemoteGenerator
from insights.pipeline import Pipeline
from insights.polling.courtesy import LAG_BACKOFF_S
from insights.ports import Generator
from insights.service.health import Changes, Check, Status
from insights.service.runner import Job, Runner
from insights.store import revision
from insights.store.postgres import NO_WRITES
from insights.store.replies import Replies
from insights.store.reports import (
    BacklogReport,
    BudgetReport,
    DaemonReport,
    DeadReport,
    OutboxReport,
    ReplyReport,
    Reports,
    StreamStanding,
)
from insights.wiring.app import App
from insights.workers.process import Standing

log = structlog.get_logger(__name__)

EVERY_S = 10.0
COUNT_EVERY = 3  # looks: counts of a million rows take a tenth of a second of the store
STALE_S = 45.0  # a look at the store is bounded by its pool's and its statements' patience


class Observing:
    """Looks at the store every few seconds, so that whoever asks need not.

    It is a job of its own, and keeps its trouble to itself: the jobs that work with the store tell
    it already.
    """

    name = "observe"
    every_s = EVERY_S

    def __init__(self, app: App) -> None:
        self._app = app
        self._store = app.store
        self._reports = Reports(app.store)
        self.streams: dict[str, StreamStanding] = {}
        self.backlog: list[BacklogReport] = []
        self.dead: list[DeadReport] = []
        self.outboxes: list[OutboxReport] = []
        self.replies: list[ReplyReport] = []
        self.late: dict[str, float] = {}
        self.daemons: list[DaemonReport] = []
        self.budgets: list[BudgetReport] = []
        self._looks = 0
        self._own_schema = True
        self.error: errors.InsightsError | None = None
        self._seen_at = time.monotonic()  # the store was opened just now

    def run_once(self) -> bool:
        """Look once."""
        for generator in list(self._app.generators.values()):
            if isinstance(generator, LocalGenerator):
                generator.look()
        try:
            self._own_schema = revision.check(self._store)
            self.streams = {one.stream: one for one in self._reports.standing()}
            self._look_at_budgets()
            if self._looks % COUNT_EVERY == 0:
                self.backlog = self._reports.backlog()
                self.dead = self._reports.dead()
                self.outboxes = self._reports.outboxes()
                self.replies, self.late = self._reports.replies(), Replies(self._store).late()
            self.daemons = self._reports.daemons()
            self._looks += 1
        except errors.InsightsError as exc:
            self.error = exc
        else:
            self.error, self._seen_at = None, time.monotonic()
        return False

    def _look_at_budgets(self) -> None:
        """Say in the log when a budget begins or ceases to bound, a line each."""
        former = {one.name: one.state for one in self.budgets}
        self.budgets = self._reports.budgets()
        for one in self.budgets:
            if one.state == former.get(one.name, "free"):
                continue
            tell = log.info if one.state == "free" else log.warning
            tell(f"budget {one.state}", budget=one.name, concerns=one.concerns, says=one.says)

    @property
    def age_s(self) -> float:
        """Seconds since the store answered."""
        return time.monotonic() - self._seen_at

    def checks(self) -> Iterator[Check]:
        """Tell whether the store answers and its schema is right."""
        if isinstance(self.error, errors.StoreError):
            yield Check("store", "ok", "answers")
            yield Check("schema", "failed", str(self.error))
            return
        if self.error is not None or self.age_s > STALE_S:
            says = str(self.error or f"no answer for {self.age_s:.0f} s")
            yield Check("store", "failed", says)
            return
        yield Check("store", "ok", f"answered {self.age_s:.0f} s ago")
        says = "this program's" if self._own_schema else "newer than this program's, and serves it"
        yield Check("schema", "ok", says)


class Readiness:
    """The checks of this daemon's roles.

    Args:
        app: What it has opened.
        roles: What it does.
        runner: Its threads and jobs.
    """

    changes: Changes | None = None
    """Says in the log what goes down."""
    pipeline: Pipeline | None = None
    """What enriches; known once it is built."""
    telling: Sequence[Job] = ()
    """Finds alerts, and tells them."""
    folders: Sequence[FolderDoor] = ()
    """What watches folders; known once they are built."""
    history: Job | None = None
    """Keeps what the status page's plots show, where there is a page."""

    def __init__(self, app: App, roles: Sequence[str], runner: Runner) -> None:
        self._app = app
        self._roles = roles
        self._runner = runner
        self.observing = Observing(app)

    @property
    def jobs(self) -> list[Job]:
        """What looks after the daemon while it runs."""
        watching = [one for one in (self.changes, self.history) if one is not None]
        return [self.observing, *watching, *self.telling]

    def __call__(self) -> Iterator[Check]:
        """Return what is known now."""
        refusing = next((one.reason for one in self._runner.vitals if NO_WRITES in one.reason), "")
        for check in self.observing.checks():
            full = refusing and check.name == "store" and check.status == "ok"
            yield Check("store", "failed", refusing) if full else check
        if {"poll", "knowledge", "enrich"}.intersection(self._roles):
            streams = self._app.settings.stream.items() if "poll" in self._roles else ()
            for name, source in sorted(self._app.sources.items()):
                polls = [f"poll {stream}" for stream, found in streams if found.source == name]
                yield reached(f"source {name}", source.standing, untried=self._untried(polls))
        if "poll" in self._roles:
            for name in sorted(self._app.settings.stream):
                if (stream := self.observing.streams.get(name)) is not None:
                    yield _stream(stream)
            yield from self._folders()
        if "enrich" in self._roles:
            yield from self._enriching()
        if "publish" in self._roles:
            for name, client in sorted(self._app.sinks.items()):
                job = f"publish {name.removeprefix('sink ')}"
                yield reached(name, client.standing, untried=self._untried([job]))

    def _folders(self) -> Iterator[Check]:
        vitals = {one.name: one for one in self._runner.vitals}
        for door in self.folders:
            if (vital := vitals.get(door.name)) is not None:
                looked = f"looked at {_ago(vital.well_s)}"
                yield Check(door.name, "failed" if vital.reason else "ok", vital.reason or looked)

    def _untried(self, jobs: Sequence[str]) -> bool:
        """Tell whether none of these jobs has ended a round: one would have asked, or had not to.

        Where another daemon has the lease, a round ends well and asks nothing.
        """
        mine = [one for one in self._runner.vitals if one.name in jobs]
        return bool(mine) and all(one.well_s is None for one in mine)

    def _enriching(self) -> Iterator[Check]:
        for name, generator in sorted(self._app.generators.items()):
            yield _model(name, generator)
        for at, embedder in enumerate(self._app.opened_embedders):
            yield reached("embedder" if not at else "former embedder", embedder.standing)
        for name, worker in sorted(self._app.recognizer.workers.items()):
            yield reached(f"recognizer {name}", worker.standing)
        for name, why in sorted(self._app.refused.items()):
            yield Check(f"pipeline {name}", "failed", str(why))
        for one in self.observing.budgets:
            yield Check(f"budget {one.name}", "ok" if one.state == "free" else "warning", one.says)
        if self.pipeline is not None:  # what it waits for has a check of its own, if it is a part
            for name, reason in sorted(self.pipeline.stopped.items()):
                yield Check(f"pipeline {name}", "warning", reason)


def _stream(found: StreamStanding) -> Check:
    name = f"stream {found.stream}"
    if found.paused:
        return Check(name, "ok", "paused")
    if found.lag_s is not None and found.lag_s > LAG_BACKOFF_S:
        says = f"the replica lags by {found.lag_s:.0f} s, at most {LAG_BACKOFF_S:.0f} s is read"
        return Check(name, "failed", says)
    if reason := found.stopped_reason or found.last_error:
        return Check(name, "warning", reason)
    lag = "unknown" if found.lag_s is None else f"{found.lag_s:.0f} s"
    return Check(name, "ok", f"polled {_ago(found.polled_s)}, replica lag {lag}")


def reached(name: str, standing: Standing, *, untried: bool = False) -> Check:
    """Tell whether what stands behind a child answers, by the last call that there was.

    Args:
        name: What it is called.
        standing: What its calls have told.
        untried: It is to be asked, and was not yet.
    """
    if standing.trouble is not None:
        return Check(name, "failed", str(standing.trouble))
    if standing.answered_at is not None:
        return Check(name, "ok", f"answered {_ago(time.monotonic() - standing.answered_at)}")
    if standing.asked_at is not None:
        waits_s = time.monotonic() - standing.asked_at
        return Check(name, "failed", f"asked {waits_s:.0f} s ago, no answer yet")
    return Check(name, "failed" if untried else "ok", "nothing was asked of it yet")


def _model(name: str, generator: Generator) -> Check:
    title = f"model {name}"
    if isinstance(generator, RemoteGenerator):
        return reached(title, generator.standing)
    if not isinstance(generator, LocalGenerator):
        return Check(title, "ok")
    if (trouble := generator.trouble) is not None:
        return Check(title, "failed", str(trouble))
    if generator.pid is None:
        return Check(title, "failed", "not loaded")
    status: Status = "ok" if generator.proved else "failed"
    says = f"loaded, {generator.finished_since_start:,} generations"
    threads = threads_of(generator)
    return Check(title, status, f"{says}, {threads}" if threads else says)


def threads_of(generator: Generator) -> str:
    """Say how many threads a local model works with and why, as last heard; empty if unknown."""
    found = generator.engine if isinstance(generator, LocalGenerator) else None
    if found is None or not found.threads:
        return ""
    return f"{found.threads} thread{'s' * (found.threads > 1)} ({found.threads_why})"


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"
