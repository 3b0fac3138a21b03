"""What `insights init` writes, and every statement that is printed, for names as they are."""

import tomllib

import pytest
import sqlglot

from insights.cli import init
from insights.model import SinkSpec, StreamSpec, TableShape
from insights.sinks import ddl
from insights.sources import shape
from insights.steps.prompt import Template

NAMES = (
    "Fehler-Text", "Menge %", "was?", "group", "Preis:EUR", "items", "2nd", "a.b", 'say "so"',
    "a\\b", "{{x}}", "straße", "a\nb", "`tick`", "]x[", "plain",
)  # fmt: skip
DIALECTS = {
    "sqlite": "sqlite",
    "mysql": "mysql",
    "postgresql": "postgres",
    "mssql": "tsql",
    "oracle": "oracle",
}


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_prompt_read_the_column_that_they_were_made_for(name: str) -> None:
    found = TableShape(columns={"id": "INT", name: "TEXT"}, key=("id",), dialect="mariadb")
    odbc = 'DRIVER={x};PWD=${source_password};NOTE="a\\b"'
    written = tomllib.loads(init._settings("t", "app.Order Details", odbc, found, None))
    stream = written["stream"]["t"]
    assert (stream["schema"], stream["table"]) == ("app", "Order Details")
    assert written["source"]["legacy"]["odbc"] == odbc
    keyed = TableShape(columns={name: "TEXT"}, key=(name,), dialect="mariadb")
    written = tomllib.loads(init._settings("t", "t", odbc, keyed, None))
    assert written["stream"]["t"]["key"] == [name]
    prompt = init._pipeline("t", found)["prompts/insight.j2"]
    template = Template(prompt, where="prompt")
    assert template.columns() == {name}
    assert "the very value" in repr(template.render({name: "the very value"}))


@pytest.mark.parametrize("engine", DIALECTS)
def test_every_statement_that_is_printed_is_that_engines_sql(engine: str) -> None:
    dialect = ddl.dialect(engine)
    # sqlglot reads no index with a schema of its own, as these two have it.
    schema = None if engine in ("sqlite", "oracle") else "my app"
    stream = StreamSpec(
        name="orders", source="s", key=("Order ID", "group"), inputs=(), table="Order Details",
        schema=schema,
    )  # fmt: skip
    sink = SinkSpec(
        name="s", source="s", table="AI insight", schema=schema, key=("Order ID",),
        output_schema={"type": "object", "properties": {}},
    )  # fmt: skip
    made = [
        shape.index(stream, "key", stream.key, dialect),
        shape.index(stream, "unique", stream.key, dialect, unique=True),
        *ddl.grants(sink, "writer", dialect),
    ]
    for statement in made:
        parsed = sqlglot.parse_one(statement, dialect=DIALECTS[engine])
        assert not isinstance(parsed, sqlglot.exp.Command), statement
        tables = {(table.db or None, table.name) for table in parsed.find_all(sqlglot.exp.Table)}
        assert tables & {(schema, "Order Details"), (schema, "AI insight")}, statement
    names = {
        column.name
        for column in sqlglot.parse_one(made[0], dialect=DIALECTS[engine]).find_all(
            sqlglot.exp.Column
        )
    }
    assert names == {"Order ID", "group"}
