"""Tracebacks that quote no data: where it happened and what was raised, our own words only.

What a driver, a library or the interpreter says of an error may repeat a row's text or its key, so
a foreign exception is told by its class and the lines of code that it went through.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType

from insights import errors


def told(exc: BaseException) -> str:
    """Return an exception with its causes, the first cause first, as a traceback reads."""
    parts = []
    for one in reversed(list(_chain(exc))):
        said = f": {one}" if isinstance(one, errors.InsightsError) else ""
        parts.append("".join(traceback.format_tb(one.__traceback__)) + type(one).__name__ + said)
    return "\nfrom which came:\n".join(parts)


def guard() -> None:
    """Let what nobody catches be told so too, in every thread of this process."""
    sys.excepthook = _uncaught
    threading.excepthook = _in_thread


class Formatter(logging.Formatter):
    """Formats what libraries log, with such tracebacks."""

    def formatException(  # noqa: N802 - the name is logging's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """Return an exception's traceback."""
        return "" if ei[1] is None else told(ei[1])


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = exc
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def _uncaught(_kind: type[BaseException], exc: BaseException, _trace: TracebackType | None) -> None:
    sys.stderr.write(told(exc) + "\n")


def _in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        sys.stderr.write(told(args.exc_value) + "\n")
