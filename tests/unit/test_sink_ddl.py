"""The DDL of a sink, for every engine: parsed by a parser that is not ours."""

import re

import msgspec
import pytest
import sqlalchemy as sa
import sqlglot
from sqlglot import exp

from insights.errors import SettingsError
from insights.model import SinkSpec
from insights.sinks import ddl

SPEC = SinkSpec(
    name="helpdesk",
    source="helpdesk",
    table="ai_insight_triage",
    key=("tenant", "ticket_id"),
    view="ticket_with_insight",
    legacy_table="ticket",
    output_schema={
        "type": "object",
        "properties": {
            "category": {"enum": ["printing", "network"]},
            "urgency": {"type": "integer", "minimum": 1},
            "confidence": {"type": "number"},
            "outage": {"type": "boolean"},
            "due": {"type": ["string", "null"], "format": "date"},
            "next_step": {"type": "string", "maxLength": 200},
            "evidence": {"type": "string", "x-quote": True},
            "steps": {"type": "array", "items": {"type": "string"}},
        },
    },
)
LEGACY = sa.Table(
    "ticket",
    sa.MetaData(),
    sa.Column("tenant", sa.VARCHAR(12), primary_key=True),
    sa.Column("ticket_id", sa.INTEGER, primary_key=True),
    sa.Column("status", sa.VARCHAR(10)),
    sa.Column("order", sa.INTEGER),
)
PARSERS = {
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgres",
    "mssql": "tsql",
    "oracle": "oracle",
}
TYPES = {
    "sqlite": ("VARCHAR(32)", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "VARCHAR(200)", "TEXT"),
    "mysql": ("VARCHAR(32)", "BIGINT", "DOUBLE", "BOOL", "DATE", "VARCHAR(200)", "TEXT"),
    "mariadb": ("VARCHAR(32)", "BIGINT", "DOUBLE", "BOOL", "DATE", "VARCHAR(200)", "TEXT"),
    "postgresql": (
        *("VARCHAR(32)", "BIGINT", "DOUBLE PRECISION", "BOOLEAN", "DATE"),
        *("VARCHAR(200)", "TEXT"),
    ),
    "mssql": (
        *("NVARCHAR(32)", "BIGINT", "DOUBLE PRECISION", "BIT", "DATE"),
        *("NVARCHAR(200)", "NVARCHAR(max)"),
    ),
    "oracle": (
        *("VARCHAR2(32 CHAR)", "NUMBER(19)", "DOUBLE PRECISION", "NUMERIC(1)", "DATE"),
        *("VARCHAR2(200 CHAR)", "CLOB"),
    ),
}
CONTENT = ["category", "urgency", "confidence", "outage", "due", "next_step", "evidence", "steps"]


@pytest.mark.parametrize("engine", ddl.DIALECTS)
def test_every_engine_gets_a_table_and_a_view_that_parse(engine: str) -> None:
    table, view = ddl.statements(SPEC, LEGACY, ddl.dialect(engine), "sqlite")
    parsed = sqlglot.parse_one(table, dialect=PARSERS[engine])
    assert isinstance(parsed, exp.Create)
    columns = [column.name.lower() for column in parsed.find_all(exp.ColumnDef)]
    assert columns == ["tenant", "ticket_id", *CONTENT, *ddl.FIXED]
    made = dict(re.findall(r"^    (\w+) (.+?)(?: NOT NULL| NULL)?,$", table, re.MULTILINE))
    assert tuple(made[name] for name in CONTENT[:7]) == TYPES[engine]
    shown = sqlglot.parse_one(view, dialect=PARSERS[engine])
    assert isinstance(shown, exp.Create)
    join = shown.find(exp.Join)
    assert join is not None
    assert join.side == "LEFT"


@pytest.mark.parametrize("engine", ["mssql", "oracle"])
def test_the_whole_script_parses(engine: str) -> None:
    text = ddl.script(SPEC, LEGACY, ddl.dialect(engine), "sqlite")
    batches = text.split("\nGO") if engine == "mssql" else [text]
    parsed = [one for batch in batches for one in sqlglot.parse(batch, dialect=PARSERS[engine])]
    assert sum(isinstance(one, exp.Create) for one in parsed) == 2
    assert "GRANT SELECT, INSERT, UPDATE ON ai_insight_triage TO" in text


@pytest.mark.parametrize("engine", ddl.DIALECTS)
def test_names_may_hold_what_layout_is_made_of(engine: str) -> None:
    spec = msgspec.structs.replace(SPEC, table="ai\tcase\t", view="v\t1")
    made = "".join(ddl.statements(spec, LEGACY, ddl.dialect(engine), "sqlite"))
    assert made.count("ai\tcase\t") == 2
    assert "v\t1" in made


def test_keys_are_typed_as_in_the_legacy_table() -> None:
    table, _ = ddl.statements(SPEC, LEGACY, ddl.dialect("postgresql"), "postgresql")
    assert "tenant VARCHAR(12) NOT NULL" in table
    assert "ticket_id INTEGER NOT NULL" in table
    assert "PRIMARY KEY (tenant, ticket_id)" in table


def test_the_view_hides_what_is_not_current_and_renames_what_clashes() -> None:
    _, view = ddl.statements(SPEC, LEGACY, ddl.dialect("sqlite"), "sqlite")
    assert "CASE WHEN (i.status = 'ok') THEN i.category END AS category" in view
    assert "i.status AS ai_status" in view
    assert 'l."order"' in view


@pytest.mark.parametrize("engine", ddl.DIALECTS)
def test_confidence_has_a_column_where_the_settings_want_it(engine: str) -> None:
    dialect = ddl.dialect(engine)
    plain = msgspec.structs.replace(SPEC, output_schema={"properties": {"urgency": {}}})
    assert not any("confidence" in one for one in ddl.statements(plain, LEGACY, dialect, "sqlite"))
    spec = msgspec.structs.replace(plain, confidence=True)
    table, view = ddl.statements(spec, LEGACY, dialect, "sqlite")
    assert re.search(rf"^    confidence {TYPES[engine][2]}( NULL)?,$", table, re.MULTILINE)
    assert "CASE WHEN (i.status = 'ok') THEN i.confidence END AS confidence" in view
    sqlglot.parse_one(table, dialect=PARSERS[engine])


def test_a_property_and_the_column_cannot_both_be_called_confidence() -> None:
    spec = msgspec.structs.replace(SPEC, confidence=True)
    with pytest.raises(SettingsError, match="output property 'confidence'"):
        ddl.statements(spec, LEGACY, ddl.dialect("sqlite"), "sqlite")


def test_a_stream_that_is_a_query_gets_a_table_alone() -> None:
    spec = msgspec.structs.replace(SPEC, legacy_table=None)
    (table,) = ddl.statements(spec, None, ddl.dialect("mssql"), "mssql")
    assert "tenant VARCHAR(255) NOT NULL" in table


@pytest.mark.parametrize("name", ["status", "Ticket_ID", "citations"])
def test_a_property_cannot_take_the_name_of_another_column(name: str) -> None:
    spec = msgspec.structs.replace(SPEC, output_schema={"properties": {name: {"type": "string"}}})
    with pytest.raises(SettingsError, match=f"output property '{name}'.*rename") as caught:
        ddl.statements(spec, LEGACY, ddl.dialect("sqlite"), "sqlite")
    assert caught.value.where == "sink helpdesk"


@pytest.mark.parametrize(
    ("engine", "name", "taken"),
    [("mariadb", "n" * 64, True), ("mariadb", "n" * 65, False), ("postgresql", "n" * 63, True),
     ("postgresql", "\u00fc" * 32, False), ("mssql", "n" * 129, False),
     ("sqlite", "n" * 500, True)],
)  # fmt: skip
def test_a_property_that_is_too_long_for_a_column_is_refused(
    engine: str,
    name: str,
    taken: bool,  # noqa: FBT001
) -> None:
    spec = msgspec.structs.replace(SPEC, output_schema={"properties": {name: {"type": "string"}}})
    if taken:
        assert name in ddl.script(spec, None, ddl.dialect(engine), engine)
        return
    with pytest.raises(SettingsError, match="is too long for a column"):
        ddl.script(spec, None, ddl.dialect(engine), engine)


def test_a_wrong_dialect_and_a_missing_key_column_are_named() -> None:
    with pytest.raises(SettingsError, match=r"no dialect 'db3'.*mssql, oracle"):
        ddl.dialect("db3")
    spec = msgspec.structs.replace(SPEC, key=("ticket",))
    with pytest.raises(SettingsError, match=r"no column 'ticket'.*tenant, ticket_id"):
        ddl.statements(spec, LEGACY, ddl.dialect("sqlite"), "sqlite")


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "text"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "text"),
        ({"type": ["number", "null"]}, "number"),
        ({"type": ["number", "string"]}, "text"),
        ({"const": "yes"}, "enum"),
        ({"enum": ["a", None]}, "enum"),
        ({"enum": [1, 2]}, "text"),
        ({"type": "object"}, "text"),
        ({"$ref": "#/$defs/x"}, "text"),
    ],
)
def test_kinds(schema: dict[str, object], kind: str) -> None:
    assert ddl.kind(schema) == kind
