"""The typed view of a pipeline: one column a property of its output schema, for analysts."""

from psycopg import sql

from insights import errors
from insights.model import Json
from insights.steps.schema import columns, kind
from insights.store.derived import DerivedObject

_TAKEN = frozenset({"current", "citation", "history", "completeness", "lateness"})
_TYPES = {"integer": "bigint", "number": "numeric", "boolean": "boolean"}
_FIXED = (
    "row_key", "status", "reason", "insight_id", "model", "pipeline_version", "source_cursor",
    "generated_at", "stale",
)  # fmt: skip


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
    fixed = [sql.SQL("c.{}").format(sql.Identifier(name)) for name in _FIXED]
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
    found = kind(part)
    column, key = sql.Identifier(name), sql.Literal(name)
    if found == "json":
        return sql.SQL("c.output -> {} AS {}").format(key, column)
    cast = sql.SQL(_TYPES.get(found, "text"))
    return sql.SQL("(c.output ->> {})::{} AS {}").format(key, cast, column)
