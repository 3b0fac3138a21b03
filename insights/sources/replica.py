"""Which replica answers, and how far it has applied; what each engine offers is docs/polling.md.

A position is only ever compared with one of the same identity. Where an engine has none, it is None
and every poll reads: nothing is skipped on a guess.
"""

import math
import struct
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from insights import errors
from insights.model import Fingerprint
from insights.odbc import door
from insights.sources.session import Session

# A standby that has replayed all it received is current if it is connected; else its lag is the age
# of the last transaction it replayed. Public functions only.
_POSTGRES = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' ||
       CASE WHEN pg_is_in_recovery()
            THEN (SELECT timeline_id::text FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int::text
       END,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
             ELSE pg_current_wal_insert_lsn() END)::text,
       pg_last_xact_replay_timestamp()::text,
       clock_timestamp()::text,
       CASE WHEN NOT pg_is_in_recovery() THEN '0'
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                 AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN '0'
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::text END
"""
_MARIADB = """
SELECT CONCAT(@@server_id, '/', @@hostname, ':', @@port),
       COALESCE(NULLIF(@@gtid_slave_pos, ''), NULLIF(@@gtid_binlog_pos, '')),
       CAST(UTC_TIMESTAMP(6) AS CHAR)
"""
_MYSQL = "SELECT @@server_uuid, @@gtid_executed, CAST(UTC_TIMESTAMP(6) AS CHAR)"
_HEADER = struct.Struct(">I")
_CHANGES_AT = 24  # https://www.sqlite.org/fileformat.html, 1.3.7: the file change counter
_SALTS = slice(16, 24)  # 4.1: they change when the write-ahead log starts over


def fingerprint(session: Session, link: sa.Connection) -> Fingerprint:
    """Return identity, applied position and clocks of the database that answers."""
    read = {
        "sqlite": _sqlite,
        "postgresql": _postgres,
        "mariadb": _mysql,
        "mysql": _mysql,
    }.get(session.dialect)
    if read is None:
        return Fingerprint(identity=None, position=None, applied_at=None, now=None)
    return read(session, link)


def is_behind(dialect: str, now: Fingerprint, identity: str | None, position: str | None) -> bool:
    """Tell whether a replica is another one than recorded, or an older copy of it."""
    if identity is not None and now.identity != identity:
        return True
    if position is None or now.position is None:
        return False
    if dialect == "postgresql":
        return _lsn(now.position) < _lsn(position)
    if dialect == "mariadb":
        return any(
            sequence < _gtids(position).get(domain, 0)
            for domain, sequence in _gtids(now.position).items()
        ) or bool(_gtids(position).keys() - _gtids(now.position).keys())
    if dialect == "sqlite":
        return _numbers(now.position)[:2] < _numbers(position)[:2]
    return False


def _sqlite(session: Session, link: sa.Connection) -> Fingerprint:
    now = link.exec_driver_sql("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')").scalar_one()
    path = session.file
    return Fingerprint(
        identity=None if path is None else f"sqlite:{path}",
        position=None if path is None else _file_position(path),
        applied_at=None,
        now=str(now),
    )


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


def _postgres(_session: Session, link: sa.Connection) -> Fingerprint:
    identity, position, applied_at, now, lag = link.exec_driver_sql(_POSTGRES).one()
    return Fingerprint(
        identity=identity,
        position=position,
        applied_at=applied_at,
        now=now,
        lag_s=None if lag is None else max(0.0, float(lag)),
    )


def _mysql(session: Session, link: sa.Connection) -> Fingerprint:
    statement = _MARIADB if session.dialect == "mariadb" else _MYSQL
    identity, position, now = link.exec_driver_sql(statement).one()
    return Fingerprint(
        identity=str(identity),
        position=position or None,
        applied_at=None,
        now=now,
        lag_s=_mysql_lag(link),
    )


def _mysql_lag(link: sa.Connection) -> float | None:
    """Return the replication lag in seconds; None without the right to see it."""
    try:
        row: Any = link.exec_driver_sql("SHOW SLAVE STATUS").mappings().one_or_none()
    except sa.exc.DBAPIError as exc:
        if isinstance(door.translate(exc), errors.Transient):
            raise
        return None
    if row is None:
        return 0.0  # a primary
    behind = row["Seconds_Behind_Master"]
    return math.inf if behind is None else float(behind)  # NULL: replication stands still


def _lsn(text: str) -> int:
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _gtids(text: str) -> dict[str, int]:
    """Return the sequence number of each replication domain of `domain-server-sequence,…`."""
    parts = (gtid.strip().split("-") for gtid in text.split(",") if gtid.strip())
    return {domain: int(sequence) for domain, _server, sequence in parts}


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(":")]
