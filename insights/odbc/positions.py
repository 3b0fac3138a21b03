"""Which replica answers, how far it has applied, and how far a primary has come, by engine.

What each engine offers is docs/polling.md.

A position is only ever compared with one of the same identity. Where an engine has none, it is None
and every poll reads: nothing is skipped on a guess.
"""

import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from insights import errors
from insights.model import Fingerprint
from insights.odbc import door

# A standby that has replayed all it received is current if it is connected; else its lag is the age
# of the last transaction it replayed. A standby's snapshot knows the transactions that are open on
# the primary, from the log. Public functions only.
_POSTGRES = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' ||
       CASE WHEN pg_is_in_recovery()
            THEN (SELECT timeline_id::text FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int::text
       END,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
             ELSE pg_current_wal_insert_lsn() END)::text,
       extract(epoch FROM CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp()
                               ELSE clock_timestamp() END)::text,
       pg_snapshot_xmin(pg_current_snapshot())::text,
       pg_snapshot_xmax(pg_current_snapshot())::text,
       CASE WHEN NOT pg_is_in_recovery() THEN '0'
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                 AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN '0'
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::text END
"""
_MARIADB = """
SELECT CONCAT(@@server_id, '/', @@hostname, ':', @@port),
       COALESCE(NULLIF(@@gtid_slave_pos, ''), NULLIF(@@gtid_binlog_pos, ''))
"""
_MYSQL = "SELECT @@server_uuid, @@gtid_executed"
# Outside an availability group there is no position. `last_commit_time` is the primary's, in the
# server's zone.
MSSQL = """
SELECT CONCAT(r.database_guid, '/', r.recovery_fork_guid),
       CONVERT(VARCHAR(30), h.last_commit_lsn),
       CASE WHEN h.is_primary_replica = 1 THEN 0 END,
       DATEDIFF_BIG(MILLISECOND, '1970-01-01', CASE WHEN h.is_primary_replica = 0 THEN DATEADD(
           MINUTE, DATEDIFF(MINUTE, SYSDATETIME(), SYSUTCDATETIME()), h.last_commit_time)
           ELSE SYSUTCDATETIME() END) / 1000.0
FROM sys.database_recovery_status AS r
LEFT JOIN sys.dm_hadr_database_replica_states AS h
    ON h.database_id = r.database_id AND h.is_local = 1
WHERE r.database_id = DB_ID()
"""
# On a physical standby CURRENT_SCN is how far it has applied.
ORACLE = """
SELECT TO_CHAR(d.DBID) || '/' || TO_CHAR(d.RESETLOGS_CHANGE#), TO_CHAR(d.CURRENT_SCN)
FROM V$DATABASE d
"""
# What a replica can be compared with on its primary. Anything else gives none.
_PRIMARY = {
    "mariadb": "SELECT NULLIF(@@gtid_binlog_pos, '')",
    "postgresql": "SELECT pg_current_wal_insert_lsn()::text",
}
_UNKNOWN = Fingerprint(identity=None, position=None)
_HEADER = struct.Struct(">I")
_CHANGES_AT = 24  # https://www.sqlite.org/fileformat.html, 1.3.7: the file change counter
_SALTS = slice(16, 24)  # 4.1: they change when the write-ahead log starts over


class Replica(Protocol):
    """What is known of the database that is read: its dialect, and its file if it is one.

    `blind` is set once its lag may not be seen.
    """

    blind: bool

    @property
    def dialect(self) -> str:
        """The engine's name, as SQLAlchemy has it."""
        ...

    @property
    def file(self) -> Path | None:
        """The database's file."""
        ...


def fingerprint(replica: Replica, link: sa.Connection) -> Fingerprint:
    """Return identity, applied position and clocks of the database that answers."""
    read = {
        "sqlite": _sqlite,
        "postgresql": _postgres,
        "mariadb": _mysql,
        "mysql": _mysql,
        "mssql": _mssql,
        "oracle": _oracle,
    }.get(replica.dialect)
    return _UNKNOWN if read is None else read(replica, link)


def primary(link: sa.Connection) -> str | None:
    """Return how far a primary has come; None where no replica could be compared with it."""
    dialect = link.dialect.name
    if dialect == "sqlite":
        return _copied_position(link)
    if dialect not in _PRIMARY:
        return None
    found = link.exec_driver_sql(_PRIMARY[dialect]).scalar()
    return None if found is None else str(found)


def is_behind(dialect: str, now: Fingerprint, identity: str | None, position: str | None) -> bool:
    """Tell whether a replica is another one than recorded, or an older copy of it."""
    if identity is not None and now.identity != identity:
        return True
    if position is None or now.position is None:
        return False
    older = _OLDER.get(dialect)
    return older is not None and older(now.position, position)


def _sqlite(replica: Replica, link: sa.Connection) -> Fingerprint:
    link.exec_driver_sql("SELECT 1").scalar_one()  # is it there, and a database?
    path = replica.file
    if path is None:
        return _UNKNOWN
    return Fingerprint(identity=f"sqlite:{path}", position=_file_position(path))


def _file_position(path: Path) -> str:
    """Return change counter, latest write, sizes and the log's salts: any commit changes one.

    The counter grows with every commit of the rollback journal; with a write-ahead log, the log
    grows or starts over. A copy takes its counter along, which tells an older one.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_CHANGES_AT + _HEADER.size)
        changes = _HEADER.unpack_from(head, _CHANGES_AT)[0] if len(head) > _CHANGES_AT else 0
        main = path.stat()
    except (OSError, struct.error) as exc:
        raise errors.SourceUnavailable(
            f"the database file {path} cannot be read", where="source"
        ) from exc
    written, size, log_size, salts = main.st_mtime_ns, main.st_size, 0, b""
    log = path.with_name(path.name + "-wal")
    try:
        with log.open("rb") as file:
            salts = file.read(_SALTS.stop)[_SALTS]
            log_size = log.stat().st_size
            written = max(written, log.stat().st_mtime_ns) if log_size else written
    except FileNotFoundError:
        pass
    return f"{changes}:{written}:{size}:{log_size}:{int.from_bytes(salts)}"


def _copied_position(link: sa.Connection) -> str | None:
    """Return a SQLite file's change counter, as a copy of it has it.

    A write-ahead log leaves the counter alone until a checkpoint: then there is no position.
    """
    if str(link.exec_driver_sql("PRAGMA journal_mode").scalar()).casefold() == "wal":
        return None
    path = link.exec_driver_sql("PRAGMA database_list").all()[0][2]
    with Path(path).open("rb") as file:
        file.seek(_CHANGES_AT)
        (changes,) = _HEADER.unpack(file.read(_HEADER.size))
    return f"{changes}:0:0:0:0"


def _postgres(_replica: Replica, link: sa.Connection) -> Fingerprint:
    identity, position, applied, oldest, next_, lag = link.exec_driver_sql(_POSTGRES).one()
    return Fingerprint(
        identity=identity,
        position=position,
        lag_s=None if lag is None else max(0.0, float(lag)),
        applied_s=None if applied is None else float(applied),
        oldest=int(oldest),
        next=int(next_),
    )


def _mysql(replica: Replica, link: sa.Connection) -> Fingerprint:
    statement = _MARIADB if replica.dialect == "mariadb" else _MYSQL
    identity, position = link.exec_driver_sql(statement).one()
    return Fingerprint(
        identity=str(identity), position=position or None, lag_s=_mysql_lag(replica, link)
    )


def _mssql(_replica: Replica, link: sa.Connection) -> Fingerprint:
    found = _permitted(link, MSSQL)
    if found is None:
        return _UNKNOWN
    identity, position, lag, applied = found
    return Fingerprint(
        identity=str(identity),
        position=position,
        lag_s=None if lag is None else float(lag),
        applied_s=None if applied is None else float(applied),
    )


def _oracle(_replica: Replica, link: sa.Connection) -> Fingerprint:
    found = _permitted(link, ORACLE)
    return _UNKNOWN if found is None else Fingerprint(identity=found[0], position=found[1])


def _permitted(link: sa.Connection, statement: str) -> Sequence[Any] | None:
    """Return a statement's row; None without the right to see it, which `doctor` names."""
    try:
        return link.exec_driver_sql(statement).one_or_none()
    except sa.exc.DBAPIError as exc:
        if isinstance(door.translate(exc), errors.Transient):
            raise
        return None


def _mysql_lag(replica: Replica, link: sa.Connection) -> float | None:
    """Return the replication lag in seconds; None without the right to see it, asked for once."""
    if replica.blind:
        return None
    try:
        row: Any = link.exec_driver_sql("SHOW SLAVE STATUS").mappings().one_or_none()
    except sa.exc.DBAPIError as exc:
        if isinstance(door.translate(exc), errors.Transient):
            raise
        replica.blind = True
        return None
    if row is None:
        return 0.0  # a primary
    behind = row["Seconds_Behind_Master"]
    return math.inf if behind is None else float(behind)  # NULL: replication stands still


def _older_gtids(now: str, recorded: str) -> bool:
    mine, theirs = _gtids(now), _gtids(recorded)
    behind = any(sequence < theirs.get(domain, 0) for domain, sequence in mine.items())
    return behind or bool(theirs.keys() - mine.keys())


def _lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _gtids(text: str) -> dict[str, int]:
    """Return the sequence number of each replication domain of `domain-server-sequence,…`."""
    parts = (gtid.strip().split("-") for gtid in text.split(",") if gtid.strip())
    return {domain: int(sequence) for domain, _server, sequence in parts}


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(":")]


_OLDER: dict[str, Callable[[str, str], bool]] = {
    "postgresql": lambda now, recorded: _lsn(now) < _lsn(recorded),
    "mariadb": _older_gtids,
    "mssql": lambda now, recorded: int(now) < int(recorded),
    "oracle": lambda now, recorded: int(now) < int(recorded),
    "sqlite": lambda now, recorded: _numbers(now)[:2] < _numbers(recorded)[:2],
}
