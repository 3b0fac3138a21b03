"""The sink's table as it is in the database, and whether we can work with it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from insights import errors
from insights.model import SinkSpec
from insights.odbc import door, indexes
from insights.odbc.types import Named, OfDomain, usable
from insights.sinks import ddl

_CURRENT_LOGIN = {
    "mysql": "SELECT CURRENT_USER()",
    "mariadb": "SELECT CURRENT_USER()",
    "postgresql": "SELECT current_user",
    "mssql": "SELECT USER_NAME()",
    "oracle": "SELECT USER FROM DUAL",
}


_MYSQL_TYPES = sa.text("""
    SELECT column_name, column_type, character_set_name, collation_name
    FROM information_schema.columns
    WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table
""")
_POSTGRES_TYPES = sa.text("""
    SELECT attname, format_type(atttypid, atttypmod), NULL, NULL FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = :table AND attnum > 0 AND NOT attisdropped
      AND CASE WHEN :schema IS NULL THEN pg_table_is_visible(pg_class.oid)
               ELSE nspname = :schema END
""")


def checked(connection: sa.Connection, spec: SinkSpec) -> sa.Table:
    """Return the table, having looked at its columns, its key and our rights; changes nothing.

    Raises:
        errors.SinkError: Naming the first thing missing, and the statement that gives it.
        sqlalchemy.exc.SQLAlchemyError: If the database does not answer.
    """
    place = f"sink {spec.name}"
    name = f"{spec.schema}.{spec.table}" if spec.schema else spec.table
    grant = _remedy(connection, spec)
    try:
        table = reflected(connection, spec.table, spec.schema)
    except sa.exc.DBAPIError as exc:  # MariaDB refuses a right on what is not there
        if isinstance(door.translate(exc), errors.Transient):
            raise
        table = None
    if table is None:
        raise errors.SinkError(
            f"table {name} does not exist, or our login cannot see it",
            where=place,
            fix=f"have a DBA run what `insights sink ddl {spec.name}` prints, then {grant}",
        )
    wanted = [*spec.key, *ddl.properties(spec), *ddl.fixed(spec)]
    lacking = [column for column in wanted if column not in table.c]
    if lacking:
        raise errors.SinkError(
            f"table {name} lacks column {', '.join(lacking)}",
            where=place,
            fix=f"add it as `insights sink ddl {spec.name}` shows it, as the table's owner",
        )
    if set(spec.key) not in _unique_keys(connection, spec):
        dialect = connection.dialect
        columns = ", ".join(map(dialect.identifier_preparer.quote, spec.key))
        whole = ddl.named(spec.table, spec.schema, dialect)
        raise errors.SinkError(
            f"table {name} has no unique key over exactly ({', '.join(spec.key)})",
            where=place,
            fix=f"ALTER TABLE {whole} ADD PRIMARY KEY ({columns}); as the table's owner",
        )
    for column in table.columns:
        column.type = _usable(column.type)
    for right, statement in _probes(table):
        try:
            connection.execute(statement)
        except sa.exc.SQLAlchemyError as exc:
            found = door.translate(exc)
            if isinstance(found, errors.Transient):
                raise
            raise errors.SinkError(
                f"our login may not {right} table {name} ({found.what})", where=place, fix=grant
            ) from None
    return table


def legacy(connection: sa.Connection, spec: SinkSpec) -> sa.Table | None:
    """Return the legacy table whose rows the sink is about; None for a stream that is a query.

    Raises:
        errors.SinkError: If it cannot be seen.
    """
    if spec.legacy_table is None:
        return None
    table = reflected(connection, spec.legacy_table, spec.legacy_schema)
    if table is None:
        raise errors.SinkError(
            f"legacy table {spec.legacy_table} does not exist, or our login cannot see it",
            where=f"sink {spec.name}",
            fix="correct the stream's table, or grant SELECT on it",
        )
    _type(connection, table)
    return table


def _type(connection: sa.Connection, table: sa.Table) -> None:
    """Give columns what reflection leaves out: the engine's own types, and texts their collation.

    A table's collation is not its database's: without it the sink's keys would be of another one,
    and the view that joins them would be refused.
    """
    query = {"mysql": _MYSQL_TYPES, "mariadb": _MYSQL_TYPES, "postgresql": _POSTGRES_TYPES}.get(
        connection.dialect.name
    )
    if query is None:
        return
    found = connection.execute(query, {"schema": table.schema, "table": table.name}).all()
    for name, named, charset, collation in found:
        if name not in table.c:
            continue
        type_ = table.c[name].type
        base = usable(type_)
        if isinstance(base, OfDomain):  # no two values of such a domain can be compared
            whole = ddl.named(str(base.name), base.schema, connection.dialect)
            table.c[name].type = Named(whole, cast=True)
            continue
        if isinstance(type_, sa.types.NullType) or _usable(type_) is not type_:
            table.c[name].type = Named(str(named))
        elif isinstance(type_, sa.String) and collation is not None:
            type_.charset, type_.collation = charset, collation  # type: ignore[attr-defined]


def reflected(connection: sa.Connection, name: str, schema: str | None) -> sa.Table | None:
    """Return a table as it is in the database; None if it is not there, or not for us to see."""
    try:
        return sa.Table(
            name, sa.MetaData(), schema=schema, autoload_with=connection, resolve_fks=False
        )
    except sa.exc.NoSuchTableError:
        return None


def _usable(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """Return a type that statements work with; an enumeration of PostgreSQL takes its text."""
    return sa.types.NullType() if isinstance(type_, postgresql.ENUM) else usable(type_)


def _unique_keys(connection: sa.Connection, spec: SinkSpec) -> list[set[str]]:
    look = sa.inspect(connection)
    primary = look.get_pk_constraint(spec.table, spec.schema)["constrained_columns"]
    return [set(primary), *map(set, indexes.unique(look, spec.table, spec.schema))]


def _probes(table: sa.Table) -> list[tuple[str, sa.Executable]]:
    """Return statements that need each right and touch no row."""
    never = sa.literal_column("1") == sa.literal_column("0")
    columns: list[sa.Column[Any]] = list(table.columns)
    none = sa.select(*columns).where(never)
    return [
        ("SELECT from", none),
        ("UPDATE", sa.update(table).where(never).values(revision=table.c.revision)),
        ("INSERT into", sa.insert(table).from_select(columns, none)),
    ]


def _remedy(connection: sa.Connection, spec: SinkSpec) -> str:
    """Return what gives our login its rights."""
    engine = connection.dialect.name
    if engine == "sqlite":
        return "let the daemon's user write the database file and its folder"
    return (
        "; ".join(ddl.grants(spec, login(connection) or "<the sink's login>", connection.dialect))
        + ";"
    )


def login(connection: sa.Connection) -> str | None:
    """Return who we are to the database, as a GRANT names it; None if it is not asked."""
    query = _CURRENT_LOGIN.get(connection.dialect.name)
    return str(connection.exec_driver_sql(query).scalar()) if query else None
