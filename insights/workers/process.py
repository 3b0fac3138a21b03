"""The supervisor's side of a child: spawn, call with a deadline, kill, restart with backoff.

A call that outlives its deadline kills the child: a hung ODBC fetch or a prompt evaluation cannot
be interrupted in any other way. Whatever was in flight then fails with `WorkerDied`, and the next
call starts a fresh child. Starting one happens in a thread of its own: whoever submits a call while
a model loads gets a future at once, and `close` ends the load.
"""

import random
import subprocess
import threading
import time
from concurrent.futures import Future
from typing import TypeVar

import msgspec
import structlog

from insights import errors
from insights.ground import beats, metrics
from insights.workers.child import Call, Child, End, fail
from insights.workers.confinement import ATTEMPT, Held

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
_ATTEMPT_S = 30.0


class Standing(msgspec.Struct):
    """What the calls of a child tell of what it stands for; moments are monotonic seconds.

    An answer that refuses a request is one: whatever answers can be reached.
    """

    asked_at: float | None = None
    answered_at: float | None = None
    trouble: errors.InsightsError | None = None
    """Why the last call came to nothing; None once one is answered."""


class Worker:
    """One restartable child process, `python -m <module>`, and the calls in flight to it.

    Args:
        module: The child's module; nothing of it is imported here.
        init: The first frame it gets: settings and secrets, which thereby stay out of argv and
            environment.
        name: What logs and errors call it.
        start_deadline_s: Seconds from spawn to ready (a model load counts).
        in_place: Leave it in our working directory: a connection string may name a file from there.
    """

    def __init__(
        self,
        module: str,
        init: msgspec.Struct,
        *,
        name: str,
        start_deadline_s: float = 60.0,
        in_place: bool = False,
    ) -> None:
        self.name = name
        self._module = module
        self._init = init
        self._start_deadline_s = start_deadline_s
        self._in_place = in_place
        self._lock = threading.RLock()
        self._child: Child | None = None
        self._loading: Child | None = None
        self._starting = False
        self._waiting: list[Call] = []
        self._expecting: list[Future[None]] = []  # who waits for a child that is ready
        self._deaths = 0
        self._not_before = 0.0
        self._closed = threading.Event()
        self.standing = Standing()
        self.last_end: End | None = None
        """How the last child that nobody asked to leave ended."""

    @property
    def pid(self) -> int | None:
        """The process id of the living child that is ready."""
        child = self._child
        return child.process.pid if child is not None and child.alive else None

    @property
    def deaths(self) -> int:
        """How often a child ended without being asked to, in a row, since it last answered."""
        return self._deaths

    def submit(
        self, method: str, request: msgspec.Struct | None, reply: type[T], *, deadline_s: float
    ) -> Future[T]:
        """Send one request; the future raises what the child raised, or `WorkerDied`.

        Never waits for a child to start. The deadline counts from when the child begins with it.
        Cancelling the future, at any time before its answer, tells the child that nobody waits.
        """
        future: Future[T] = Future()
        self.standing.asked_at = began = time.monotonic()
        future.add_done_callback(lambda done: self._note(done, method, began))
        call = Call(future, reply, method, request, deadline_s)  # type: ignore[arg-type]
        with self._lock:
            child, closed = self._child, self._closed.is_set()
            ready = child is not None and child.alive
            starts = not closed and not ready and not self._starting
            self._starting = self._starting or starts
            if not closed and not ready:
                self._waiting.append(call)
        if closed:
            fail(future, errors.WorkerDied(f"{self.name} is closed"))
        elif child is not None and ready:
            _send(child, call)
        elif starts:
            self._start_beside()
        return future

    def call(
        self, method: str, request: msgspec.Struct | None, reply: type[T], *, deadline_s: float
    ) -> T:
        """Send one request and wait for its answer.

        Raises:
            errors.WorkerDied: If the child died, or was killed because the deadline passed.
            errors.InsightsError: Whatever the child raised.
        """
        return beats.result(self.submit(method, request, reply, deadline_s=deadline_s))

    def held(self) -> Held:
        """Let the child try what a confined one cannot do; see `confinement.attempt`.

        Raises:
            errors.InsightsError: As `call`.
        """
        return self.call(ATTEMPT, None, Held, deadline_s=_ATTEMPT_S)

    def start(self) -> None:
        """Start the child now and wait until it is ready; otherwise the first call starts it.

        Raises:
            errors.WorkerDied: If it could not be started.
            errors.InsightsError: Why it refused to.
        """
        future: Future[None] = Future()
        with self._lock:
            if self._child is not None and self._child.alive:
                return
            if self._closed.is_set():
                raise errors.WorkerDied(f"{self.name} is closed")
            starts, self._starting = not self._starting, True
            self._expecting.append(future)
        if starts:
            self._start_beside()
        beats.result(future)

    def close(self, drain_s: float = 5.0) -> None:
        """End the child: end of file, then SIGKILL after `drain_s` seconds; a load at once."""
        with self._lock:
            self._closed.set()
            child, self._child = self._child, None
            loading = self._loading
        if loading is not None:
            loading.close(0.0)
        self._refuse(errors.WorkerDied(f"{self.name} is closed"))
        if child is not None:
            child.close(drain_s)

    def kill(self) -> None:
        """Kill the child now; whatever is in flight fails with `WorkerDied`."""
        for child in (self._child, self._loading):
            if child is not None:
                child.kill("was killed on request")

    def _note(self, done: Future[T], method: str, began: float) -> None:
        """Note what a call tells of what is behind the child."""
        metrics.CALLS.labels(self.name, method).observe(time.monotonic() - began)
        exc = None if done.cancelled() else done.exception()
        if done.cancelled() or isinstance(exc, errors.MustWait | errors.Overloaded):
            return
        if isinstance(exc, errors.Transient):
            self.standing.trouble = exc
        else:
            self.standing.answered_at, self.standing.trouble = time.monotonic(), None

    # --- starting ------------------------------------------------------------------------------

    def _start_beside(self) -> None:
        """Start a child in a thread of its own, so that whoever asks need not wait."""
        try:
            threading.Thread(target=self._start, name=f"{self.name} start", daemon=True).start()
        except RuntimeError as exc:  # no memory for a thread, or too many
            self._give_up(errors.WorkerDied(f"{self.name} could not be started: {exc}"))

    def _start(self) -> None:
        try:
            child = self._spawn()
            child.start(self._init, self._start_deadline_s)
        except errors.InsightsError as exc:
            self._give_up(exc)
            return
        except BaseException as exc:
            log.exception("child not started", child=self.name)
            if (loading := self._loading) is not None:
                loading.close(0.0)
            self._back_off()
            self._give_up(
                errors.WorkerDied(f"{self.name} could not be started: {type(exc).__name__}")
            )
            return
        with self._lock:
            self._loading, self._starting = None, False
            closed = self._closed.is_set()
            self._child = None if closed else child
            waiting, self._waiting = self._waiting, []
            expecting, self._expecting = self._expecting, []
        if closed:
            child.close(0.0)
        for future in expecting:
            future.set_result(None)
        for call in waiting:
            _send(child, call)

    def _spawn(self) -> Child:
        """Wait out the backoff, then spawn; closing the worker ends both."""
        self._closed.wait(max(0.0, self._not_before - time.monotonic()))
        with self._lock:
            if self._closed.is_set():
                raise errors.WorkerDied(f"{self.name} is closed")
            try:
                self._loading = Child(
                    self._module, self.name, self._on_end, folder=None if self._in_place else "/"
                )
            except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
                self._back_off()
                raise errors.WorkerDied(f"{self.name} could not be started: {exc}") from exc
            return self._loading

    def _give_up(self, exc: errors.InsightsError) -> None:
        """No child came of it: tell whoever waits."""
        with self._lock:
            self._loading, self._starting = None, False
        self._refuse(exc)

    def _refuse(self, exc: errors.InsightsError) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
            expecting, self._expecting = self._expecting, []
        for call in waiting:
            fail(call.future, exc)
        for future in expecting:
            fail(future, exc)

    def _on_end(self, end: End, *, answered: bool, wanted: bool) -> None:
        """A child ended: after an unwanted death, wait longer before each restart."""
        if wanted:
            return
        self.last_end = end
        if answered:
            self._deaths = 0
        self._back_off()

    def _back_off(self) -> None:
        self._deaths += 1
        metrics.DEATHS.labels(self.name).inc()
        bound = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (self._deaths - 1))
        self._not_before = time.monotonic() + bound * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        log.warning("child ended", child=self.name, deaths=self._deaths, restart_within_s=bound)


def _send(child: Child, call: Call) -> None:
    if call.future.cancelled():
        return
    try:
        child.send(call)
    except errors.InsightsError as exc:
        fail(call.future, exc)
    except OSError as exc:
        fail(call.future, errors.WorkerDied(f"{child.name} ended ({exc.strerror})"))
