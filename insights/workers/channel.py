"""Frames between supervisor and child: length-prefixed msgpack over a socket pair.

A frame is a 4-byte big-endian length and a msgpack array `[id, kind, method, payload]`. Payloads
stay undecoded until somebody who knows their type asks, so that bulk blocks pass through untouched.
"""

import contextlib
import socket
import struct
import threading
from typing import Literal

import msgspec

from insights import errors

MAX_FRAME = 256 * 1024 * 1024  # bytes: far above a page of keys or a fetch of a batch
_LENGTH = struct.Struct(">I")
_SHORT = 65_536  # bytes: copying so much costs less than a second system call and a second wake-up

Kind = Literal["init", "ready", "call", "cancel", "reply", "error"]


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One message. `id` pairs replies and cancellations with calls; 0 is the handshake."""

    id: int
    kind: Kind
    method: str
    payload: msgspec.Raw


class Ready(msgspec.Struct, frozen=True):
    """A child's word that it has started, and whether it answers its calls one at a time."""

    one_at_a_time: bool = False


class Fault(msgspec.Struct, frozen=True):
    """An error that crosses the boundary: the class by name, and what a person needs of it."""

    name: str
    what: str
    where: str = ""
    fix: str = ""

    @classmethod
    def of(cls, exc: BaseException) -> "Fault":
        """Wrap an exception; a foreign one keeps type and line only: its message may quote data."""
        if isinstance(exc, errors.InsightsError):
            return cls(type(exc).__name__, exc.what, exc.where, exc.fix)
        place, trace = "", exc.__traceback__
        while trace is not None:
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
            trace = trace.tb_next
        return cls("InsightsError", f"internal error: {type(exc).__name__}", place)

    def error(self) -> errors.InsightsError:
        """Return the exception to raise on this side."""
        return errors.named(self.name)(self.what, where=self.where, fix=self.fix)


class Channel:
    """One end of the socket pair. Sends from any thread; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Frame)

    def send(self, id_: int, kind: Kind, method: str, payload: msgspec.Struct | None) -> None:
        """Send one frame.

        Raises:
            errors.Overloaded: If it is longer than `MAX_FRAME`.
            OSError: If the other end is gone.
        """
        raw = msgspec.Raw(self._encoder.encode(payload))
        with self._sending:
            body = self._encoder.encode(Frame(id_, kind, method, raw))
            if len(body) > MAX_FRAME:
                raise errors.Overloaded(f"a {method} message of {len(body)} bytes is too large")
            if len(body) <= _SHORT:
                self._sock.sendall(_LENGTH.pack(len(body)) + body)
            else:
                self._sock.sendall(_LENGTH.pack(len(body)))
                self._sock.sendall(body)

    def receive(self) -> Frame | None:
        """Return the next frame, or None when the other end has closed."""
        header = self._exactly(_LENGTH.size)
        if header is None:
            return None
        (length,) = _LENGTH.unpack(header)
        if length > MAX_FRAME:
            return None
        body = self._exactly(length)
        return None if body is None else self._decoder.decode(body)

    def close(self) -> None:
        """Close this end; the other sees its end of file."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, count: int) -> bytearray | None:
        data = bytearray(count)
        view, filled = memoryview(data), 0
        while filled < count:
            try:
                got = self._sock.recv_into(view[filled:])
            except OSError:
                return None
            if got == 0:
                return None
            filled += got
        return data
