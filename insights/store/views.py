"""The typed view of a pipeline: one column a property of its output schema, for analysts."""

from typing import LiteralString

from psycopg import sql

from insights import errors
from insights.model import Json
from insights.steps.schema import columns, kind
from insights.store.derived import DerivedObject

_TAKEN = frozenset(
    {"current", "citation", "history", "completeness", "lateness", "confidence", "neighbour"}
    | {"verdict", "reuse"}
)
# An integer may be written 3.0, and exceed a bigint.
_CASTS: dict[str, LiteralString] = {
    "integer": "CASE WHEN (c.output ->> {key})::numeric % 1 = 0"
    " AND abs((c.output ->> {key})::numeric) < 9223372036854775808"
    " THEN (c.output ->> {key})::numeric::bigint END",
    "number": "(c.output ->> {key})::numeric",
    "boolean": "(c.output ->> {key})::boolean",
}
_FIXED = (
    "row_key", "status", "reason", "insight_id", "model", "pipeline_version", "source_cursor",
    "generated_at", "stale",
)  # fmt: skip
_GIVING_WAY = ("confidence",)  # unless a property is called so


def typed_view(pipeline: str, stream: str, schema: Json) -> DerivedObject:
    """Return `insights.<pipeline>`: the current insights of its stream, typed.

    Arrays and objects stay jsonb; strings, dates included, are text; what may be null is typed all
    the same.

    Raises:
        errors.SettingsError: If the pipeline's name is that of a view of ours.
    """
    if pipeline in _TAKEN:
        raise errors.SettingsError(
            f"a pipeline cannot be called {pipeline!r}: insights.{pipeline} is a view of ours",
            where=f"pipelines/{pipeline}.toml",
            fix="rename the file",
        )
    properties = {name: part for name, part in columns(schema).items() if name not in _FIXED}
    typed = [_column(name, part) for name, part in properties.items()]
    more = [name for name in _GIVING_WAY if name not in properties]
    fixed = [sql.SQL("c.{}").format(sql.Identifier(name)) for name in (*_FIXED, *more)]
    view = sql.SQL(
        "CREATE VIEW {} AS\nSELECT {}\nFROM insights.current c\n"
        "WHERE c.stream = {} AND c.pipeline = {} AND c.gone_at IS NULL"
    ).format(
        sql.Identifier("insights", pipeline),
        sql.SQL(",\n       ").join([fixed[0], *typed, *fixed[1:]]),
        sql.Literal(stream),
        sql.Literal(pipeline),
    )
    return DerivedObject(kind="VIEW", schema="insights", name=pipeline, create=view.as_string(None))


def _column(name: str, part: Json) -> sql.Composed:
    """Return a property as a column; NULL where a row of an older schema holds another type.

    CASE decides before it casts, as AND need not: one such row would fail everybody's SELECT.
    """
    found = kind(part)
    value = {"column": sql.Identifier(name), "key": sql.Literal(name)}
    if found == "json":
        return sql.SQL("c.output -> {key} AS {column}").format(**value)
    if found not in _CASTS:
        return sql.SQL("c.output ->> {key} AS {column}").format(**value)
    return sql.SQL(
        "CASE WHEN jsonb_typeof(c.output -> {key}) = {json} THEN "
        + _CASTS[found]
        + " END AS {column}"
    ).format(json=sql.Literal("boolean" if found == "boolean" else "number"), **value)
