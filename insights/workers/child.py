"""One incarnation of a child process: the calls in flight to it, their deadlines, and its end."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import Protocol, TypeVar

import msgspec

from insights import errors
from insights.ground import environment
from insights.workers.channel import Channel, Fault, Frame, Ready

T = TypeVar("T")

_TICK_S = 0.2  # how often deadlines are looked at
_REFUSED_S = 0.5  # for a child that has said why it cannot start, or was killed, to be gone
_REAP_S = 5.0  # a killed process that is still there then is waited for by nobody


class EndCallback(Protocol):
    """Told once when a child has ended."""

    def __call__(self, end: "End", *, answered: bool, wanted: bool) -> None:
        """Take notice; `wanted` says that it was asked to leave."""
        ...


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


class Call(msgspec.Struct):
    """One call: who waits, how to decode its reply, how long it may take, when it was sent."""

    future: Future[object]
    reply: type
    method: str
    request: msgspec.Struct | None
    deadline_s: float
    sent: float = 0.0


class Child:
    """One process; made by `Worker`, which starts it.

    Args:
        module: What it runs.
        name: What logs and errors call it.
        on_end: Told when it has ended.
        folder: Its working directory; None leaves it ours.
    """

    def __init__(
        self, module: str, name: str, on_end: EndCallback, *, folder: str | None = None
    ) -> None:
        self.name = name
        self.alive = True
        self._on_end = on_end
        self._wanted = False
        self._answered = False
        self._ready = False
        self._killed = False
        self._why = ""
        self._calls: dict[int, Call] = {}
        self._one_at_a_time = False
        self._heard = 0.0
        self._lock = threading.Lock()
        self._order = threading.Lock()  # frames leave in the order of their numbers
        self._next_id = 1
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        try:
            with theirs:
                # -P: nothing that lies in the working directory is imported. A session of its own:
                # Ctrl-C reaches the supervisor alone, which drains its children.
                self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [sys.executable, "-P", "-m", module, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    env=environment.for_children(),
                    cwd=folder,
                )
        except BaseException:
            self._channel.close()
            raise

    def start(self, init: msgspec.Struct, deadline_s: float) -> None:
        """Send the first frame and wait until the child is ready.

        Raises:
            errors.WorkerDied: If it ended, or was killed because the deadline passed.
            errors.InsightsError: Why it could not start, as it says.
        """
        ready: Future[Ready] = Future()
        self._calls[0] = Call(ready, Ready, "start", None, deadline_s, time.monotonic())  # type: ignore[arg-type]
        receiver = threading.Thread(target=self._receive, name=f"{self.name} replies", daemon=True)
        watcher = threading.Thread(target=self._watch, name=f"{self.name} deadlines", daemon=True)
        try:
            watcher.start()
            receiver.start()
        except RuntimeError as exc:  # no memory for a thread: it must not be left behind
            self.kill("could not be watched")
            self._ended()
            raise errors.WorkerDied(f"{self.name} could not be started: {exc}") from exc
        try:
            self._channel.send(0, "init", "", init)
        except OSError as exc:
            self.kill("ended before it was ready")
            raise errors.WorkerDied(f"{self.name} ended before it was ready") from exc
        try:
            self._one_at_a_time = ready.result().one_at_a_time
        except errors.InsightsError:
            self._leave(_REFUSED_S)
            receiver.join(_REFUSED_S)  # its end is noted, and with it the pause before the next
            raise

    def send(self, call: Call) -> None:
        """Send one call.

        Raises:
            errors.WorkerDied: If the child has ended.
            errors.Overloaded: If the request is too large.
            OSError: If its end was felt here first.
        """
        call.sent = time.monotonic()
        with self._order:
            with self._lock:
                if not self.alive:
                    raise errors.WorkerDied(f"{self.name} {self._why or 'ended'}")
                id_ = self._next_id
                self._next_id += 1
                self._calls[id_] = call
            try:
                self._channel.send(id_, "call", call.method, call.request)
            except BaseException as exc:
                with self._lock:
                    self._calls.pop(id_, None)
                    if isinstance(exc, OSError):
                        self.alive = False  # the next call needs another child
                raise
        call.future.add_done_callback(lambda done: self._cancel(id_) if done.cancelled() else None)

    def kill(self, why: str) -> None:
        """Kill it now."""
        self._why = self._why or why
        self._killed = self._killed or self.process.poll() is None
        self.process.send_signal(signal.SIGKILL)

    def close(self, drain_s: float) -> None:
        """Ask it to leave by an end of file, and kill it after `drain_s` seconds."""
        self._wanted = True
        if drain_s <= 0:
            self.kill("was closed")
        self._leave(drain_s)

    def _leave(self, drain_s: float) -> None:
        self._channel.close()
        try:
            self.process.wait(max(drain_s, _REFUSED_S))
        except subprocess.TimeoutExpired:
            self.kill("did not drain in time")
            with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs inside the kernel
                self.process.wait(_REAP_S)

    def _receive(self) -> None:
        try:
            while (frame := self._channel.receive()) is not None:
                self._settle(frame)
        finally:  # whatever was raised: nobody may wait for ever
            self._ended()

    def _cancel(self, id_: int) -> None:
        """Tell the child that nobody waits for a call; it is late for nothing from now on.

        One that answers call by call works on it all the same, and the next waits for that.
        """
        with self._lock:
            call = self._calls.get(id_)
            if not self._one_at_a_time:
                self._calls.pop(id_, None)
        if call is not None:
            with contextlib.suppress(OSError):  # the child has ended, and the call with it
                self._channel.send(id_, "cancel", call.method, None)

    def _settle(self, frame: Frame) -> None:
        with self._lock:
            call = self._calls.pop(frame.id, None)
            self._heard = time.monotonic()
        # From here on it cannot be cancelled: its answer is there.
        if call is None or not call.future.set_running_or_notify_cancel():
            return
        try:
            if frame.kind == "error":
                fault = msgspec.msgpack.decode(frame.payload, type=Fault)
                call.future.set_exception(fault.error())
            else:
                self._answered = self._answered or frame.kind == "reply"
                self._ready = self._ready or frame.kind == "ready"
                call.future.set_result(msgspec.msgpack.decode(frame.payload, type=call.reply))
        except msgspec.MsgspecError as exc:
            call.future.set_exception(
                errors.WorkerDied(f"{self.name} answered {call.method} with garbage: {exc}")
            )

    def _late(self) -> Call | None:
        """Return a call whose time is up.

        A child that answers one call at a time begins with the oldest when it has answered the one
        before: the calls behind it are late for nothing.
        """
        now = time.monotonic()
        with self._lock:
            if self._one_at_a_time:
                oldest = next(iter(self._calls.values()), None)
                due = 0.0 if oldest is None else max(oldest.sent, self._heard) + oldest.deadline_s
                return oldest if due < now else None
            calls = self._calls.values()
            return next((call for call in calls if call.sent + call.deadline_s < now), None)

    def _watch(self) -> None:
        while self.alive:
            time.sleep(_TICK_S)
            late = self._late()
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
        for call in calls.values():
            fail(call.future, errors.WorkerDied(f"{self.name} {how}"))


def fail(future: Future[T], exc: BaseException) -> None:
    """Fail a future once: the sender and the end of the child may both find it broken."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(exc)
