"""The script for a DBA: what a stream needs in the legacy database, in that engine's language.

Nothing here is ever run by us. Names are quoted by SQLAlchemy's own rules.
"""

import re
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from insights import errors
from insights.model import StreamSpec
from insights.sources import remedies, shape
from insights.sources.examine import Walk, orders, walks
from insights.sources.session import Session

_LOGIN = {
    "mysql": "SELECT CURRENT_USER()",
    "mariadb": "SELECT CURRENT_USER()",
    "postgresql": "SELECT current_user",
    "mssql": "SELECT USER_NAME()",
    "oracle": "SELECT USER FROM DUAL",
}
_SIGHT = {
    "mariadb": (
        ("the replication lag", "GRANT SLAVE MONITOR ON *.* TO {login};"),
        ("transactions that outlast the overlap", "GRANT PROCESS ON *.* TO {login};"),
    ),
    "mysql": (
        ("the replication lag", "GRANT REPLICATION CLIENT ON *.* TO {login};"),
        ("transactions that outlast the overlap", "GRANT PROCESS ON *.* TO {login};"),
    ),
    "postgresql": (("transactions of other logins", "GRANT pg_read_all_stats TO {login};"),),
    "mssql": (("identity and position of the replica", "GRANT VIEW SERVER STATE TO {login};"),),
    "oracle": (("identity and position", "GRANT READ ON SYS.V_$DATABASE TO {login};"),),
}
_ACCOUNT = re.compile(r"^(?P<user>[^@]*)@(?P<host>.*)$")


def script(session: Session, stream: StreamSpec) -> str:
    """Return the grants, the index and a view that a DBA may want to run for a stream.

    The login may lack every right on the table: then the script is what gives them.
    """
    try:
        with session.reading(shape.place(stream)) as link:
            found = list(walks(session, stream, link))
    except errors.Permanent:
        found = []
    with session.reading(shape.place(stream)) as link:
        return "\n".join([*_lines(stream, link, found or _unseen(stream)), ""])


def _unseen(stream: StreamSpec) -> list[Walk]:
    return [Walk(by=by, columns=columns, scans=None) for by, columns in orders(stream)]


def _lines(stream: StreamSpec, link: sa.Connection, found: Sequence[Walk]) -> Iterator[str]:
    dialect, quote = link.dialect, link.dialect.identifier_preparer.quote
    yield f"-- {shape.place(stream)}, {dialect.name}: for a DBA, on the primary. Nothing runs it."
    if stream.table is None:
        yield "-- It reads a query: grant SELECT on each table that the query names."
        return
    read = [*stream.key, *([stream.cursor] if stream.cursor else []), *stream.inputs, *stream.extra]
    names = list(dict.fromkeys(read))
    columns = [sa.Column(name, sa.Text) for name in names]
    table = sa.Table(stream.table, sa.MetaData(), *columns, schema=stream.schema)
    whole = dialect.identifier_preparer.format_table(table)
    login = _login(link)
    if login is not None:
        yield "-- To read it:"
        if stream.schema and dialect.name == "postgresql":
            yield f"GRANT USAGE ON SCHEMA {quote(stream.schema)} TO {login};"
        yield f"GRANT SELECT ON {whole} TO {login};"
        for purpose, grant in _SIGHT.get(dialect.name, ()):
            yield f"-- Optional, to see {purpose}:"
            yield f"-- {grant.format(login=login)}"
    for walk in found:
        create = remedies.index(stream, walk.by, walk.columns, dialect)
        if walk.scans:
            yield f"-- A page by {walk.by} scans the table without it:"
            yield f"{create};"
        elif walk.scans is None:
            yield f"-- If no index begins with these columns (a page by {walk.by}):"
            yield f"-- {create};"
    yield "-- Instead of the table, a view of what is read, to be named as the stream's table:"
    view, listed = quote(f"insights_{stream.name}_view"), ", ".join(map(quote, names))
    yield f"-- CREATE VIEW {view} AS SELECT {listed} FROM {whole};"  # noqa: S608 - printed only


def _login(link: sa.Connection) -> str | None:
    asked = _LOGIN.get(link.dialect.name)
    if asked is None:
        return None
    name = str(link.exec_driver_sql(asked).scalar_one())
    account = _ACCOUNT.match(name) if link.dialect.name in ("mysql", "mariadb") else None
    if account:
        return "'{user}'@'{host}'".format(**account.groupdict())
    return link.dialect.identifier_preparer.quote(name)
