"""MariaDB from Debian's packages: one server, or a primary with a GTID replica."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Self

import pyodbc

from tests.servers.process import AS_ROOT, Rows, Server

_NO_AIO = "--innodb-use-native-aio=0"  # many servers at once run out of io_uring's locked memory
_FAST_MARIADB = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-log-file-size=64M",
    "--sync-binlog=0",
)


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
        self._root = ["--user=root"] if AS_ROOT else []

    def create(self) -> Self:
        """Make an empty data folder."""
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--basedir=/usr",
            _NO_AIO,
            f"--datadir={self.data}",
            f"--tmpdir={self._own_tmp()}",
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
            f"--tmpdir={self._own_tmp()}",
            f"--socket={self.folder / 'sock'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            _NO_AIO,
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=128M",
            *self._root,
            *self._options,
        ]

    def _own_tmp(self) -> Path:
        """Return a folder for temporary tables: a server that starts deletes all it finds there."""
        folder = self.folder / "tmp"
        folder.mkdir(exist_ok=True)
        return folder

    def odbc(self, database: str = "", user: str = "root", password: str = "") -> str:
        """Return an ODBC connection string."""
        return (
            f"DRIVER={{MariaDB Unicode}};SERVER=127.0.0.1;PORT={self.port};"
            f"UID={user};PWD={password};DATABASE={database}"
        )

    def read_only(self, database: str) -> str:
        """Return the ODBC connection string of the login that may only SELECT."""
        return self.odbc(database, *self.reader)

    def connect(self, database: str = "", *, autocommit: bool = True) -> pyodbc.Connection:
        """Return a new connection of root."""
        link = pyodbc.connect(self.odbc(database), autocommit=autocommit)
        link.setencoding("utf-8")  # in UTF-16 the driver damages long texts with emoji
        return link

    def execute(self, statement: str, *params: object, database: str = "") -> Rows:
        """Run one statement as root, committed, and return its rows."""
        with contextlib.closing(self.connect(database)) as link:
            cursor = link.execute(statement, *params)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def script(self, statements: str, database: str = "") -> None:
        """Run many statements, split at `;` line ends."""
        with contextlib.closing(self.connect(database)) as link:
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


def missing_mariadb() -> str:
    """Return what is missing to run MariaDB over ODBC, empty when nothing is."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    tools = [
        tool for tool in ("mariadbd", "mariadb-install-db") if not shutil.which(tool, path=path)
    ]
    drivers = [] if "MariaDB Unicode" in pyodbc.drivers() else ["odbc-mariadb"]
    return ", ".join([*(["mariadb-server"] if tools else []), *drivers])


def _split(statements: str) -> list[str]:
    return [part.strip() for part in statements.split(";\n") if part.strip(" \n;")]
