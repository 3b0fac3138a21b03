"""The supervisor: schedule, roles, signals, drain, watchdog. What a row goes through is elsewhere.

Two threads drive `Pipeline`: the feeder claims, reads, retrieves and submits; the writer validates
and writes. A third prolongs the leases of what they hold, as long as both work. Jobs run beside
them, each leased per stream or sink. `runner` keeps them all going. The main thread does nothing
but watch, so that SIGTERM and the watchdog are answered at all times.
"""

import threading
import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from insights import errors
from insights.ground import beats, environment, failpoints, logs
from insights.pipeline import Pipeline
from insights.ports import Work
from insights.service import systemd
from insights.service.draining import Draining
from insights.service.reloading import Reloading
from insights.service.runner import Job, Runner, Trouble
from insights.service.signals import Stop

__all__ = ["Daemon", "Job", "Progress", "Trouble"]

log = structlog.get_logger(__name__)

IDLE_S = 0.5  # between looks at an empty queue
TICK_S = 0.25
LONGEST_WRITE_PAUSE_S = 5.0  # finished rows wait for the store, and their leases do not
HEARD_S = 30.0  # between two words to the store that this daemon runs
EXPIRE_S = 4.0  # a dead daemon's rows are free within the lease and five seconds
IDLE_WORKER_S = 30.0  # a feeder or writer unheard of for so long prolongs no lease
GIVE_BACK_S = 5.0  # a store that does not answer must not hold up the end
WAITS_S = 20.0  # `--once` says what it waits for after this long without a row
STALL_S = 60.0  # `--once` gives up after this long without any progress


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
        tell: Told what does not do its work: at each change, and every half minute.
        at_end: Called once nothing is held any more: other daemons need not wait for our leases.
        runner: Runs threads and jobs; given where others look after it from outside.
    """

    def __init__(
        self,
        pipeline: Pipeline | None,
        work: Work,
        jobs: Sequence[Job],
        *,
        lease_s: float,
        drain_s: float,
        tell: Callable[[Sequence[dict[str, str]]], None] = lambda _troubles: None,
        at_end: Callable[[], None] = lambda: None,
        runner: Runner | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._work = work
        self._jobs = jobs
        self._lease_s = lease_s
        self._drain_s = drain_s
        self._tell = tell
        self._at_end = at_end
        self._stop = threading.Event()  # set by the main thread, never by a handler
        self._stop_writer = threading.Event()
        self._adopted = False
        self._written = 0
        self._failed: errors.InsightsError | None = None
        self._once: dict[str, errors.InsightsError] | None = None  # a job's trouble, by its name
        self._ended: BaseException | None = None
        self._runner = Runner() if runner is None else runner
        self.draining = Draining(pipeline, self._runner)

    @property
    def troubles(self) -> list[Trouble]:
        """Which threads and jobs do not do their work at present, and why."""
        return self._runner.troubles

    def run(self, reloading: Reloading | None = None) -> bool:
        """Run until SIGTERM, then drain; or until SIGINT, then give back what is held.

        Args:
            reloading: Looks at the settings when it is asked to.

        Returns:
            Whether it drained because it has to begin anew, with other settings.

        Raises:
            errors.InsightsError: If a thread cannot go on.
            KeyboardInterrupt: After SIGINT.
        """
        with Stop() as stop:
            self._runner.wakes(stop.wake)
            beats.carry(self._runner.main)
            telling = _Tell(self._runner, self._tell)
            for job in (*self._jobs, _Expire(self._work, self._lease_s), telling, self.draining):
                self._runner.schedule(job)
            self._start_threads()
            self._runner.begin()
            self._runner.stage = "running"
            systemd.tell("READY=1")
            log.info("running", jobs=[job.name for job in self._jobs])
            self._watch(stop, lambda: self._is_over(reloading), reloading)
            self._runner.stage = "draining"
            anew = reloading is not None and reloading.anew and not stop.requested
            systemd.tell("STATUS=draining, to begin anew" if anew else "STOPPING=1")
            log.info("draining", rows=self._pipeline.held if self._pipeline else 0)
            self._drain(hurried=stop.hurried)
            log.info("stopped", written=self._written)
        if stop.hurried:
            raise KeyboardInterrupt
        if self._runner.hopeless is not None:
            raise self._runner.hopeless
        return anew and not stop.requested

    def _is_over(self, reloading: Reloading | None) -> bool:
        anew = reloading is not None and reloading.anew
        return self._runner.hopeless is not None or anew or self.draining.over

    def run_once(self, report: Callable[[Progress], None]) -> bool:
        """Work off everything that is there now, and return.

        Args:
            report: Called with the progress, several times a second, from another thread.

        Returns:
            Whether everything was done; False after SIGTERM: the rest was given back.

        Raises:
            errors.InsightsError: If something that is no row's fault keeps work from being done.
            KeyboardInterrupt: After SIGINT.
        """
        self._once = {}
        with Stop() as stop:
            self._runner.wakes(stop.wake)
            self._work.expire()
            self._start_threads()
            done = threading.Event()
            threading.Thread(
                target=self._all_once, args=(report, done, stop.wake), name="once", daemon=True
            ).start()
            self._watch(stop, lambda: done.is_set() or self._runner.hopeless is not None)
            self._drain(hurried=stop.hurried)
        if stop.hurried:
            raise KeyboardInterrupt
        raised = self._ended or self._runner.hopeless or next(iter(self._once.values()), None)
        if raised is not None:
            raise raised
        return not stop.requested

    # --- once ----------------------------------------------------------------------------------

    def _all_once(
        self, report: Callable[[Progress], None], done: threading.Event, wake: Callable[[], None]
    ) -> None:
        """Two rounds of everything, beside the main thread; what it raises, that thread raises."""
        reading = [job for job in self._jobs if not job.name.startswith("publish")]
        publishing = [job for job in self._jobs if job.name.startswith("publish")]
        try:
            # The second round confirms what the first found absent, and finds what came meanwhile.
            for _ in range(2):
                for job in reading:
                    report(Progress(stage=job.name, done=0, open=0))
                    self._until_idle(job)
                self._work_off(report, publishing)
                for job in publishing:
                    self._until_idle(job)
        except BaseException as exc:  # noqa: BLE001 - it crosses to the main thread
            self._ended = exc
        finally:
            done.set()
            wake()

    def _until_idle(self, job: Job) -> None:
        """Run a job's rounds; its trouble is told at the end and stops no other job."""
        assert self._once is not None  # noqa: S101 - set where this begins
        if job.name in self._once:
            return
        try:
            while not self._stop.is_set() and job.run_once():
                pass
        except errors.InsightsError as exc:
            if not self._stop.is_set():
                log.warning("job failed", job=job.name, reason=str(exc))
                self._once[job.name] = exc

    def _work_off(self, report: Callable[[Progress], None], publishing: Sequence[Job]) -> None:
        moved, seen = time.monotonic(), (-1, -1, -1, -1)
        expired = told = moved
        while self._pipeline is not None and not self._stop.is_set():
            if time.monotonic() - expired > EXPIRE_S:  # another daemon may have died meanwhile
                self._work.expire()
                expired = time.monotonic()
            left = self._work.outstanding()
            report(Progress(stage="enrich", done=self._written, open=left.all_open))
            held = self._pipeline.held
            if time.monotonic() - max(told, moved) > WAITS_S and (
                waits := self._pipeline.waits_for
            ):
                log.info("waits", reason="; ".join(waits))
                told = time.monotonic()
            if left.all_open == 0 and held == 0:
                return
            if left.bounded and held == 0:
                raise errors.BudgetUsedUp(
                    f"{left.all_open:,} rows wait: {left.bounded}",
                    where="run --once",
                    fix="`insights budget` shows it; the rows are kept for the next run",
                )
            now = (self._written, left.all_open, held, self._pipeline.progress)
            if now != seen:
                moved, seen = time.monotonic(), now
            if self._failed is not None:
                raise self._failed
            still_s = time.monotonic() - moved
            # What is held has deadlines of its own, and tokens may flow all the time until then.
            if not held and still_s > STALL_S + max(left.next_s, 0.0):
                raise errors.Overloaded(
                    f"{left.all_open} rows are still open and nothing has moved for {still_s:.0f} s"
                    f"{self._waits_for()}",
                    where="run --once",
                    fix="see the log above for the reason; the rows are kept for the next run",
                )
            for job in publishing:
                self._until_idle(job)
            self._stop.wait(TICK_S)

    def _waits_for(self) -> str:
        reasons = [f"{found.name}: {found.reason}" for found in self._runner.troubles]
        return f" ({'; '.join(reasons)})" if reasons else ""

    # --- threads -------------------------------------------------------------------------------

    def _start_threads(self) -> None:
        if self._pipeline is None:
            return
        start = self._runner.thread
        start("feeder", self._feed, self._stop)
        start("writer", self._write, self._stop_writer, longest_s=LONGEST_WRITE_PAUSE_S)
        start("leases", self._extend, self._stop_writer, longest_s=self._lease_s / 4)

    def _feed(self) -> float:
        assert self._pipeline is not None  # noqa: S101 - started only with one
        if not self._adopted:  # before the first claim: it takes whatever is held in our name
            self._work.adopt()
            self._work.expire()  # what was taken back is free at once
            self._adopted = True
        claimed = self._pipeline.advance()
        self._failed = self._pipeline.failure
        return 0.0 if claimed else IDLE_S

    def _write(self) -> float:
        assert self._pipeline is not None  # noqa: S101 - started only with one
        self._written += self._pipeline.settle(TICK_S)
        return 0.0

    def _extend(self) -> float:
        """Prolong the leases of what is held, unless feeder or writer does not move any more."""
        assert self._pipeline is not None  # noqa: S101 - started only with one
        failpoints.reach("leases")
        needed = ("writer",) if self._stop.is_set() else ("feeder", "writer")
        if self._runner.beating(needed, IDLE_WORKER_S):
            self._pipeline.extend()
        else:
            log.warning("leases not prolonged", reason="the feeder or the writer does not move")
        return self._lease_s / 4

    def _watch(
        self, stop: Stop, over: Callable[[], bool], reloading: Reloading | None = None
    ) -> None:
        """Feed systemd's watchdog as long as everything moves, until asked to stop or `over`."""
        every = environment.watchdog_s()
        last = float("-inf")
        wordy = False
        while not stop.wait(TICK_S) and not over():
            failpoints.reach("main-loop")
            beats.beat()
            logs.FLOOD.flush()
            if reloading is not None:
                reloading.turn()
            if stop.wordy != wordy:
                wordy = stop.wordy
                log.info("log level changed", to=logs.turn(more=wordy))
            now = time.monotonic()
            if every is None or now - last < every / 3:
                continue
            if stuck := self._runner.stuck():
                log.error("not moving", tasks=stuck)
            else:
                systemd.tell("WATCHDOG=1")
            last = now

    def _drain(self, *, hurried: bool) -> None:
        """Let rows in flight finish for `drain_s` unless hurried; give back the rest, uncounted."""
        self._stop.set()
        self._runner.end()
        if self._pipeline is not None:
            deadline = time.monotonic() + (0.0 if hurried else self._drain_s)
            while self._pipeline.held and time.monotonic() < deadline:
                beats.sleep(TICK_S / 5)
        giving = threading.Thread(target=self._give_back, name="give back", daemon=True)
        giving.start()
        giving.join(GIVE_BACK_S)
        if giving.is_alive():
            log.warning("rows stay claimed until their leases end", reason="no answer")
        self._stop_writer.set()
        self._runner.join(2.0)

    def _give_back(self) -> None:
        try:
            if self._pipeline is not None and (given_back := self._pipeline.give_back_all()):
                log.info("given back", rows=given_back)
            self._at_end()
        except BaseException as exc:  # noqa: BLE001 - it is the end; their leases end too
            log.warning("rows stay claimed until their leases end", reason=str(exc))


class _Expire:
    """Takes back what dead daemons held."""

    name = "expire"

    def __init__(self, work: Work, lease_s: float) -> None:
        self._work = work
        self.every_s = min(EXPIRE_S, lease_s / 2)

    def run_once(self) -> bool:
        self._work.expire()
        return False


class _Tell:
    """Says in the store that this daemon runs, and what keeps it from its work."""

    name = "tell"
    every_s = 2.0

    def __init__(self, runner: Runner, tell: Callable[[Sequence[dict[str, str]]], None]) -> None:
        self._runner = runner
        self._tell = tell
        self._told: tuple[float, set[tuple[str, str]]] = (float("-inf"), set())

    def run_once(self) -> bool:
        """Tell what has changed, or that nothing has."""
        troubles = [one for one in self._runner.troubles if one.name != self.name]
        told_at, told = self._told
        now = time.monotonic()
        told_now = {(one.name, one.reason) for one in troubles}
        if told_now != told or now - told_at >= HEARD_S:
            self._tell([{"name": t.name, "reason": t.reason, "since": t.since} for t in troubles])
            self._told = (now, told_now)
        return False
