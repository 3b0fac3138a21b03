"""Logging: JSON lines for journald, readable lines on a terminal; never row text.

Events carry identifiers (stream, work id, counts), errors their own words. Third-party libraries
log through the standard library and appear from WARNING on.
"""

import logging
import sys
from typing import Literal

import structlog

_SILENCED = ("psycopg.pool", "apscheduler")  # both repeat what our own errors say better


def configure(
    format_: Literal["auto", "json", "pretty"], level: Literal["debug", "info", "warning", "error"]
) -> None:
    """Set up structlog for this process; children of the supervisor call it too."""
    as_json = format_ == "json" or (format_ == "auto" and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
