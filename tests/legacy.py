"""The same legacy table on every engine that runs here, and a reader on its replica."""

import contextlib
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import psycopg
import pytest

from insights.model import Bookmark, Page, StreamSpec
from insights.sources import messages
from insights.sources.client import SourceClient
from insights.sources.reader import Reader
from tests.servers import MariaDbPair, PostgresPair

HASH_KEY = b"a test's hash key of 32 bytes ..."
ENGINES = ("sqlite", "mariadb", "postgres")


class Legacy(Protocol):
    """A legacy application's database: written on its primary, read on its replica."""

    name: str
    timestamp: str  # the type of a time with microseconds
    text: str  # the type of a long text

    def execute(self, statement: str, *params: object) -> None:
        """Run a statement on the primary."""
        ...

    def repeated(self, text: str, times: int) -> str:
        """Return the expression of a long text: libmaodbc spoils long parameters."""
        ...

    def sync(self) -> None:
        """Wait until the replica has it all."""
        ...

    def begin(self) -> "Transaction | None":
        """Open a transaction on the primary beside all else; None where that locks all else out."""
        ...

    @property
    def odbc(self) -> str:
        """The reader's connection string on the replica."""
        ...

    @property
    def primary_odbc(self) -> str:
        """The owner's connection string on the primary."""
        ...


class Transaction:
    """An open transaction on the primary, over a connection of its own.

    Args:
        link: A DB-API connection outside autocommit.
        placeholder: The driver's mark of a parameter.
    """

    def __init__(self, link: Any, placeholder: str = "?") -> None:  # noqa: ANN401
        self._link, self._placeholder = link, placeholder

    def execute(self, statement: str, *params: object) -> None:
        """Run one statement within it."""
        self._link.cursor().execute(statement.replace("?", self._placeholder), params)

    def end(self, *, commit: bool) -> None:
        """Commit it or roll it back."""
        if commit:
            self._link.commit()
        else:
            self._link.rollback()
        self._link.close()


class SqliteLegacy:
    """A file that is copied, as log shipping does it, and read where the copy lies."""

    name = "sqlite"
    timestamp = "TIMESTAMP"
    text = "TEXT"

    def __init__(self, folder: Path, odbc: Callable[[Path], str]) -> None:
        self._primary = folder / "primary.sqlite"
        self.replica = folder / "replica.sqlite"
        self._older = folder / "older.sqlite"
        self._link = sqlite3.connect(self._primary, isolation_level=None)
        self._link.execute("PRAGMA synchronous = OFF")  # no test cuts the power
        self._odbc = odbc

    def execute(self, statement: str, *params: object) -> None:
        self._link.execute(statement, params)

    def repeated(self, text: str, times: int) -> str:
        return f"replace(hex(zeroblob({times // 2})), '0', '{text}')"

    def sync(self) -> None:
        if self.replica.exists():
            shutil.copy(self.replica, self._older)
        self._show(self._primary)

    def rewind(self) -> None:
        """Let the replica show the copy before the last; `sync` brings it back."""
        self._show(self._older)

    def _show(self, file: Path) -> None:
        copy = self.replica.with_suffix(".new")
        shutil.copy(file, copy)
        copy.replace(self.replica)

    def begin(self) -> None:
        return None

    @property
    def odbc(self) -> str:
        return self._odbc(self.replica)

    @property
    def primary_odbc(self) -> str:
        return self._odbc(self._primary)

    def close(self) -> None:
        self._link.close()


class MariaDbLegacy:
    """A database on the replicated pair."""

    name = "mariadb"
    timestamp = "DATETIME(6)"
    text = "LONGTEXT"

    def __init__(self, pair: MariaDbPair, database: str) -> None:
        self._pair, self._database = pair, database

    def execute(self, statement: str, *params: object) -> None:
        self._pair.primary.execute(statement, *params, database=self._database)

    def repeated(self, text: str, times: int) -> str:
        return f"repeat('{text}', {times})"

    def sync(self) -> None:
        self._pair.wait()

    def begin(self) -> Transaction:
        return Transaction(self._pair.primary.connect(self._database, autocommit=False))

    @property
    def odbc(self) -> str:
        return self._pair.replica.read_only(self._database)

    @property
    def primary_odbc(self) -> str:
        return self._pair.primary.odbc(self._database)


class PostgresLegacy:
    """A database on the pair with a hot standby."""

    name = "postgres"
    timestamp = "TIMESTAMP"
    text = "TEXT"

    def __init__(self, pair: PostgresPair, database: str) -> None:
        self._pair, self._database = pair, database

    def execute(self, statement: str, *params: object) -> None:
        self._pair.primary.execute(statement.replace("?", "%s"), *params, database=self._database)

    def repeated(self, text: str, times: int) -> str:
        return f"repeat('{text}', {times})"

    def sync(self) -> None:
        self._pair.wait()

    def begin(self) -> Transaction:
        return Transaction(psycopg.connect(self._pair.primary.url(self._database)), "%s")

    @property
    def odbc(self) -> str:
        return self._pair.standby.read_only(self._database)

    @property
    def primary_odbc(self) -> str:
        primary = self._pair.primary
        return primary.odbc(self._database, password=primary.password)


def open_legacy(name: str, request: pytest.FixtureRequest, folder: Path) -> Legacy:
    """Return the named engine's legacy database, empty."""
    if name == "sqlite":
        made = SqliteLegacy(folder, request.getfixturevalue("sqlite_odbc"))
        request.addfinalizer(made.close)
        return made
    if name == "mariadb":
        return MariaDbLegacy(
            request.getfixturevalue("mariadb"), request.getfixturevalue("mariadb_database")
        )
    return PostgresLegacy(
        request.getfixturevalue("postgres"), request.getfixturevalue("postgres_database")
    )


class InProcess:
    """A worker without a process: the reader's own handlers, messages encoded as on the way."""

    def __init__(self, odbc: str) -> None:
        init = messages.ReaderInit(name="legacy", odbc=odbc, hash_key=HASH_KEY, timeout_s=20)
        self.reader = Reader(init)
        self._handlers = self.reader.handlers()
        self._turn = threading.Lock()  # a reader answers one call at a time

    def call(self, method: str, request: Any, reply: Any, *, deadline_s: float) -> Any:  # noqa: ANN401
        del deadline_s
        type_, handler = self._handlers[method]
        given = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=type_)
        with self._turn:
            return msgspec.msgpack.decode(msgspec.msgpack.encode(handler(given)), type=reply)

    def close(self, drain_s: float) -> None:
        del drain_s
        self.reader._session.close()


@contextlib.contextmanager
def reading(odbc: str, *, child: bool = False) -> Iterator[SourceClient]:
    """Read a database: in a reader process of its own, or (faster to start) without one."""
    client = SourceClient("legacy", odbc, hash_key=HASH_KEY, timeout_s=20)
    if not child:
        client._worker = InProcess(odbc)  # type: ignore[assignment]  # it has what is called
    try:
        yield client
    finally:
        client.close()


def stream(**changes: Any) -> StreamSpec:  # noqa: ANN401
    """Return the stream of table `ticket`, with some settings changed."""
    settings: dict[str, Any] = {
        "name": "tickets",
        "source": "legacy",
        "table": "ticket",
        "key": ("id",),
        "inputs": ("subject", "body"),
        **changes,
    }
    return StreamSpec(**settings)


def walk(
    client: SourceClient,
    spec: StreamSpec,
    *,
    by: Literal["cursor", "key"] = "key",
    after: Bookmark | None = None,
) -> dict[str, tuple[str, str]]:
    """Return hash and cursor of every row by its key, page by page; no key may come twice."""
    found: dict[str, tuple[str, str]] = {}
    while True:
        page = client.page(spec, after, by=by)
        rows = lines(page)
        assert len(rows) == page.rows
        for key, digest, cursor in rows:
            assert key not in found
            found[key] = (digest, cursor)
        if page.complete:
            return found
        assert page.last is not None
        assert page.last != after
        after = page.last


def lines(page: Page) -> list[tuple[str, str, str]]:
    """Return a page's rows as COPY text has them."""
    parts = [line.split("\t") for line in page.block.decode().splitlines()]
    return [(key, digest, cursor) for key, digest, cursor in parts]
