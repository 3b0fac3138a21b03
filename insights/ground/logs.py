"""Logging: JSON lines for journald, readable lines on a terminal; never row text.

Events carry identifiers (stream, work id, counts), errors their own words. Third-party libraries
log through the standard library and appear from WARNING on. Tracebacks name lines and classes,
never what a foreign exception says: see `traces`. A log that cannot be written (its pipe
is closed, its disk is full) loses lines and stops no work.
"""

import atexit
import contextlib
import logging
import os
import sys
from typing import Literal, TextIO

import structlog

from insights.ground import traces
from insights.ground.flood import Flood

FLOOD = Flood()
"""What this process has said within the last minute."""

_usual = ["info"]  # the level that was configured last

# They repeat what our own errors say better; pika also quotes a message that nobody took.
_SILENCED = ("psycopg.pool", "pika")


class _Lossy:
    """A stream that loses what cannot be written, and keeps nothing of it back for later."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):  # it is no file: a test's, for example
            self._descriptor = None

    def write(self, text: str) -> int:
        """Write, or lose it."""
        # Past the stream's own buffer: what is left there is tried again at every line, and at the
        # interpreter's end, which would then be an exit code of 120.
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream was closed
            if self._descriptor is None:
                self._stream.write(text)
                return len(text)
            left = text.encode(errors="backslashreplace")
            while left:
                left = left[os.write(self._descriptor, left) :]
        return len(text)

    def flush(self) -> None:
        """Flush, where there is something to flush."""
        if self._descriptor is None:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()


def _traced(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Put the exception of an event into words that quote no data."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()[1]
    elif isinstance(found, tuple):
        found = found[1]
    if isinstance(found, BaseException):
        event["exception"] = traces.told(found)
    return event


def turn(*, more: bool) -> str:
    """Say everything from now on, or what was configured again; return the level."""
    name = "debug" if more else _usual[-1]
    structlog.configure(wrapper_class=_from(name))
    return name


def _from(name: str) -> type[structlog.typing.FilteringBoundLogger]:
    return structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[name.upper()])


def configure(
    format_: Literal["auto", "json", "pretty"],
    level: Literal["debug", "info", "warning", "error"],
) -> None:
    """Set up structlog for this process; children of the supervisor call it too."""
    _usual[:] = [level]
    FLOOD.forget()
    stream = _Lossy(sys.stderr)
    as_json = format_ == "json" or (format_ == "auto" and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            FLOOD,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _traced,
            renderer,
        ],
        wrapper_class=_from(level),
        logger_factory=structlog.WriteLoggerFactory(stream),  # type: ignore[arg-type]  # it only writes
        # Not cached: a logger must follow a later call, here and in whatever embeds this program.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(traces.Formatter("%(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    traces.guard()
    atexit.unregister(_last)
    atexit.register(_last)
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _last() -> None:
    """Say at the end how often was repeated what nobody will say any more."""
    FLOOD.flush(all_=True)
