"""The supervisor: schedule, roles, signals, drain, watchdog. What a row goes through is elsewhere.

Two threads drive `Pipeline`: the feeder claims, reads, retrieves and submits; the writer validates
and writes. APScheduler runs the jobs that are leased per stream or sink. The main thread does
nothing but watch, so that SIGTERM and the watchdog are answered at all times.
"""

import datetime as dt
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from insights import errors
from insights.ground import environment
from insights.pipeline import Pipeline
from insights.ports import Work
from insights.service import systemd

log = structlog.get_logger(__name__)

IDLE_S = 0.5  # between looks at an empty queue
TICK_S = 0.25
LONGEST_BACKOFF_S = 60.0
LONGEST_WRITE_PAUSE_S = 5.0  # finished rows wait for the store, and their leases do not
STALL_S = 60.0  # `--once` gives up after this long without any progress


class Job(Protocol):
    """A background job: settings checked at construction, one round here, the loop in `Daemon`."""

    name: str
    every_s: float

    def run_once(self) -> bool:
        """Do one round; True means that there is more to do at once."""
        ...


class Progress(msgspec.Struct, frozen=True):
    """What `--once` reports while it works."""

    stage: str
    done: int
    open: int


class Daemon:
    """Runs until told to stop, or once through everything there is to do.

    Args:
        pipeline: Enriches claimed rows; None where this daemon has no such role.
        work: The queue.
        jobs: Polling, sweeping and publishing, each leased by itself.
        lease_s: How long a claim lasts, seconds.
        drain_s: How long rows in flight may take after SIGTERM, seconds.
    """

    def __init__(
        self,
        pipeline: Pipeline | None,
        work: Work,
        jobs: Sequence[Job],
        *,
        lease_s: float,
        drain_s: float,
    ) -> None:
        self._pipeline = pipeline
        self._work = work
        self._jobs = jobs
        self._lease_s = lease_s
        self._drain_s = drain_s
        self._stop = threading.Event()
        self._stop_writer = threading.Event()
        self._written = 0
        self._once = False
        self._failed: errors.InsightsError | None = None
        self._troubles: dict[str, errors.InsightsError] = {}
        self._beats: dict[str, float] = {}
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then drain."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._stop.set())
        self._work.adopt()
        scheduler = BackgroundScheduler(
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        for job in self._jobs:
            scheduler.add_job(
                _Backoff(job, self._stop), "interval", seconds=job.every_s, id=job.name
            )
            scheduler.modify_job(job.name, next_run_time=_now())
        scheduler.add_job(self._work.expire, "interval", seconds=self._lease_s / 2, id="expire")
        self._start_threads()
        scheduler.start()
        systemd.tell("READY=1")
        log.info("running", jobs=[job.name for job in self._jobs])
        self._watch()
        systemd.tell("STOPPING=1")
        log.info("draining", rows=self._pipeline.held if self._pipeline else 0)
        scheduler.shutdown(wait=False)
        self._drain()
        log.info("stopped", written=self._written)

    def run_once(self, report: Callable[[Progress], None]) -> None:
        """Work off everything that is there now, and return.

        Args:
            report: Called with the progress, several times a second.

        Raises:
            errors.InsightsError: If something that is no row's fault keeps work from being done.
        """
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self._stop.set())
        self._work.adopt()
        self._work.expire()
        self._once = True
        reading = [job for job in self._jobs if not job.name.startswith("publish")]
        publishing = [job for job in self._jobs if job.name.startswith("publish")]
        self._start_threads()
        try:
            # The second round confirms what the first found absent, and finds what came meanwhile.
            for _ in range(2):
                for job in reading:
                    report(Progress(stage=job.name, done=0, open=0))
                    self._until_idle(job)
                self._work_off(report, publishing)
                for job in publishing:
                    self._until_idle(job)
        finally:
            self._drain()
        if self._troubles:
            raise next(iter(self._troubles.values()))

    def _until_idle(self, job: Job) -> None:
        """Run a job's rounds; its trouble is told at the end and stops no other job."""
        if job.name in self._troubles:
            return
        try:
            while not self._stop.is_set() and job.run_once():
                pass
        except errors.InsightsError as exc:
            log.warning("job failed", job=job.name, reason=str(exc))
            self._troubles[job.name] = exc

    def _work_off(self, report: Callable[[Progress], None], publishing: Sequence[Job]) -> None:
        moved, seen = time.monotonic(), (-1, -1)
        while self._pipeline is not None and not self._stop.is_set():
            left = self._work.outstanding()
            report(Progress(stage="enrich", done=self._written, open=left.all_open))
            if left.all_open == 0 and self._pipeline.held == 0:
                return
            if (now := (self._written, left.all_open)) != seen:
                moved, seen = time.monotonic(), now
            if self._failed is not None:
                raise self._failed
            if time.monotonic() - moved > STALL_S + max(left.next_s, 0.0):
                raise errors.Overloaded(
                    f"{left.all_open} rows are still open and nothing moves",
                    where="run --once",
                    fix="see the log above for the reason; the rows are kept for the next run",
                )
            for job in publishing:
                self._until_idle(job)
            time.sleep(TICK_S)

    # --- threads -------------------------------------------------------------------------------

    def _start_threads(self) -> None:
        if self._pipeline is None:
            return
        for name, loop in (
            ("feeder", self._feed),
            ("writer", self._write),
            ("leases", self._extend),
        ):
            thread = threading.Thread(target=loop, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _feed(self) -> None:
        assert self._pipeline is not None  # noqa: S101 - started only with one
        pause = IDLE_S
        while not self._stop.is_set():
            self._beats["feeder"] = time.monotonic()
            try:
                claimed = self._pipeline.advance()
                self._failed = self._pipeline.failure
                pause = 0.0 if claimed else IDLE_S
            except errors.InsightsError as exc:
                pause = min(LONGEST_BACKOFF_S, max(IDLE_S, pause * 2))
                log.warning("claiming failed", reason=str(exc), again_in_s=pause)
            if pause:
                self._stop.wait(pause)

    def _write(self) -> None:
        assert self._pipeline is not None  # noqa: S101 - started only with one
        pause = IDLE_S
        while not self._stop_writer.is_set():
            self._beats["writer"] = time.monotonic()
            try:
                self._written += self._pipeline.settle(TICK_S)
                pause = IDLE_S
            except errors.InsightsError as exc:
                log.warning("writing failed", reason=str(exc), again_in_s=pause)
                self._stop_writer.wait(pause)
                pause = min(LONGEST_WRITE_PAUSE_S, pause * 2)

    def _extend(self) -> None:
        assert self._pipeline is not None  # noqa: S101 - started only with one
        while not self._stop_writer.wait(self._lease_s / 4):
            try:
                self._pipeline.extend()
            except errors.InsightsError as exc:
                log.warning("leases not extended", reason=str(exc))

    def _watch(self) -> None:
        """Feed systemd's watchdog as long as the threads move."""
        every = environment.watchdog_s()
        last = 0.0
        while not self._stop.wait(TICK_S):
            now = time.monotonic()
            if every is None or now - last < every / 3:
                continue
            # A read or an embedding may block a thread until its own deadline; that is not a hang.
            if all(now - beat < max(every, 3 * self._lease_s) for beat in self._beats.values()):
                systemd.tell("WATCHDOG=1")
                last = now

    def _drain(self) -> None:
        """Let rows in flight finish for `drain_s`; give the rest back, uncounted."""
        self._stop.set()
        if self._pipeline is None:
            return
        deadline = time.monotonic() + self._drain_s
        while self._pipeline.held and time.monotonic() < deadline:
            time.sleep(TICK_S / 5)
        try:
            given_back = self._pipeline.give_back_all()
            if given_back:
                log.info("given back", rows=given_back)
        except errors.InsightsError as exc:
            log.warning("rows stay claimed until their leases end", reason=str(exc))
        self._stop_writer.set()
        for thread in self._threads:
            thread.join(2.0)


class _Backoff:
    """Runs a job's rounds; after an error it sits out longer and longer, up to a minute."""

    def __init__(self, job: Job, stop: threading.Event) -> None:
        self._job = job
        self._stop = stop
        self._pause = 0.0
        self._not_before = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._not_before:
            return
        try:
            while not self._stop.is_set() and self._job.run_once():
                pass
            self._pause = 0.0
        except errors.InsightsError as exc:
            self._pause = min(LONGEST_BACKOFF_S, max(1.0, self._pause * 2))
            self._not_before = time.monotonic() + self._pause
            log.warning("job failed", job=self._job.name, reason=str(exc), again_in_s=self._pause)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
