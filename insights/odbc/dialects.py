"""SQLAlchemy dialects over pyodbc for engines where SQLAlchemy has none of its own.

SQL Server is SQLAlchemy's (`mssql+pyodbc`); MySQL and MariaDB too, but for the names of columns.
SQLite, PostgreSQL and Oracle are their base dialects on `PyODBCConnector`; everything else, DB2
included, takes a small ANSI dialect that asks the driver's catalogue functions.
"""

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.connectors.pyodbc import PyODBCConnector
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect
from sqlalchemy.dialects.mysql.pyodbc import MySQLDialect_pyodbc
from sqlalchemy.dialects.mysql.reflection import MySQLTableDefinitionParser, ReflectedState
from sqlalchemy.dialects.oracle.base import OracleDialect
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import SQLCompiler

# What SQLGetInfo(SQL_DBMS_NAME) says, lower-cased and cut at the first blank or slash.
_BY_DBMS = {
    "sqlite": "sqlite+insights",
    "postgresql": "postgresql+insights",
    "mariadb": "mariadb+insights",
    "mysql": "mysql+insights",
    "microsoft": "mssql+pyodbc",
    "oracle": "oracle+insights",
}


_INCLUDES = (11,)  # PostgreSQL, from which on indexes include columns that are no keys
_INDEXES = """
    SELECT i.relname, x.{keys}, CASE WHEN x.indpred IS NULL THEN 0 ELSE 1 END
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE t.relname = :name
      AND CASE WHEN CAST(:schema AS TEXT) IS NULL THEN pg_table_is_visible(t.oid)
               ELSE n.nspname = :schema END
"""
_PERIOD = re.compile(r"^  PERIOD FOR SYSTEM_TIME \([`\"].+?[`\"], [`\"](.+?)[`\"]\)", re.MULTILINE)
_SCHEMA = sa.text(
    "SELECT CAST(n.nspname AS TEXT) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = :name AND pg_table_is_visible(c.oid)"
)
# A MySQL or MariaDB session's own way with values, whatever the server's: but names and texts are
# quoted, and joined, as the server's administrator and the SQL of the settings write them.
OWN_MODE = "SET SESSION sql_mode = CONCAT_WS(',', {})".format(
    ", ".join(
        f"IF(FIND_IN_SET('{mode}', @@SESSION.sql_mode), '{mode}', NULL)"
        for mode in ("ANSI_QUOTES", "PIPES_AS_CONCAT")
    )
)


def drivername(dbms: str) -> str:
    """Return SQLAlchemy's `dialect+driver` for what a driver says it is connected to."""
    words = dbms.casefold().replace("/", " ").split()
    return _BY_DBMS.get(words[0] if words else "", "ansi+insights")


class _OdbcSqlite(PyODBCConnector, SQLiteDialect):
    """SQLite: dates are text, as SQLite keeps them; no transaction isolation to choose."""

    supports_statement_cache = True
    colspecs = {  # noqa: RUF012 - SQLAlchemy's attribute
        key: value
        for key, value in SQLiteDialect.colspecs.items()
        if key not in (sa.Date, sa.DateTime, sa.Time)
    }

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        # The base class reads sqlite_version_info off its module, which pyodbc does not have.
        dbapi = options.get("dbapi")
        if dbapi is not None and not hasattr(dbapi, "sqlite_version_info"):
            dbapi.sqlite_version_info = (3, 40, 0)
        super().__init__(**options)

    def _get_server_version_info(self, connection: sa.Connection) -> tuple[int, ...]:
        text = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        return tuple(int(part) for part in str(text).split("."))

    def on_connect(self) -> None:
        return None

    def get_isolation_level(self, dbapi_connection: Any) -> Any:  # noqa: ANN401, ARG002
        return "SERIALIZABLE"

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:  # noqa: ANN401, ARG002
        return "SERIALIZABLE"


class _OdbcPostgres(PyODBCConnector, PGDialect):
    """PostgreSQL: the built-in primary key query returns an array that psqlodbc breaks up."""

    supports_statement_cache = True

    def get_pk_constraint(
        self,
        connection: sa.Connection,
        table_name: str,
        schema: str | None = None,
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return _primary_key(connection, table_name, schema or _visible(connection, table_name))

    def get_multi_indexes(  # type: ignore[override]  # PGDialect breaks its base here as well
        self,
        connection: sa.Connection,
        schema: str | None,
        filter_names: list[str] | None,
        **_: object,
    ) -> list[Any]:
        # The built-in query returns arrays as well.
        names = filter_names or []
        return [((schema, name), self._whole(connection, name, schema)) for name in names]

    def _whole(
        self, connection: sa.Connection, name: str, schema: str | None
    ) -> list[dict[str, Any]]:
        """Return indexes without columns that they only include, and which are of some rows."""
        version = connection.dialect.server_version_info or (0,)
        keys = "indnkeyatts" if version >= _INCLUDES else "indnatts"
        told = sa.text(_INDEXES.format(keys=keys))
        found = {
            index: (int(size), some)
            for index, size, some in connection.execute(told, {"name": name, "schema": schema})
        }
        made = _indexes(connection, name, schema or _visible(connection, name))
        for index in made:
            size, some = found.get(index["name"], (len(index["column_names"]), 0))
            index["column_names"] = index["column_names"][:size]
            if int(some):
                index["dialect_options"] = {"postgresql_where": "some rows"}
        return made

    def get_multi_unique_constraints(  # type: ignore[override]
        self,
        _connection: sa.Connection,
        schema: str | None,
        filter_names: list[str] | None,
        **_: object,
    ) -> list[Any]:
        return [((schema, name), []) for name in filter_names or []]  # they are among the indexes


class _Definitions(MySQLTableDefinitionParser):
    """Reads SHOW CREATE TABLE, which doubles a backtick within a name; SQLAlchemy leaves it so.

    The unique keys of a table with versions (MariaDB's WITH SYSTEM VERSIONING) hold the end of a
    version as well: it tells none of the rows apart that are now.
    """

    def parse(self, show_create: str, charset: str | None) -> ReflectedState:
        state = super().parse(show_create, charset)
        sign = self.preparer.final_quote
        for column in state.columns:
            column["name"] = column["name"].replace(sign * 2, sign)
        period = _PERIOD.search(show_create)
        for key in state.keys:
            key["columns"] = [
                (part[0].replace(sign * 2, sign), *part[1:])
                for part in key["columns"]
                if not (period and key["type"] and part[0] == period[1])
            ]
        return state


class _OdbcMySql(MySQLDialect_pyodbc):
    """MySQL, with the names of its columns as they are."""

    supports_statement_cache = True

    @property
    def _tabledef_parser(self) -> MySQLTableDefinitionParser:
        return _Definitions(self, self.identifier_preparer)


class _OdbcMariaDb(MariaDBDialect, _OdbcMySql):
    """MariaDB likewise."""

    supports_statement_cache = True


class _OdbcOracle(PyODBCConnector, OracleDialect):
    """Oracle over its ODBC driver; generated and parsed here, not run."""

    supports_statement_cache = True


class _AnsiCompiler(SQLCompiler):
    """Limits rows by the standard's clause (SQL:2008), which DB2 and most others know."""

    def limit_clause(self, select: Any, **kw: Any) -> str:  # noqa: ANN401
        limit = select._limit_clause  # noqa: SLF001 - what every dialect reads
        return "" if limit is None else f"\n FETCH FIRST {self.process(limit, **kw)} ROWS ONLY"


class _OdbcAnsi(PyODBCConnector, DefaultDialect):
    """Any other engine: reflection by the driver's catalogue functions, standard SQL."""

    name = "ansi"
    supports_statement_cache = True
    statement_compiler = _AnsiCompiler
    _TYPES: dict[int, type[sa.types.TypeEngine[Any]]] = {  # noqa: RUF012 - ODBC's SQL data type codes
        -5: sa.BigInteger, 4: sa.Integer, 5: sa.SmallInteger, -6: sa.SmallInteger, -7: sa.Boolean,
        2: sa.Numeric, 3: sa.Numeric, 6: sa.Float, 7: sa.Float, 8: sa.Float, 91: sa.Date,
        92: sa.Time, 93: sa.DateTime, -2: sa.LargeBinary, -3: sa.LargeBinary, -4: sa.LargeBinary,
    }  # fmt: skip

    def _type(self, code: int, size: int | None) -> sa.types.TypeEngine[Any]:
        if code in (1, 12, -8, -9):  # CHAR, VARCHAR and their wide forms; longer ones have no size
            return sa.String(size)
        return self._TYPES.get(code, sa.Text)()

    def get_columns(
        self,
        connection: sa.Connection,
        table_name: str,
        schema: str | None = None,
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        with _cursor(connection) as cursor:
            matched = cursor.columns(table=table_name, schema=schema)  # a pattern: _ is any letter
            found = [column for column in matched if column.table_name == table_name]
        if not found:
            raise sa.exc.NoSuchTableError(table_name)
        return [
            {
                "name": column.column_name,
                "type": self._type(column.data_type, column.column_size),
                "nullable": bool(column.nullable),
                "default": None,
            }
            for column in found
        ]

    def get_pk_constraint(
        self,
        connection: sa.Connection,
        table_name: str,
        schema: str | None = None,
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return _primary_key(connection, table_name, schema)

    def get_unique_constraints(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        return []

    def get_foreign_keys(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
        return []

    def get_indexes(
        self,
        connection: sa.Connection,
        table_name: str,
        schema: str | None = None,
        **_: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return _indexes(connection, table_name, schema)

    def has_table(
        self,
        connection: sa.Connection,
        table_name: str,
        schema: str | None = None,
        **_: Any,  # noqa: ANN401
    ) -> bool:
        with _cursor(connection) as cursor:
            return cursor.tables(table=table_name, schema=schema).fetchone() is not None


def _cursor(connection: sa.Connection) -> Any:  # noqa: ANN401 - pyodbc has no types
    return connection.connection.cursor()


def _visible(connection: sa.Connection, name: str) -> str | None:
    """Return the schema in which PostgreSQL finds a table; the first of the path may be another."""
    return connection.execute(_SCHEMA, {"name": name}).scalar()


def _primary_key(connection: sa.Connection, table: str, schema: str | None) -> dict[str, Any]:
    """Ask SQLPrimaryKeys, which every driver answers."""
    with _cursor(connection) as cursor:
        rows = sorted(cursor.primaryKeys(table=table, schema=schema), key=lambda row: row.key_seq)
    return {"constrained_columns": [row.column_name for row in rows], "name": None}


def _indexes(connection: sa.Connection, table: str, schema: str | None) -> list[dict[str, Any]]:
    """Ask SQLStatistics, which every driver answers; indexes over expressions have no column."""
    with _cursor(connection) as cursor:
        rows = cursor.statistics(table=table, schema=schema)
        parts = sorted(
            (row.index_name, row.ordinal_position, row.column_name, not row.non_unique)
            for row in rows
            if row.index_name is not None and row.column_name is not None
        )
    found: dict[str, dict[str, Any]] = {}
    for name, _, column, unique in parts:
        index = {"name": name, "column_names": [], "unique": unique}
        found.setdefault(name, index)["column_names"].append(column)
    return list(found.values())


for _name, _class in (
    ("sqlite.insights", "_OdbcSqlite"),
    ("postgresql.insights", "_OdbcPostgres"),
    ("mysql.insights", "_OdbcMySql"),
    ("mariadb.insights", "_OdbcMariaDb"),
    ("oracle.insights", "_OdbcOracle"),
    ("ansi.insights", "_OdbcAnsi"),
):
    registry.register(_name, __name__, _class)
