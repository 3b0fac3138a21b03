"""A child's side: take the init frame, answer calls, and leave when the supervisor does.

A receiving thread reads frames at all times, so that the end of file is seen even while the main
thread sits in a driver; it then ends the process at once. Nothing is lost by that: what a child did
not answer is still claimed work.
"""

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from insights.ground import traces
from insights.workers import confinement
from insights.workers.channel import Channel, Fault, Frame, Ready

T = TypeVar("T")

_PR_SET_DUMPABLE = 4  # prctl(2), <linux/prctl.h>

Handler = Callable[[Any], msgspec.Struct | None]


class Call:
    """One request: decode it, then reply or fail exactly once, from any thread.

    With `cancels` it is the end of an earlier one of the same id: nobody waits for that any more.
    """

    def __init__(self, channel: Channel, frame: Frame) -> None:
        self._channel = channel
        self._frame = frame
        self.id = frame.id
        self.method = frame.method
        self.cancels = frame.kind == "cancel"

    def decode(self, type_: type[T]) -> T:
        """Return the request as `type_`."""
        return msgspec.msgpack.decode(self._frame.payload, type=type_)

    def reply(self, result: msgspec.Struct | None) -> None:
        """Answer."""
        self._channel.send(self.id, "reply", self.method, result)

    def fail(self, exc: BaseException) -> None:
        """Answer with an error, which the caller sees raised."""
        self._channel.send(self.id, "error", self.method, Fault.of(exc))


class Server:
    """The calls of one supervisor; see `connect`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if exc is not None and not self._ready and isinstance(exc, Exception):
            self._channel.send(0, "error", "", Fault.of(exc))
            os._exit(1)  # the reason has been told; a traceback could quote settings

    def init(
        self, type_: type[T], *, reads: Callable[[T], Iterable[str | Path] | None] | None = None
    ) -> T:
        """Return the first frame, which carries the child's settings.

        With `reads`, which names the files and folders that these settings are about, the process
        confines itself to them and its libraries first, unless it returns None. Libraries that
        start threads while they are imported have to be imported after it: such a thread would
        stay outside.
        """
        frame = self._channel.receive()
        if frame is None:
            os._exit(0)
        init = msgspec.msgpack.decode(frame.payload, type=type_)
        if reads is not None and (given := reads(init)) is not None:
            confinement.confine(given)
        threading.Thread(target=self._receive, name="frames", daemon=True).start()
        return init

    def ready(self, *, one_at_a_time: bool = False) -> None:
        """Tell the supervisor that start-up is done; `run` and `poll` do so by themselves.

        With `one_at_a_time` a call's deadline counts from the answer to the one before it.
        """
        if not self._ready:
            self._ready = True
            self._channel.send(0, "ready", "", Ready(one_at_a_time=one_at_a_time))

    def run(self, handlers: Mapping[str, tuple[type[Any], Handler]]) -> None:
        """Answer calls one at a time, for ever; a handler takes the request, returns the reply."""
        self.ready(one_at_a_time=True)
        while True:
            call = Call(self._channel, self._frames.get())
            if call.cancels:
                continue  # what it cancels has been answered: one call at a time
            try:
                type_, handler = handlers[call.method]
                call.reply(handler(call.decode(type_)))
            except Exception as exc:  # noqa: BLE001 - every error is the caller's to judge
                call.fail(exc)

    def poll(self, timeout_s: float | None) -> list[Call]:
        """Return the calls that have arrived; wait `timeout_s` for the first (None: for ever)."""
        self.ready()
        calls = []
        try:
            if timeout_s == 0:
                calls.append(Call(self._channel, self._frames.get_nowait()))
            else:
                calls.append(Call(self._channel, self._frames.get(timeout=timeout_s)))
            while True:
                calls.append(Call(self._channel, self._frames.get_nowait()))
        except queue.Empty:
            return calls

    def _receive(self) -> None:
        while (frame := self._channel.receive()) is not None:
            if frame.method == confinement.ATTEMPT and frame.kind == "call":
                Call(self._channel, frame).reply(confinement.attempt())
            else:
                self._frames.put(frame)
        os._exit(0)


def connect() -> Server:
    """Connect to the supervisor over the descriptor named in the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides when a child ends
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Secrets and row text: no core dump, no debugger of the same user, nothing in /proc to read.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    traces.guard()  # a child's standard error is the daemon's log
    return Server(Channel(socket.socket(fileno=int(sys.argv[-1]))))
