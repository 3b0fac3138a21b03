"""A TCP proxy that a test can cut: what passes, what falls silent, and for whom."""

import contextlib
import socket
import threading
from typing import Self

_CHUNK = 65_536


class Proxy:
    """Passes bytes between its own loopback port and a server's.

    Args:
        port: The server's port on loopback.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._lock = threading.Lock()
        self._mute: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._refusing = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cut all connections; new ones are refused."""
        self._refusing = True
        # A socket that another thread waits on must be shut down before it is closed.
        for sock in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        with self._lock:
            return len(self._open) // 2

    def mute(self) -> None:
        """Pass nothing more over today's connections; they stay open. New ones pass."""
        with self._lock:
            self._mute |= self._open

    def _accept(self) -> None:
        while not self._refusing:
            try:
                ours, _ = self._listening.accept()
            except OSError:
                return
            try:
                theirs = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                ours.close()
                continue
            with self._lock:
                self._open |= {ours, theirs}
            for source, target in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                with self._lock:
                    silent = source in self._mute
                if not silent:  # else they are swallowed: the sender sees its acknowledgements
                    target.sendall(data)
        with self._lock:
            if source in self._mute and not self._refusing:
                return  # whoever went away: the other side is not told
            self._open -= {source, target}
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
