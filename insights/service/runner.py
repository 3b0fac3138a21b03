"""One runner for threads and jobs: it catches whatever they raise, tells it, backs off, and beats.

A trouble that was foreseen (`errors.InsightsError`) is a warning with its reason. One that nobody
foresaw is logged with its traceback the first time and with one line while it repeats. A job backs
off and goes on trying for ever; a thread that the daemon cannot do without ends the daemon when it
has failed like that many times in a row: a restart may help, and hiding it does not.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
import structlog

from insights import errors
from insights.ground import beats, metrics
from insights.service.schedule import Schedule

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
HOPELESS = 6  # unforeseen failures of a thread in a row: half a minute of backing off
STUCK_S = 300.0  # every call is bounded well below this


Stage = Literal["starting", "running", "draining"]


class Job(Protocol):
    """A background job: settings checked at construction, one round here, the loop elsewhere."""

    name: str
    every_s: float

    def run_once(self) -> bool:
        """Do one round; True means that there is more to do at once."""
        ...


class Trouble(msgspec.Struct, frozen=True):
    """Why a thread or a job does not do its work at present, and since when (ISO 8601, UTC)."""

    name: str
    reason: str
    failures: int
    again_in_s: float
    since: str


class Vital(msgspec.Struct, frozen=True):
    """One thread or job as whoever asks after our health sees it.

    Attributes:
        name: What logs call it.
        alive: False for a thread that has ended and should not have.
        busy: Whether it works now; an idle job is not heard of.
        silent_s: Seconds since it was last heard of.
        well_s: Seconds since a round of it went well; None: none has yet.
        reason: Why its last round failed, in our own words; empty if it did not.
    """

    name: str
    alive: bool
    busy: bool
    silent_s: float
    well_s: float | None
    reason: str


class _Charge:
    """One thread or job in our charge: its pulse, and how it fares."""

    def __init__(self, name: str, longest_s: float, *, vital: bool = True) -> None:
        self.name = name
        self.vital = vital
        self.thread: threading.Thread | None = None  # a job has another for each round
        self.ended = False
        self.well_at: float | None = None
        self.pulse = beats.Pulse()
        self.busy = False
        self.unforeseen = 0
        self.trouble: Trouble | None = None
        self._longest_s = longest_s
        self._pause_s = 0.0
        self._known = ""

    def went_well(self) -> None:
        self.unforeseen, self._pause_s, self._known, self.trouble = 0, 0.0, "", None
        self.well_at = time.monotonic()

    def failed(self, exc: BaseException, *, quiet: bool) -> float:
        """Tell a failure, and return the seconds to wait."""
        first = min(FIRST_BACKOFF_S, self._longest_s)
        self._pause_s = min(self._longest_s, max(first, self._pause_s * 2))
        foreseen = isinstance(exc, errors.InsightsError)
        reason = str(exc) if foreseen else f"internal error: {type(exc).__name__} at {_place(exc)}"
        self.unforeseen = 0 if foreseen else self.unforeseen + 1
        if not foreseen:
            metrics.UNFORESEEN.labels(self.name).inc()
        failures = 1 + (self.trouble.failures if self.trouble is not None else 0)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        since = self.trouble.since if self.trouble is not None else now
        self.trouble = Trouble(self.name, reason, failures, self._pause_s, since)
        if quiet:
            return self._pause_s
        again = {"task": self.name, "reason": reason, "again_in_s": self._pause_s}
        if foreseen:
            log.warning("failed", **again)
        elif reason != self._known:
            log.error("failed unforeseen", exc_info=exc, **again)
        else:
            log.error("failed again", **again)
        self._known = reason
        return self._pause_s


class Runner:
    """Threads and jobs of the daemon.

    Args:
        wake: Called from any thread when the main thread has something to look at.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._charges: dict[str, _Charge] = {}
        self._threads: list[threading.Thread] = []
        self._schedule = Schedule()
        self._ending = threading.Event()
        self._scheduled = False
        self.hopeless: errors.InsightsError | None = None
        """Why the daemon cannot go on."""
        self.main = beats.Pulse()
        """The main thread's, which carries it."""
        self.stage: Stage = "starting"
        """What the main thread is about."""
        self.complaints: tuple[Trouble, ...] = ()
        """What stays wrong until somebody acts."""
        self.waits_for = ""
        """While it starts: what for."""

    def waiting(self, reason: str) -> None:
        """Say what the main thread waits for before it runs; "" for nothing."""
        self.waits_for = reason

    def wakes(self, wake: Callable[[], None]) -> None:
        """Say whom to wake from now on."""
        self._wake = wake

    def thread(
        self,
        name: str,
        turn: Callable[[], float],
        until: threading.Event,
        *,
        longest_s: float = LONGEST_BACKOFF_S,
        vital: bool = True,
    ) -> None:
        """Start a thread, one that the daemon cannot do without unless told otherwise.

        Args:
            name: What logs call it.
            turn: Does one round, and returns the seconds to wait before the next.
            until: Ends it.
            longest_s: Longest pause after failures.
            vital: Whether the daemon ends where this thread cannot go on, and waits for its end.
        """
        charge = self._charges[name] = _Charge(name, longest_s, vital=vital)
        thread = threading.Thread(
            target=self._loop, args=(charge, turn, until), name=name, daemon=True
        )
        charge.thread = thread
        if vital:
            self._threads.append(thread)
        thread.start()

    def schedule(self, job: Job) -> None:
        """Run a job at its interval, from `begin` on."""
        charge = self._charges[job.name] = _Charge(job.name, LONGEST_BACKOFF_S)
        self._schedule.add(job.name, lambda: self._rounds(charge, job), job.every_s)

    def begin(self) -> None:
        """Let the jobs begin."""
        self._schedule.start()
        self._scheduled = True

    def end(self) -> None:
        """Start no round any more; those under way go on, and tell nobody how they end."""
        self._ending.set()
        if self._scheduled:
            self._schedule.end()
            self._scheduled = False

    def join(self, seconds: float) -> None:
        """Wait for the threads to end, so long in all."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def beating(self, names: tuple[str, ...], within_s: float) -> bool:
        """Tell whether these were heard of lately."""
        found = (self._charges[name] for name in names)
        return all(charge.pulse.age_s() < within_s for charge in found)

    def stuck(self, after_s: float = STUCK_S) -> list[str]:
        """Return which of the busy ones were not heard of for so long."""
        charges = list(self._charges.values())
        return [one.name for one in charges if one.busy and one.pulse.age_s() >= after_s]

    @property
    def vitals(self) -> list[Vital]:
        """All threads and jobs, and how they fare; takes no lock, waits for nobody."""
        now = time.monotonic()
        return [
            Vital(
                name=one.name,
                alive=one.ended or one.thread is None or one.thread.is_alive(),
                busy=one.busy,
                silent_s=one.pulse.age_s(),
                well_s=None if one.well_at is None else now - one.well_at,
                reason=trouble.reason if (trouble := one.trouble) is not None else "",
            )
            for one in list(self._charges.values())
        ]

    def complain(self, name: str, reason: str) -> None:
        """Say what stays wrong until somebody acts, though every thread works; "" for nothing."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        others = tuple(one for one in self.complaints if one.name != name)
        self.complaints = (*others, Trouble(name, reason, 1, 0.0, now)) if reason else others

    @property
    def troubles(self) -> list[Trouble]:
        """What fails at present."""
        failing = [one.trouble for one in list(self._charges.values()) if one.trouble is not None]
        return [*failing, *self.complaints]

    # --- the loops -----------------------------------------------------------------------------

    def _loop(self, charge: _Charge, turn: Callable[[], float], until: threading.Event) -> None:
        beats.carry(charge.pulse)
        charge.busy = True
        while not until.is_set():
            beats.beat()
            try:
                pause = turn()
                charge.went_well()
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is told and outlived
                pause = charge.failed(exc, quiet=until.is_set())
                if charge.vital and charge.unforeseen >= HOPELESS:
                    self._give_up(charge, exc)
                    return
            _pause(until, pause)
        charge.busy, charge.ended = False, True

    def _give_up(self, charge: _Charge, exc: BaseException) -> None:
        self.hopeless = errors.InsightsError(
            f"the thread {charge.name} cannot go on: {type(exc).__name__} at {_place(exc)}",
            where="daemon",
            fix="see its traceback in the log; rows in flight were given back",
        )
        self.hopeless.__cause__ = exc
        self._wake()

    def _rounds(self, charge: _Charge, job: Job) -> None:
        """Do a job's rounds until there is nothing more to do; after a failure, until they work.

        A job that comes once an hour need not wait an hour because the store was away for a moment.
        """
        beats.carry(charge.pulse)
        charge.busy = True
        while not self._ending.is_set():
            beats.beat()
            try:
                more = job.run_once()
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is told and outlived
                _pause(self._ending, charge.failed(exc, quiet=self._ending.is_set()))
                continue
            charge.went_well()
            if not more:
                break
        charge.busy = False


def _pause(until: threading.Event, seconds: float) -> None:
    """Wait, beating: a thread that backs off is no thread that hangs."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not until.wait(min(left, 1.0)):
        beats.beat()


def _place(exc: BaseException) -> str:
    place, trace = "nowhere", exc.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
