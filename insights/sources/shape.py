"""A stream as it is in the database: its columns and key, and whether it can be read at all."""

import contextlib
import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from insights import errors
from insights.model import Grade, StreamShape, StreamSpec, TableShape
from insights.odbc import indexes
from insights.odbc.described import described, described_keys
from insights.odbc.types import usable
from insights.sources import remedies
from insights.sources.kinds import kind_of
from insights.sources.session import Session
from insights.sources.statements import Statements, verbatim

# What a driver says a query's column is, as Python types.
_OF_PYTHON: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "int": sa.BigInteger,
    "Decimal": sa.Numeric,
    "float": sa.Float,
    "bool": sa.Boolean,
    "datetime": sa.DateTime,
    "date": sa.Date,
    "time": sa.Time,
    "bytearray": sa.LargeBinary,
    "bytes": sa.LargeBinary,
    "UUID": sa.Uuid,
}


# What no statement reads as SQL: texts, quoted names, comments.
_NO_SQL = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$", re.DOTALL
)


_NAMED = 8  # tables that a message names
_SCHEMAS = 100  # that are searched for a table
_SYSTEM = re.compile(r"(?i)pg_|information_schema$|sys$|mysql$|performance_schema$|db_|main$|temp$")


def place(stream: StreamSpec) -> str:
    """Return how messages call a stream."""
    return f"stream {stream.name}"


def reflected(link: sa.Connection, stream: StreamSpec) -> sa.FromClause:
    """Return the stream's table or query with its columns.

    Raises:
        errors.StreamError: If it, or a column of it, does not exist or is hidden from our login.
    """
    _refuse_markers(stream)
    source = _query(link, stream) if stream.query else _table(link, stream)
    wanted = [*stream.key, *stream.projection, *stream.extra, *stream.redaction.columns]
    if stream.cursor:
        wanted.append(stream.cursor)
    lacking = sorted({name for name in wanted if name not in source.c})
    if lacking:
        raise errors.StreamError(
            f"column {', '.join(lacking)} is not in {_name(stream)}, or our login cannot see it",
            where=place(stream),
            fix=f"name one of: {', '.join(source.c.keys())}",
        )
    return source


def _refuse_markers(stream: StreamSpec) -> None:
    """Refuse a `?` of the settings' SQL outside texts, names and comments.

    Over ODBC it stands for a parameter, also where PostgreSQL has an operator of that name.
    """
    for setting in ("query", "where", "pending"):
        if "?" in _NO_SQL.sub("", getattr(stream, setting) or ""):
            raise errors.StreamError(
                f"`{setting}` holds a ?, which stands for a parameter over ODBC",
                where=place(stream),
                fix="for PostgreSQL's operators ?, ?| and ?& write jsonb_exists(a, b), "
                "jsonb_exists_any(a, b) and jsonb_exists_all(a, b)",
            )


def checked(
    session: Session, link: sa.Connection, stream: StreamSpec, source: sa.FromClause
) -> StreamShape:
    """Return the stream's shape, having made sure that its key is one.

    Raises:
        errors.StreamError: If the key is not unique, or may be and is NULL.
    """
    statements = Statements(stream, source, session.casts)
    keys = ", ".join(stream.key)
    null_key = statements.null_key()
    if null_key is not None and link.execute(null_key).first() is not None:
        raise errors.StreamError(
            f"key {keys} of {_name(stream)} is NULL in a row, which could not be found again",
            where=place(stream),
            fix=remedies.without_null(statements.nullable(), link.dialect),
        )
    unique = unique_keys(link, stream)
    guaranteed = any(columns <= set(stream.key) for columns in unique)
    certain = guaranteed and "described" not in getattr(source, "info", {})
    if not certain and link.execute(statements.duplicate_key()).first() is not None:
        raise errors.StreamError(
            f"key {keys} of {_name(stream)} is not unique: one key is there twice",
            where=place(stream),
            fix="name all columns that together tell rows apart, or read a query that does",
        )
    if stream.table and not guaranteed and not is_view(link, stream):
        raise errors.StreamError(
            f"{_name(stream)} has no unique key within ({keys})",
            where=place(stream),
            fix=remedies.without_key(stream, ordered_keys(link, stream), link.dialect),
        )
    columns = types(source, stream)
    listing = "\n".join(f"{name} {type_}" for name, type_ in sorted(columns.items()))
    return StreamShape(
        columns=columns,
        shape=hashlib.blake2b(listing.encode(), digest_size=16).hexdigest(),
        grade=stream.grade or grade_of(link, stream, statements),
    )


def types(source: sa.FromClause, stream: StreamSpec) -> dict[str, str]:
    """Return the type of each column that is read, as the catalogue names it."""
    read = {*stream.key, *stream.projection, *stream.extra, *stream.redaction.columns}
    if stream.cursor:
        read.add(stream.cursor)
    return {name: type_text(source.c[name].type) for name in sorted(read)}


def grade_of(link: sa.Connection, stream: StreamSpec, statements: Statements) -> Grade:
    """Return the cursor's grade as far as the catalogue tells; see POLLING in docs/polling.md."""
    if stream.cursor is None:
        return "L4"
    kind = statements.kind(stream.cursor)
    if kind == "rowversion":
        return "L1"
    if kind in ("integer", "decimal"):
        return "L3" if {stream.cursor} in unique_keys(link, stream) else "L2"
    if kind == "datetime" and stream.table and link.dialect.name in ("mysql", "mariadb"):
        default = next(
            (
                str(column.get("default") or "")
                for column in _columns(link, stream.table, stream.schema)
                if column["name"] == stream.cursor
            ),
            "",
        )
        return "L1" if "on update" in default.casefold() else "L2"
    return "L2"


def unique_keys(link: sa.Connection, stream: StreamSpec) -> list[set[str]]:
    """Return the columns of every unique key of the stream's table; none for a query."""
    return [set(columns) for columns in ordered_keys(link, stream)]


def ordered_keys(link: sa.Connection, stream: StreamSpec) -> list[tuple[str, ...]]:
    """Return the columns of every unique key in their order, the primary key's first."""
    if stream.table is None:
        return []
    inspector = sa.inspect(link)
    table, schema = stream.table, stream.schema
    try:
        found = [tuple(inspector.get_pk_constraint(table, schema)["constrained_columns"])]
        found += indexes.unique(inspector, table, schema)
        found += [
            tuple(constraint["column_names"])
            for constraint in inspector.get_unique_constraints(table, schema)
        ]
    except (NotImplementedError, sa.exc.NoSuchTableError):
        return []
    except sa.exc.DBAPIError:
        if _seen(link, table, schema) is None:
            raise
        found = list(described_keys(link, table, schema))  # none of a view
    return [columns for columns in found if columns]


def leading(link: sa.Connection, stream: StreamSpec) -> set[str]:
    """Return the columns that lead an index, as far as the catalogue tells."""
    found = {key[0] for key in ordered_keys(link, stream)}
    assert stream.table is not None  # noqa: S101 - asked of tables
    try:
        for index in sa.inspect(link).get_indexes(stream.table, stream.schema):
            if not indexes.is_partial(index) and index["column_names"] and index["column_names"][0]:
                found.add(index["column_names"][0])
    except (NotImplementedError, sa.exc.NoSuchTableError, sa.exc.DBAPIError):
        pass
    return found


def set_by_itself(link: sa.Connection, stream: StreamSpec) -> set[str]:
    """Return the columns that the engine sets at every change: ON UPDATE, or a row version."""
    assert stream.table is not None  # noqa: S101 - asked of tables
    return {
        column["name"]
        for column in _columns(link, stream.table, stream.schema)
        if "on update" in str(column.get("default") or "").casefold()
        or kind_of(column["type"]) == "rowversion"
    }


def table_shape(link: sa.Connection, name: str) -> TableShape:
    """Return a table's columns and key, for `insights init`.

    Raises:
        errors.StreamError: If there is no such table.
    """
    schema, table = parted(link, name)
    try:
        columns = _columns(link, table, schema)
        key = _primary_key(link, table, schema)
    except sa.exc.NoSuchTableError:
        raise _missing(link, table, schema, where="source") from None
    return TableShape(
        columns={column["name"]: type_text(column["type"]) for column in columns},
        key=tuple(key),
        dialect=link.dialect.name,
    )


def parted(link: sa.Connection, name: str) -> tuple[str | None, str]:
    """Return schema and name of `table` or `schema.table`; a table's own name may hold dots."""
    schema, dot, table = name.rpartition(".")
    with contextlib.suppress(NotImplementedError, sa.exc.DBAPIError):  # of the generic dialect
        if dot and sa.inspect(link).has_table(name):
            return None, name
        parts = name.split(".")
        for at in range(1, len(parts) - 1):  # a schema, and a table's name with dots
            first, rest = ".".join(parts[:at]), ".".join(parts[at:])
            if sa.inspect(link).has_table(rest, first):
                return first, rest
    return schema or None, table


def _table(link: sa.Connection, stream: StreamSpec) -> sa.Table:
    assert stream.table is not None  # noqa: S101 - exactly one of table and query is set
    try:
        table = sa.Table(
            stream.table,
            sa.MetaData(),
            schema=stream.schema,
            autoload_with=link,
            resolve_fks=False,
        )
    except sa.exc.NoSuchTableError:
        raise _missing(link, stream.table, stream.schema, where=place(stream)) from None
    except sa.exc.DBAPIError:
        # SHOW CREATE of a view needs SHOW VIEW; to SELECT from it does not.
        seen = _seen(link, stream.table, stream.schema)
        if seen is None:
            raise
        table = seen
    for column in table.c:
        column.type = usable(column.type)
    return table


def _columns(link: sa.Connection, name: str, schema: str | None) -> Sequence[Mapping[str, Any]]:
    """Return name, type and default of a table's columns; of a hidden view, without defaults."""
    try:
        return sa.inspect(link).get_columns(name, schema)
    except sa.exc.DBAPIError:
        seen = _seen(link, name, schema)
        if seen is None:
            raise
        return [{"name": column.name, "type": column.type} for column in seen.c]


def primary_key(link: sa.Connection, stream: StreamSpec) -> tuple[str, ...]:
    """Return the columns of the primary key of the stream's table; empty where it has none."""
    assert stream.table is not None  # noqa: S101 - asked of tables
    return tuple(_primary_key(link, stream.table, stream.schema))


def _primary_key(link: sa.Connection, name: str, schema: str | None) -> list[str]:
    try:
        return sa.inspect(link).get_pk_constraint(name, schema)["constrained_columns"]
    except sa.exc.DBAPIError:
        if _seen(link, name, schema) is None:
            raise
        return list(next(iter(described_keys(link, name, schema, primary=True)), ()))


def _seen(link: sa.Connection, name: str, schema: str | None) -> sa.Table | None:
    """Return a view whose definition is hidden from our login; None if it cannot be seen at all."""
    if link.dialect.name not in ("mysql", "mariadb"):
        return None
    return described(link, name, schema)


def _missing(
    link: sa.Connection, table: str, schema: str | None, *, where: str
) -> errors.StreamError:
    inspector = sa.inspect(link)
    try:
        names = sorted([*inspector.get_table_names(schema), *inspector.get_view_names(schema)])
    except NotImplementedError:
        names = []
    cased = [name for name in names if name.casefold() == table.casefold()]
    elsewhere = [] if schema or cased else _elsewhere(link, table)
    near = difflib.get_close_matches(table.casefold(), [name.casefold() for name in names], n=3)
    if elsewhere:
        fix = f"it is outside the login's search path: write {' or '.join(elsewhere)}"
    elif near:
        alike = sorted(
            (name for name in names if name.casefold() in near),
            key=lambda name: near.index(name.casefold()),
        )
        fix = f"write {' or '.join(alike)}; or GRANT SELECT on it to the login"
    else:
        seen = f"the login sees {', '.join(names[:_NAMED])}" + (" …" if len(names) > _NAMED else "")
        fix = f"{seen if names else 'the login sees no table'}; correct the name, or GRANT SELECT"
    return errors.StreamError(
        f"table {table} does not exist, or our login cannot see it", where=where, fix=fix
    )


def _elsewhere(link: sa.Connection, table: str) -> list[str]:
    """Return `schema.table` for each schema that has a table or view of this name."""
    inspector = sa.inspect(link)
    try:
        found = [
            f"{schema}.{name}"
            for schema in inspector.get_schema_names()[:_SCHEMAS]
            if not _SYSTEM.match(schema)
            for name in (*inspector.get_table_names(schema), *inspector.get_view_names(schema))
            if name.casefold() == table.casefold()
        ]
    except (NotImplementedError, sa.exc.SQLAlchemyError):
        return []
    return found[:3]


def _query(link: sa.Connection, stream: StreamSpec) -> sa.FromClause:
    """Return the query as a subquery, its columns as the driver describes them."""
    assert stream.query is not None  # noqa: S101 - exactly one of table and query is set
    query = stream.query.strip().rstrip(";")
    described = link.exec_driver_sql(
        f"SELECT * FROM ({query}\n) q WHERE 1 = 0"  # noqa: S608 - the query is the DBA's own SQL
    ).cursor
    if described is None or described.description is None:
        raise errors.StreamError("the query returns no columns", where=place(stream))
    columns = [
        sa.column(str(entry[0]), _OF_PYTHON.get(getattr(entry[1], "__name__", ""), sa.String)())
        for entry in described.description
    ]
    return sa.text(verbatim(f"{query}\n")).columns(*columns).subquery("q")


def is_view(link: sa.Connection, stream: StreamSpec) -> bool:
    """Return whether the stream's table is a view; true as well where the engine cannot tell."""
    try:
        return stream.table in sa.inspect(link).get_view_names(stream.schema)
    except NotImplementedError:
        return True  # the generic dialect cannot tell: the look for duplicates has to do


def _name(stream: StreamSpec) -> str:
    if stream.table is None:
        return "the query"
    return f"{stream.schema}.{stream.table}" if stream.schema else stream.table


def type_text(type_: sa.types.TypeEngine[Any]) -> str:
    """Return a reflected type as text; collations and the like included where it has them."""
    try:
        return str(type_)
    except sa.exc.CompileError:
        return type(type_).__name__
