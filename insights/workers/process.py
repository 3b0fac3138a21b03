"""The supervisor's side of a child: spawn, call with a deadline, kill, restart with backoff.

A call that outlives its deadline kills the child: a hung ODBC fetch or a prompt evaluation cannot
be interrupted in any other way. Whatever was in flight then fails with `WorkerDied`, and the next
call starts a fresh child.
"""

import contextlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import Protocol, TypeVar

import msgspec
import structlog

from insights import errors
from insights.workers.channel import Channel, Fault, Frame

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
_TICK_S = 0.2  # how often deadlines are looked at


class _EndCallback(Protocol):
    def __call__(self, end: "End", *, answered: bool, wanted: bool) -> None: ...


class End(msgspec.Struct, frozen=True):
    """How a child ended: its status as `subprocess` tells it (below 0: the signal), and when.

    `ready` is false for one that never got through its start; `ours` says that we killed it.
    """

    pid: int
    status: int
    ready: bool
    ours: bool

    @property
    def how(self) -> str:
        """In words: what a signal is called, or the status."""
        if self.status >= 0:
            return f"ended with {self.status}"
        number = -self.status
        names = [known.name for known in signal.Signals if known == number]
        said = (signal.strsignal(number) or "unknown").lower()
        return f"died of signal {number}, {' '.join(names) or 'unnamed'} ({said})"


class _Pending(msgspec.Struct):
    """A call in flight: how to decode its reply, and when it is overdue (monotonic seconds)."""

    future: Future[object]
    reply: type
    due: float
    method: str


class Worker:
    """One restartable child process, `python -m <module>`, and the calls in flight to it.

    Args:
        module: The child's module; nothing of it is imported here.
        init: The first frame it gets: settings and secrets, which thereby stay out of argv and
            environment.
        name: What logs and errors call it.
        start_deadline_s: Seconds from spawn to ready (a model load counts).
    """

    def __init__(
        self, module: str, init: msgspec.Struct, *, name: str, start_deadline_s: float = 60.0
    ) -> None:
        self.name = name
        self._module = module
        self._init = init
        self._start_deadline_s = start_deadline_s
        self._lock = threading.RLock()
        self._child: _Child | None = None
        self._deaths = 0
        self._not_before = 0.0
        self._closed = False
        self.last_end: End | None = None
        """How the last child that nobody asked to leave ended."""

    @property
    def pid(self) -> int | None:
        """The living child's process id."""
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

        Cancelling the future, at any time before its answer, tells the child that nobody waits.
        """
        future: Future[T] = Future()
        try:
            self._started().send(method, request, reply, future, deadline_s)
        except errors.InsightsError as exc:
            _fail(future, exc)
        except OSError as exc:
            _fail(future, errors.WorkerDied(f"{self.name} ended ({exc.strerror})"))
        return future

    def call(
        self, method: str, request: msgspec.Struct | None, reply: type[T], *, deadline_s: float
    ) -> T:
        """Send one request and wait for its answer.

        Raises:
            errors.WorkerDied: If the child died, or was killed because the deadline passed.
            errors.InsightsError: Whatever the child raised.
        """
        return self.submit(method, request, reply, deadline_s=deadline_s).result()

    def start(self) -> None:
        """Start the child now and wait until it is ready; otherwise the first call does."""
        self._started()

    def close(self, drain_s: float = 5.0) -> None:
        """End the child: end of file first, SIGKILL after `drain_s` seconds."""
        with self._lock:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.close(drain_s)

    def kill(self) -> None:
        """Kill the child now; whatever is in flight fails with `WorkerDied`."""
        child = self._child
        if child is not None:
            child.kill("was killed on request")

    def _started(self) -> "_Child":
        with self._lock:
            if self._closed:
                raise errors.WorkerDied(f"{self.name} is closed")
            if self._child is not None and self._child.alive:
                return self._child
            pause = self._not_before - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            try:
                self._child = _Child(
                    self._module, self._init, self.name, self._start_deadline_s, self._on_end
                )
            except errors.WorkerDied:
                self._back_off()
                raise
            return self._child

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
        bound = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (self._deaths - 1))
        self._not_before = time.monotonic() + bound * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        log.warning("child ended", child=self.name, deaths=self._deaths, restart_within_s=bound)


class _Child:
    """One incarnation of the process."""

    def __init__(
        self,
        module: str,
        init: msgspec.Struct,
        name: str,
        start_deadline_s: float,
        on_end: _EndCallback,
    ) -> None:
        self.name = name
        self.alive = True
        self._on_end = on_end
        self._wanted = False
        self._answered = False
        self._ready = False
        self._killed = False
        self._why = ""
        self._calls: dict[int, _Pending] = {}
        self._lock = threading.Lock()
        self._next_id = 1
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C reaches the supervisor alone, which drains its children.
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._channel = Channel(ours)
        ready: Future[None] = Future()
        self._calls[0] = _Pending(
            ready,  # type: ignore[arg-type]  # Future is invariant
            type(None),
            time.monotonic() + start_deadline_s,
            "start",
        )
        threading.Thread(target=self._receive, name=f"{name} replies", daemon=True).start()
        threading.Thread(target=self._watch, name=f"{name} deadlines", daemon=True).start()
        try:
            self._channel.send(0, "init", "", init)
        except OSError as exc:
            self.kill("ended before it was ready")
            raise errors.WorkerDied(f"{name} ended before it was ready") from exc
        try:
            ready.result()
        except errors.InsightsError:
            self.close(0.5)
            raise

    def send(
        self,
        method: str,
        request: msgspec.Struct | None,
        reply: type[T],
        future: Future[T],
        deadline_s: float,
    ) -> None:
        pending = _Pending(
            future,  # type: ignore[arg-type]  # Future is invariant
            reply,
            time.monotonic() + deadline_s,
            method,
        )
        with self._lock:
            if not self.alive:
                raise errors.WorkerDied(f"{self.name} {self._why or 'ended'}")
            id_ = self._next_id
            self._next_id += 1
            self._calls[id_] = pending
        try:
            self._channel.send(id_, "call", method, request)
        except BaseException as exc:
            with self._lock:
                self._calls.pop(id_, None)
                if isinstance(exc, OSError):
                    self.alive = False  # its end was felt here first: the next call needs another
            raise
        future.add_done_callback(lambda done: self._cancel(id_) if done.cancelled() else None)

    def kill(self, why: str) -> None:
        self._why = self._why or why
        self._killed = self._killed or self.process.poll() is None
        self.process.send_signal(signal.SIGKILL)

    def close(self, drain_s: float) -> None:
        self._wanted = True
        self._channel.close()
        try:
            self.process.wait(drain_s)
        except subprocess.TimeoutExpired:
            self.kill("did not drain in time")
            self.process.wait()

    def _receive(self) -> None:
        while (frame := self._channel.receive()) is not None:
            self._settle(frame)
        self._ended()

    def _cancel(self, id_: int) -> None:
        """Tell the child that nobody waits for a call; it is late for nothing from now on."""
        with self._lock:
            pending = self._calls.pop(id_, None)
        if pending is not None:
            with contextlib.suppress(OSError):  # the child has ended, and the call with it
                self._channel.send(id_, "cancel", pending.method, None)

    def _settle(self, frame: Frame) -> None:
        with self._lock:
            pending = self._calls.pop(frame.id, None)
        # From here on it cannot be cancelled: its answer is there.
        if pending is None or not pending.future.set_running_or_notify_cancel():
            return
        try:
            if frame.kind == "error":
                fault = msgspec.msgpack.decode(frame.payload, type=Fault)
                pending.future.set_exception(fault.error())
            else:
                self._answered = self._answered or frame.kind == "reply"
                self._ready = self._ready or frame.kind == "ready"
                pending.future.set_result(msgspec.msgpack.decode(frame.payload, type=pending.reply))
        except msgspec.MsgspecError as exc:
            pending.future.set_exception(
                errors.WorkerDied(f"{self.name} answered {pending.method} with garbage: {exc}")
            )

    def _watch(self) -> None:
        while self.alive:
            time.sleep(_TICK_S)
            now = time.monotonic()
            with self._lock:
                late = next((call for call in self._calls.values() if call.due < now), None)
            if late is not None:
                self.kill(f"did not answer {late.method} in time and was killed")
                return

    def _ended(self) -> None:
        with self._lock:
            self.alive = False
            calls, self._calls = self._calls, {}
        self._channel.close()
        try:
            status = self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        end = End(self.process.pid, status, ready=self._ready, ours=self._killed)
        how = self._why or end.how
        self._why = how
        self._on_end(end, answered=self._answered, wanted=self._wanted)
        for pending in calls.values():
            _fail(pending.future, errors.WorkerDied(f"{self.name} {how}"))


def _fail(future: Future[T], exc: BaseException) -> None:
    """Fail a future once: the sender and the end of the child may both find it broken."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(exc)
