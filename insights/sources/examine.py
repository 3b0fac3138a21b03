"""What `insights doctor` says about a stream: can it be read, is it cheap, is nothing lost."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import sqlalchemy as sa

from insights import errors
from insights.model import Bookmark, Finding, StreamSpec
from insights.odbc import door, positions
from insights.sources import remedies, shape
from insights.sources.canonical import Hasher
from insights.sources.clock import is_zoned
from insights.sources.plan import SMALL, scans, ties
from insights.sources.session import Session
from insights.sources.statements import Statements
from insights.sources.stream import Stream

_GRADES = {
    "L0": "ordered by commit: a watermark loses nothing",
    "L1": "stamped by the database: the watermark waits for the overlap",
    "L2": "kept by the application: the watermark waits for the overlap, sweeps find the rest",
    "L3": "an identity: new rows only; changed rows are found by sweeps",
    "L4": "no cursor: sweeps only",
}
# Seconds since the oldest open transaction that has written began; needs no right to see none.
_OLDEST_WRITER = {
    "postgresql": "SELECT extract(epoch FROM max(clock_timestamp() - xact_start))::text "
    "FROM pg_stat_activity WHERE backend_xid IS NOT NULL",
    "mariadb": "SELECT CAST(MAX(TIME_TO_SEC(TIMEDIFF(NOW(), trx_started))) AS CHAR) "
    "FROM information_schema.innodb_trx WHERE trx_rows_modified > 0",
}
_OLDEST_WRITER["mysql"] = _OLDEST_WRITER["mariadb"]
_HIDES_ROWS = sa.text(
    "SELECT bool_or(row_security_active(c.oid))::text FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = :table"
    " AND CASE WHEN :schema = '' THEN pg_table_is_visible(c.oid) ELSE n.nspname = :schema END"
)
_MUCH_LAG_S = 60.0
_SEES_POSITION = {
    "mssql": "GRANT VIEW SERVER STATE TO the login",
    "oracle": "GRANT READ ON SYS.V_$DATABASE TO the login",
}


def findings(session: Session, stream: StreamSpec, hasher: Hasher) -> Iterator[Finding]:
    """Yield what was found, worst cases as errors; stops where nothing more can be asked."""
    try:
        found = Stream(session, stream, hasher).inspect()
    except errors.InsightsError as exc:
        yield Finding(level="error", what=exc.what, fix=exc.fix)
        return
    yield Finding(level="ok", what=f"key ({', '.join(stream.key)}) tells rows apart")
    yield _grade(stream, found.grade)
    checks: list[Callable[[Session, StreamSpec, sa.Connection], Iterator[Finding]]] = [
        _replica,
        _transactions,
        _policies,
        _clock,
        _plan,
        _round_trip,
    ]
    for check in checks:
        try:
            with session.reading(shape.place(stream)) as link:
                yield from check(session, stream, link)
        except errors.InsightsError as exc:
            yield Finding(level="error", what=exc.what, fix=exc.fix)


def _grade(stream: StreamSpec, grade: str) -> Finding:
    if stream.pending is not None:
        return Finding(level="ok", what="the application marks its rows (pending)")
    what = f"cursor {stream.cursor or 'none'} has grade {grade}: {_GRADES[grade]}"
    if grade == "L4":
        return Finding(
            level="warning",
            what=what,
            fix="name a column that is stamped at every change as `cursor`, if there is one",
        )
    return Finding(level="ok" if grade in ("L0", "L1") else "note", what=what)


def _replica(session: Session, _stream: StreamSpec, link: sa.Connection) -> Iterator[Finding]:
    now = positions.fingerprint(session, link)
    if now.position is None:
        grant = _SEES_POSITION.get(session.dialect)
        yield Finding(
            level="note",
            what="this database tells no replication position: every poll reads the window, and "
            "rows that come later than the overlap are found by the sweep",
            fix=f"if it is a replica: {grant}" if grant else "none needed",
        )
    else:
        yield Finding(level="ok", what=f"replica {now.identity} at {now.position}")
    if now.lag_s is None and session.dialect in ("mariadb", "mysql"):
        yield Finding(
            level="note",
            what="the login cannot see the replication lag",
            fix="GRANT SLAVE MONITOR ON *.* TO the login (MySQL: REPLICATION CLIENT)",
        )
    elif now.lag_s is not None and now.lag_s > _MUCH_LAG_S:
        yield Finding(
            level="warning",
            what=f"the replica lags by {now.lag_s:.0f} s",
            fix="look at its load; insights are late by as much",
        )


def _clock(session: Session, stream: StreamSpec, link: sa.Connection) -> Iterator[Finding]:
    """Name the zone of a cursor that has none: clocks that go back would hide rows."""
    if stream.cursor is None or stream.time_zone is not None:
        return
    source = shape.reflected(link, stream)
    column = source.c[stream.cursor]
    kind = Statements(stream, source, session.casts).kind(stream.cursor)
    if kind == "datetime" and not is_zoned(column.type):
        yield Finding(
            level="note",
            what=f"{stream.cursor} has no time zone; if it is local time, it is taken to be that "
            f"of this machine ({time.tzname[0]})",
            fix=f'set time_zone in [stream.{stream.name}], such as "Europe/Zurich"',
        )


def _transactions(session: Session, stream: StreamSpec, link: sa.Connection) -> Iterator[Finding]:
    """Look for a transaction longer than the overlap; a replica does not show its primary's."""
    statement = _OLDEST_WRITER.get(session.dialect)
    if statement is None or stream.cursor is None:
        return
    try:
        found = link.exec_driver_sql(statement).scalar()
    except sa.exc.DBAPIError as exc:
        if isinstance(door.translate(exc), errors.Transient):
            raise
        yield Finding(
            level="note",
            what="the login cannot see open transactions",
            fix="GRANT PROCESS ON *.* TO the login, for this look alone",
        )
        return
    waits = session.dialect == "postgresql"  # the watermark does, for open transactions
    most = stream.longest_s if waits else stream.overlap_s
    if found is not None and float(found) > most:
        setting = "longest_transaction" if waits else "overlap"
        yield Finding(
            level="warning",
            what=f"a transaction has been open for {float(found):.0f} s, longer than {setting} "
            f"({most:.0f} s): its rows will be found by the sweep, not by polls",
            fix=f"set {setting} in [stream.{stream.name}] above the longest transaction",
        )


def _policies(session: Session, stream: StreamSpec, link: sa.Connection) -> Iterator[Finding]:
    """Tell where PostgreSQL shows our login some of a table's rows only, and no error."""
    if session.dialect != "postgresql" or stream.table is None:
        return
    asked = {"table": stream.table, "schema": stream.schema or ""}
    if link.execute(_HIDES_ROWS, asked).scalar() in ("true", "t"):
        yield Finding(
            level="warning",
            what="row-level security applies to our login: rows that no policy shows it are not "
            "there, and one that a policy hides later counts as deleted",
            fix="CREATE POLICY … FOR SELECT TO the login USING (true), if it is to see all rows",
        )


class Walk(NamedTuple):
    """A page by cursor or by key: the columns of its order, and whether it scans the table."""

    by: Literal["cursor", "key"]
    columns: tuple[str, ...]
    scans: bool | None


def orders(stream: StreamSpec) -> list[tuple[Literal["cursor", "key"], tuple[str, ...]]]:
    """Return the columns of each order in which a stream is read."""
    found: list[tuple[Literal["cursor", "key"], tuple[str, ...]]] = [("key", stream.key)]
    if stream.cursor:
        found.append(("cursor", tuple(dict.fromkeys((stream.cursor, *stream.key)))))
    return found


def walks(session: Session, stream: StreamSpec, link: sa.Connection) -> Iterator[Walk]:
    """Yield the walks of a stream as the engine would make them; none of an empty table."""
    source = shape.reflected(link, stream)
    statements = Statements(stream, source, session.casts)
    for by, columns in orders(stream):
        first = link.execute(statements.page(None, by=by, reading="bare").limit(1)).first()
        if first is None:
            return
        decoded = [session.casts.decoded(part) for part in first]
        texts = [part.decode() if isinstance(part, bytes) else str(part) for part in decoded]
        after = Bookmark(key=tuple(texts[:-1]), cursor=texts[-1] if stream.cursor else None)
        known = partial(_ties, link, stream, columns[0]) if by == "cursor" else _unknown
        page = statements.page(after, by=by)
        yield Walk(by=by, columns=columns, scans=scans(link, page, known))


def _ties(link: sa.Connection, stream: StreamSpec, column: str) -> float | None:
    return ties(link, column, stream.table, stream.schema) if stream.table else None


def _unknown() -> float | None:
    return None


def refuse_scans(session: Session, stream: StreamSpec) -> None:
    """Refuse a stream whose pages would scan a table that is not small.

    Raises:
        errors.StreamError: With the index that helps, unless the DBA has accepted the scan.
    """
    if stream.accept_scan:
        return
    with session.reading(shape.place(stream)) as link:
        scanning = [walk for walk in walks(session, stream, link) if walk.scans]
    with session.reading(shape.place(stream)) as link:
        if not scanning or not _is_large(session, stream, link):
            return
    raise errors.StreamError(
        f"a page by {scanning[0].by} would scan a table of more than {SMALL:,} rows",
        where=shape.place(stream),
        fix=_index(stream, scanning[0], session.engine.dialect),
    )


def _is_large(session: Session, stream: StreamSpec, link: sa.Connection) -> bool:
    """Tell whether a scan of the table is felt: the one bound of `run` and of `doctor`."""
    source = shape.reflected(link, stream)
    beyond = Statements(stream, source, session.casts).row_beyond(SMALL)
    return link.execute(beyond).first() is not None


def _index(stream: StreamSpec, walk: Walk, dialect: sa.Dialect) -> str:
    if stream.table is None:
        columns = ", ".join(walk.columns)
        return f"have a DBA index the query's ({columns}); or accept it: accept_scan = true"
    return (
        f"have a DBA run: {remedies.index(stream, walk.by, walk.columns, dialect)}; or accept it: "
        "accept_scan = true"
    )


def _plan(session: Session, stream: StreamSpec, link: sa.Connection) -> Iterator[Finding]:
    found = list(walks(session, stream, link))
    if not found:
        yield Finding(level="note", what="the table is empty: its plans were not looked at")
    large = any(walk.scans for walk in found) and _is_large(session, stream, link)
    for walk in found:
        if walk.scans is None:
            yield Finding(level="note", what=f"this engine's plan by {walk.by} is not looked at")
        elif walk.scans and not large:
            yield Finding(
                level="ok",
                what=f"a page by {walk.by} scans the table, which has no more than {SMALL:,} rows",
            )
        elif walk.scans:
            yield Finding(
                level="note" if stream.accept_scan else "error",
                what=f"a page by {walk.by} would scan a table of more than {SMALL:,} rows",
                fix=_index(stream, walk, link.dialect),
            )
        else:
            yield Finding(level="ok", what=f"a page by {walk.by} walks an index")


def _round_trip(session: Session, stream: StreamSpec, link: sa.Connection) -> Iterator[Finding]:
    source = shape.reflected(link, stream)
    statements = Statements(stream, source, session.casts)
    for name in dict.fromkeys([*([stream.cursor] if stream.cursor else []), *stream.key]):
        for (raw,) in link.execute(statements.round_trip(name)).all():
            value = session.casts.decoded(raw)
            text = value.decode() if isinstance(value, bytes) else str(value)
            if link.execute(statements.found_again(name, text)).first() is None:
                yield Finding(
                    level="error",
                    what=f"values of {name} are not found again by their own text",
                    fix="name another column, or read a query that casts it to text or DECIMAL",
                )
                break
        else:
            yield Finding(level="ok", what=f"values of {name} survive the round trip as text")
