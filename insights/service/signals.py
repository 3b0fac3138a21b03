"""SIGTERM and SIGINT only wake the main thread; what follows from them, it does in its own time.

A handler runs between any two instructions of the main thread, also while that thread holds a lock
inside `Event.wait` or a logger. It must therefore take no lock: `Event.set` in a handler waits for
ever for the thread that it interrupted. Python writes a byte into a pipe for each signal
(signal.set_wakeup_fd), and the handler sets a plain flag.
"""

import contextlib
import os
import select
import signal
import sys
from types import FrameType, TracebackType
from typing import NoReturn, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LEVELS = {signal.SIGUSR1: True, signal.SIGUSR2: False}
INTERRUPTED = 130  # exit code after Ctrl-C, as shells have it
TERMINATED = 143  # after SIGTERM
_HURRY_S = 0.8  # for closing what is open after Ctrl-C


class _Reload:
    asked = False


def hear_reload() -> None:
    """Remember each SIGHUP until `reload_asked`; on a terminal its closing still ends the daemon.

    Called before the settings are read: what changes later is never missed.
    """
    if sys.stdin is None or not sys.stdin.isatty():  # None: it was closed, as daemons do
        signal.signal(signal.SIGHUP, _remember)


def reload_asked() -> bool:
    """Tell whether SIGHUP came since the last time."""
    asked, _Reload.asked = _Reload.asked, False
    return asked


def _remember(_signum: int, _frame: FrameType | None) -> None:
    _Reload.asked = True


def begin_anew() -> NoReturn:
    """Run this program anew in this process, as it was called; all is closed.

    SIGHUP is ignored until it is heard again, which is before the settings are read.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own interpreter and arguments


class Stop:
    """Whether we were asked to stop; made, entered and waited for in the main thread.

    With `hurried` it was Ctrl-C: a person waits, and what is under way is given back, not finished.
    """

    def __init__(self) -> None:
        self.requested = False
        self.wordy = False
        """Whether the log shall say more: since SIGUSR1, until SIGUSR2."""
        self.hurried = False
        self._awake, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        self._former_fd = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._former = {signum: signal.signal(signum, self._handle) for signum in _SIGNALS}
        for signum in _LEVELS:
            self._former[signum] = signal.signal(signum, self._turn)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back, but ignore them once one came: what is left is the way out."""
        for signum, former in self._former.items():
            signal.signal(signum, signal.SIG_IGN if self.requested else former)
        signal.set_wakeup_fd(self._former_fd)
        os.close(self._awake)
        os.close(self._wake)

    def wake(self) -> None:
        """Let `wait` return now; any thread may call it."""
        with contextlib.suppress(OSError):  # it is full, and `wait` returns anyway; or it is closed
            os.write(self._wake, b"\0")

    def wait(self, timeout_s: float) -> bool:
        """Wait for a signal, a `wake` or the time; tell whether we were asked to stop."""
        if not self.requested:
            ready, _, _ = select.select([self._awake], [], [], timeout_s)
            if ready:
                os.read(self._awake, 4096)
        return self.requested

    def _turn(self, signum: int, _frame: FrameType | None) -> None:
        self.wordy = _LEVELS[signal.Signals(signum)]

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        self.requested = True
        if signum == signal.SIGINT:
            self.hurried = True
            _end_soon()


def spare() -> None:
    """Ignore SIGUSR1 and SIGUSR2, which end a process that does not: until the daemon runs."""
    for signum in _LEVELS:
        signal.signal(signum, signal.SIG_IGN)


def unwind(_signum: int, _frame: FrameType | None) -> None:
    """Leave: the handler of SIGTERM before the daemon runs, while it waits, opens and loads.

    Raises:
        SystemExit: Always, so that what was opened is closed.
    """
    raise SystemExit(0)


def terminate(_signum: int, _frame: FrameType | None) -> None:
    """Leave: the handler of SIGTERM in every command but the running daemon.

    Raises:
        SystemExit: Always, so that what was opened is closed; a second SIGTERM changes nothing.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(TERMINATED)


def interrupt(_signum: int, _frame: FrameType | None) -> None:
    """Leave: the handler of SIGINT in every command but the running daemon.

    Raises:
        KeyboardInterrupt: Always, so that what was opened is closed.
    """
    _end_soon()
    raise KeyboardInterrupt


def _end_soon() -> None:
    """Let the process end within a second, whatever hangs: a timer takes no lock, as a thread does.

    Children see their end of file, the store closed connections: what was not committed is undone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, lambda *_: os._exit(INTERRUPTED))
    signal.setitimer(signal.ITIMER_REAL, _HURRY_S)
