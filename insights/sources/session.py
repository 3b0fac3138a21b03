"""One connection to a source, held open between calls and reopened when it breaks."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from insights import errors
from insights.odbc import door
from insights.sources.casts import Casts, casts_of


class Session:
    """Holds the connection of one reader; every call is a transaction of its own, never committed.

    Args:
        name: The source, for messages.
        odbc: Its connection string.
        timeout_s: Seconds that a statement may take.
        credential: What holds the password, for messages.
    """

    def __init__(self, name: str, odbc: str, timeout_s: float, *, credential: str = "") -> None:
        self.name = name
        self.blind = False  # the login may not see the replication's state; forgotten on reset
        self._odbc = odbc
        self._timeout_s = timeout_s
        self._credential = credential
        self._engine: sa.Engine | None = None
        self._casts: Casts | None = None
        self._link: sa.Connection | None = None
        self._file: Path | None = None
        self._inode = 0

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the engine's dialect; connects if need be."""
        return self.engine.dialect.name

    @property
    def casts(self) -> Casts:
        """How this engine prints and takes values."""
        if self._casts is None:
            self._casts = casts_of(self.dialect)
        return self._casts

    @property
    def file(self) -> Path | None:
        """The database file, where the database is one."""
        return self._file

    @property
    def engine(self) -> sa.Engine:
        """The engine; made at the first use, so that a replica that is down fails a call only."""
        if self._engine is None:
            try:
                self._engine = door.engine(
                    self._odbc,
                    read_only=True,
                    timeout_s=self._timeout_s,
                    credential=self._credential,
                )
            except errors.InsightsError as exc:
                raise self._placed(exc) from None
        return self._engine

    @contextlib.contextmanager
    def reading(self, where: str = "") -> Iterator[sa.Connection]:
        """Yield a connection in a fresh snapshot; translate what goes wrong.

        Raises:
            errors.SourceUnavailable: If the database does not answer; the next call reconnects.
            errors.StreamError: If it refuses the statement.
        """
        if self._file is not None and self._replaced():
            self.reset()
        try:
            if self._link is None:
                self._link = self._connected()
            with contextlib.closing(_Transaction(self._link)), warnings.catch_warnings():
                # Of types and indexes that SQLAlchemy does not know.
                warnings.simplefilter("ignore", sa.exc.SAWarning)
                yield self._link
        except (sa.exc.SQLAlchemyError, door.DriverError) as exc:
            found = door.translate(exc)
            if isinstance(found, errors.Transient):
                self.reset()
            raise self._placed(found, where) from None

    def reset(self) -> None:
        """Drop the connection; the next call makes a new one."""
        link, self._link = self._link, None
        self.blind = False
        if link is not None:
            with contextlib.suppress(Exception):
                link.invalidate()
                link.close()

    def close(self) -> None:
        """Close for good."""
        self.reset()
        if self._engine is not None:
            self._engine.dispose()

    def _connected(self) -> sa.Connection:
        link = self.engine.connect()
        for statement in self.casts.session:
            link.exec_driver_sql(statement)
        self.casts.learn(link)
        if self.dialect == "sqlite":
            path = link.exec_driver_sql("PRAGMA database_list").all()[0][2]
            self._file = Path(path) if path else None
            self._inode = self._file.stat().st_ino if self._file else 0
        link.commit()  # a rollback would take back what PostgreSQL was told (SET)
        return link

    def _replaced(self) -> bool:
        """Tell whether another file has taken the place of the one that is open."""
        assert self._file is not None  # noqa: S101 - asked before
        try:
            return self._file.stat().st_ino != self._inode
        except OSError:
            return True

    def _placed(self, exc: errors.InsightsError, where: str = "") -> errors.InsightsError:
        return type(exc)(exc.what, where=where or f"source {self.name}", fix=exc.fix)


class _Transaction:
    """Ends what a call began: nothing was written, so nothing is kept."""

    def __init__(self, link: sa.Connection) -> None:
        self._link = link

    def close(self) -> None:
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            self._link.rollback()
