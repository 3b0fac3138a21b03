"""The DDL a DBA runs once for a sink: its table, the legacy application's view, and the grants.

The daemon never runs any of it. Types come from the pipeline's output schema (JSON Schema); key
columns are typed as in the legacy table, so that a join uses its index.
"""

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mssql, mysql, registry
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable, CreateView
from sqlalchemy.types import TypeEngine

from insights.errors import SettingsError
from insights.model import Json, SinkSpec
from insights.odbc.types import Named
from insights.steps import schema as schema_

# Of a column: bytes for PostgreSQL, characters for the others.
_LONGEST_NAMES = {"postgresql": 63, "mysql": 64, "mariadb": 64, "mssql": 128, "oracle": 128}
LONGEST_VARCHAR = 500  # characters; longer strings become TEXT, CLOB or NVARCHAR(max)
SHORTEST_ENUM = 32  # characters, so that a longer value in a later version needs no ALTER

_LONG = sa.UnicodeText().with_variant(mssql.NVARCHAR(None), "mssql")
_LONG_TEXTS = (sa.Text, mysql.TINYTEXT, mysql.MEDIUMTEXT, mysql.LONGTEXT)
_SHORT_KEYS = ("mysql", "mariadb", "mssql", "oracle")  # whose keys cannot be of any length
_KEY_LENGTH = 255
_FLAG = sa.Boolean().with_variant(sa.Numeric(1), "oracle")
_DAY = sa.Date().with_variant(mssql.DATE(), "mssql")
_TIME = sa.DateTime().with_variant(mssql.DATETIME2, "mssql").with_variant(sa.TIMESTAMP(), "oracle")

# What every sink has from its first DDL on, after the output's own columns.
_FIXED: tuple[tuple[str, TypeEngine[Any], bool], ...] = (
    ("citations", _LONG, True),
    ("insight_id", sa.BigInteger(), True),
    ("revision", sa.BigInteger(), False),
    ("status", sa.String(16), False),
    ("source_cursor", sa.Unicode(255), True),
    ("pipeline_version", sa.String(64), True),
    ("model", sa.Unicode(255), True),
    ("generated_at", _TIME, True),
)
FIXED = tuple(name for name, _, _ in _FIXED)
OPTIONAL = ("confidence",)  # filled where the table has it, and no property is called so
_CONFIDENCE: tuple[str, TypeEngine[Any], bool] = (*OPTIONAL, sa.Double(), True)

# The dialects of `insights sink ddl --dialect`, by SQLAlchemy's name for each.
DIALECTS = ("sqlite", "mysql", "mariadb", "postgresql", "mssql", "oracle")


def kind(schema: Json) -> str:
    """Return what a property holds: `integer`, `number`, `boolean`, `date`, `enum` or `text`.

    `null` beside a type only says that the value may be missing; arrays and objects are text.
    """
    found = schema_.kind(schema)
    return "text" if found == "json" else found


def _type(schema: Json) -> TypeEngine[Any]:
    match kind(schema):
        case "enum":
            choices = schema.get("enum", [schema.get("const")])
            return sa.Unicode(max(SHORTEST_ENUM, *(len(choice or "") for choice in choices)))
        case "integer":
            return sa.BigInteger()
        case "number":
            return sa.Double()
        case "boolean":
            return _FLAG
        case "date":
            return _DAY
        case _:
            plain = schema_.types(schema) - {"null"} == {"string"}
            length = schema.get("maxLength") if plain else None
            return sa.Unicode(length) if length and length <= LONGEST_VARCHAR else _LONG


def fixed(spec: SinkSpec) -> tuple[str, ...]:
    """Return the columns that a sink's table must have beside its key and its content."""
    return (*FIXED, *OPTIONAL) if spec.confidence else FIXED


def properties(spec: SinkSpec) -> dict[str, Json]:
    """Return the output's properties, which are the sink's content columns by name.

    Raises:
        SettingsError: If a name is taken by a key column or by a column every sink has.
    """
    found = schema_.columns(spec.output_schema)
    taken = {name.lower() for name in (*spec.key, *fixed(spec))}
    for name in found:
        if name.lower() in taken:
            raise SettingsError(
                f"output property {name!r} has the name of another column of sink table "
                f"{spec.table!r}",
                where=f"sink {spec.name}",
                fix=f"rename the property in the output schema, for example to ai_{name}",
            )
        taken.add(name.lower())
    return found


def sink_table(
    spec: SinkSpec, keys: Mapping[str, TypeEngine[Any]], metadata: sa.MetaData
) -> sa.Table:
    """Return the sink's table; `keys` are the types of its key columns."""
    content = properties(spec)
    told = (*_FIXED, _CONFIDENCE) if spec.confidence else _FIXED
    return sa.Table(
        spec.table,
        metadata,
        *(
            sa.Column(name, keys[name], primary_key=True, autoincrement=False, nullable=False)
            for name in spec.key
        ),
        *(sa.Column(name, _type(schema), nullable=True) for name, schema in content.items()),
        *(sa.Column(name, type_, nullable=null) for name, type_, null in told),
        schema=spec.schema,
    )


def display_query(spec: SinkSpec, legacy: sa.FromClause, sink: sa.FromClause) -> sa.Select[Any]:
    """Return the view's query: every legacy row, and beside it what may be shown of its insight.

    Content is shown only where the status is `ok`: a stale or withheld insight reads as none. An
    insight column whose name the legacy table has too is called `ai_<name>`.
    """
    taken = {column.name.lower() for column in legacy.columns}
    hidden = {*properties(spec), "citations", *OPTIONAL}
    shown: list[sa.ColumnElement[Any]] = list(legacy.columns)
    for column in sink.columns:
        if column.name in spec.key:
            continue
        name = f"ai_{column.name}" if column.name.lower() in taken else column.name
        value: sa.ColumnElement[Any] = column
        if column.name in hidden:
            value = sa.case((sink.c.status == "ok", column))
        shown.append(value.label(name))
    joined = sa.and_(*(_comparable(legacy.c[name]) == sink.c[name] for name in spec.key))
    return sa.select(*shown).select_from(legacy.outerjoin(sink, joined))


def _comparable(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    type_ = column.type
    return sa.cast(column, type_) if isinstance(type_, Named) and type_.cast else column


def dialect(name: str) -> Dialect:
    """Return a dialect to compile for by name, without a driver.

    Raises:
        SettingsError: If there is none of that name.
    """
    if name not in DIALECTS:
        raise SettingsError(
            f"there is no dialect {name!r}", where="--dialect", fix=f"one of {', '.join(DIALECTS)}"
        )
    made: Dialect = registry.load("mysql" if name == "mariadb" else name)()
    return made


def statements(spec: SinkSpec, legacy: sa.Table | None, dialect: Dialect, home: str) -> list[str]:
    """Return the statements that make the sink, in order, in one engine's SQL.

    Args:
        spec: The sink.
        legacy: The legacy table; without it keys are VARCHAR(255) and there is no view.
        dialect: Whose SQL.
        home: The name of the legacy table's dialect; from another one, its types are carried over
            by SQLAlchemy's generic ones.

    Raises:
        SettingsError: If the legacy table lacks a key column, names clash, or one is too long.
    """
    _refuse_long(spec, dialect)
    metadata = sa.MetaData()
    keys: dict[str, TypeEngine[Any]] = {name: sa.String(255) for name in spec.key}
    if legacy is not None:
        lacking = [name for name in spec.key if name not in legacy.c]
        if lacking:
            raise SettingsError(
                f"table {legacy.name!r} has no column {', '.join(map(repr, lacking))}",
                where=f"sink {spec.name}: key",
                fix=f"its columns are {', '.join(legacy.c.keys())}",
            )
        keys = {
            name: _indexed(_carried(legacy.c[name].type, home=dialect.name == home), dialect.name)
            for name in spec.key
        }
    table = sink_table(spec, keys, metadata)
    made = [CreateTable(table).compile(dialect=dialect).string]
    if spec.view and legacy is not None:
        query = display_query(spec, legacy.alias("l"), table.alias("i"))
        view = CreateView(query, spec.view, schema=spec.schema)
        made.append(view.compile(dialect=dialect).string)
    return [_tidy(statement) for statement in made]


def _refuse_long(spec: SinkSpec, dialect: Dialect) -> None:
    """Refuse a property that the engine takes for no column, or cuts in silence (PostgreSQL)."""
    limit = _LONGEST_NAMES.get(dialect.name)
    for name in properties(spec) if limit else ():
        length = len(name.encode() if dialect.name == "postgresql" else name)
        if limit and length > limit:
            raise SettingsError(
                f"output property {name!r} is too long for a column of {dialect.name}: {length}",
                where=f"sink {spec.name}",
                fix=f"rename the property in the output schema: at most {limit}",
            )


def named(table: str, schema: str | None, dialect: Dialect) -> str:
    """Return a table's name as an engine's statements write it."""
    quote = dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(table)}" if schema else quote(table)


def grants(spec: SinkSpec, login: str, dialect: Dialect) -> list[str]:
    """Return what the publisher's login needs: three rights on one table, and nothing else."""
    table = named(spec.table, spec.schema, dialect)
    return [f"GRANT SELECT, INSERT, UPDATE ON {table} TO {login}"]


def script(spec: SinkSpec, legacy: sa.Table | None, dialect: Dialect, home: str) -> str:
    """Return everything a DBA runs for a sink, for the engine's own client."""
    name = dialect.name
    end = "\nGO\n" if name == "mssql" else ";\n"
    shown = spec.view or spec.table
    view = named(shown, spec.schema, dialect)
    lines = [f"-- Sink {spec.name}: made once, by the owner of the legacy schema.\n"]
    lines += [made + end for made in statements(spec, legacy, dialect, home)]
    if name != "sqlite":
        lines += [
            "-- Rights of the publisher's login and the legacy application's: put in your names.",
            *(f"-- {grant};" for grant in grants(spec, "insights_writer", dialect)),
            f"-- GRANT SELECT ON {view} TO legacy_application;",
        ]
    return "\n".join(lines).rstrip()


def _indexed(type_: TypeEngine[Any], dialect: str) -> TypeEngine[Any]:
    """Return a key's type, where no whole TEXT or BLOB can be one: a shorter one of its kind."""
    if dialect not in _SHORT_KEYS:
        return type_
    if isinstance(type_, sa.types._Binary):  # noqa: SLF001 - the one base of BINARY, BLOB, BYTEA
        bounded = isinstance(type_, sa.BINARY | sa.VARBINARY) and type_.length
        return type_ if bounded else sa.VARBINARY(_KEY_LENGTH)
    if not isinstance(type_, sa.String) or (type_.length and not isinstance(type_, _LONG_TEXTS)):
        return type_
    if dialect in ("mysql", "mariadb"):
        charset, collation = getattr(type_, "charset", None), type_.collation
        return mysql.VARCHAR(_KEY_LENGTH, charset=charset, collation=collation)
    return sa.Unicode(_KEY_LENGTH, collation=type_.collation)


def _carried(type_: TypeEngine[Any], *, home: bool) -> TypeEngine[Any]:
    if home:
        return type_
    try:
        generic = type_.as_generic()
    except NotImplementedError:
        return sa.String(255)
    if isinstance(generic, sa.String):
        generic.collation = None  # another engine knows it not
    return generic


def _tidy(statement: str) -> str:
    whole = re.sub(r" +\n", "\n", statement.strip())
    broken = re.sub(r"[ \t]*\n\t", "\n    ", whole)  # a name may hold a tab as well
    for start in ("CASE WHEN", "i."):  # a column a line where the view is long
        broken = broken.replace(f", {start}", f",\n    {start}")
    return broken
