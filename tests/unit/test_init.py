"""What `insights init` writes, and every statement that is printed, for names as they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlglot

from insights import errors
from insights.cli import recipes, writing
from insights.cli.writing import Choices, Site
from insights.model import ColumnProfile, SinkSpec, StreamSpec, TableProfile
from insights.sinks import ddl
from insights.site import candidates, definitions, files
from insights.sources import remedies

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


def _table(*columns: ColumnProfile, rows: int = 100, **more: Any) -> TableProfile:  # noqa: ANN401
    values: dict[str, Any] = {
        "unique": (("id",),), "proven": (), "counted": 1_000_000, "sampled": min(rows, 400),
        "dialect": "mariadb", "is_view": False, **more,
    }  # fmt: skip
    return TableProfile(columns=columns, rows=rows, **values)


def _column(name: str, kind: str = "text", **told: Any) -> ColumnProfile:  # noqa: ANN401
    some = {"filled": 100, "distinct": 100, "words": 8.0 if kind == "text" else 1.0}
    return ColumnProfile(name=name, type=kind.upper(), kind=kind, **{**some, **told})


ID = _column("id", "integer", indexed=True, unique=True, automatic="identity", rising=1.0)


def _choices(**more: Any) -> Choices:  # noqa: ANN401
    values: dict[str, Any] = {
        "name": "t", "table": "t", "schema": "", "source": "legacy", "odbc": "DSN=x",
        "writer": None, "key": ("id",), "key_why": "a key", "cursor": None, "cursor_why": "none",
        "sweep": "30s", "sweep_why": "small", "personal": {}, "accept_scan": False,
        "model": Path("/m.gguf"), "sha256": "0" * 64, "folder": None, "sink_table": "ai_insight_t",
        **more,
    }  # fmt: skip
    return Choices(**values)


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_prompt_read_the_column_that_they_were_made_for(
    name: str, tmp_path: Path
) -> None:
    table = _table(ID, _column(name))
    odbc = 'DRIVER={x};PWD=${legacy_password};NOTE="a\\b"'
    made = recipes.made("triage", table, [name], name, key=["id"], knowledge=True)
    choices = _choices(
        table="Order Details", schema="app", odbc=odbc, key=(name,), personal={name: "its name"},
        folder=tmp_path / "manuals",
    )  # fmt: skip
    target = tmp_path / "insights.toml"
    writing.write(
        writing.files(Site(target, {}), choices, table, made), replaced=target, force=False
    )
    settings = files.load(target)
    stream = settings.stream["t"]
    assert (stream.schema_, stream.table, stream.key) == ("app", "Order Details", (name,))
    assert settings.source["legacy"].odbc == odbc
    assert stream.key_personal
    defined = definitions.read(settings, "t")
    assert defined.template.columns() == {name}
    assert "the very value" in repr(defined.template.render({name: "the very value"}, (), "{}"))
    quoted = defined.output_schema["properties"]["evidence"]
    assert quoted["x-quote"] == f"row.{name}"


def test_an_output_is_never_called_like_the_key_or_a_column_that_every_sink_has() -> None:
    table = _table(ID, _column("body"))
    made = recipes.made("triage", table, ["body"], "body", key=["Urgency"], knowledge=False)
    assert set(json.loads(made.schema)["properties"]) == {"evidence", "category", "ai_urgency"}
    for name in recipes.names():
        schema = json.loads(
            recipes.made(name, table, ["body"], "body", key=["id"], knowledge=True).schema
        )
        spec = SinkSpec(name="s", source="s", table="t", key=("id",), output_schema=schema)
        assert set(ddl.properties(spec)) == set(schema["properties"]) == set(schema["required"])


MOMENT: dict[str, Any] = {"kind": "datetime", "moments": 100}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["modified_by", "date_modified"], "date_modified"),
        (["sys_updated_on", "sys_created_on"], "sys_updated_on"),
        (["LastUpdatedByUser", "LastModifiedDate"], "LastModifiedDate"),
        (["exchange_rate_date", "order_date"], "id"),
        (["updated_by_id"], "id"),
    ],
)
def test_a_cursor_is_a_time_of_changes_and_no_person(columns: list[str], expected: str) -> None:
    table = _table(ID, *(_column(name, **MOMENT) for name in columns))
    assert candidates.cursors(table, ["id"])[0].columns == (expected,)


def test_a_cursor_is_what_sorts_and_what_an_index_leads() -> None:
    text = _column("updated_at", "text", moments=40)
    assert candidates.cursors(_table(ID, text), ["id"])[0].columns == ("id",)
    whole = _column("updated_at", "text", moments=100)
    assert candidates.cursors(_table(ID, whole), ["id"])[0].columns == ("updated_at",)
    assert candidates.cursors(_table(ID, whole, rows=50_000), ["id"])[0].columns == ("id",)
    indexed = _column("updated_at", "text", moments=100, indexed=True)
    found = candidates.cursors(_table(ID, indexed, rows=50_000), ["id"])
    assert found[0].columns == ("updated_at",)


def test_without_a_cursor_it_is_said_how_rows_are_found_and_the_sweep_fits_the_size() -> None:
    guid = _column("guid", "guid", unique=True)
    (none,) = candidates.cursors(_table(guid, unique=(("guid",),)), ["guid"])
    assert none.columns == ()
    assert "every 30s" in none.why
    sweeps = [candidates.sweep_s(_table(guid, rows=n), cursor=False) for n in (10, 10**5, 10**6)]
    assert sweeps == sorted(sweeps)
    assert sweeps[0] == 30
    assert sweeps[1] < 600 < sweeps[2] <= 6 * 3600


def test_what_is_personal_is_seen_by_name_and_by_values_and_a_product_is_no_person() -> None:
    table = _table(
        ID, _column("first_name"), _column("ProductName", people=100, words=2.0), _column("name"),
        _column("contact", words=1.0, personal={"email": 90}), _column("birth_date", "date"),
        _column("reported_by", words=2.0, people=90), _column("body", personal={"email": 3}),
    )  # fmt: skip
    assert set(candidates.personal(table, "products")) == {
        "first_name", "contact", "birth_date", "reported_by",
    }  # fmt: skip
    assert "name" in candidates.personal(table, "customers")
    assert dict(candidates.found_in_text(table, ["contact"])) == {"body": "3 email"}


def test_a_table_without_text_gets_a_prompt_that_the_program_accepts() -> None:
    table = _table(ID, _column("price", "decimal"), _column("amount", "integer"))
    assert recipes.suited(table, ()) == "review"
    assert candidates.shown(table, (), ["id"]) == ["price", "amount"]
    cities = _table(ID, _column("ship_city", words=1.3))
    assert recipes.suited(cities, ()) == "review"
    alone = _table(ID)
    assert candidates.shown(alone, (), ["id"]) == ["id"]
    with pytest.raises(errors.SettingsError, match="no column of text") as caught:
        recipes.made("triage", table, ["price"], None, key=["id"], knowledge=False)
    assert "review" in caught.value.fix


def test_a_second_table_is_added_and_what_is_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "insights.toml"
    table = _table(ID, _column("body"))
    made = recipes.made("triage", table, ["body"], "body", key=["id"], knowledge=False)

    def add(**more: Any) -> None:  # noqa: ANN401
        found = files.raw(target) if target.exists() else {}
        contents = writing.files(Site(target, found), _choices(**more), table, made)
        writing.write(contents, replaced=target, force=False)

    add(name="one", sink_table="a", writer="DSN=w")
    before = target.read_text()
    add(name="two", sink_table="b", writer="DSN=w", odbc="DSN=x")
    settings = files.load(target)
    assert target.read_text().startswith(before)
    assert list(settings.pipeline) == ["one", "two"]
    assert (len(settings.source), len(settings.model)) == (2, 1)
    assert settings.sink["one"].source == settings.sink["two"].source == "legacy_writer"
    with pytest.raises(errors.SettingsError, match="the file exists"):
        add(name="two")
    for name in ("three", "four"):  # a trial's: the writer is the reader's login, in its own place
        add(name=name, sink_table=name, writer="DSN=x")
    settings = files.load(target)
    assert settings.sink["three"].source == settings.sink["four"].source == "legacy_writer_2"


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
        remedies.index(stream, "key", stream.key, dialect),
        remedies.index(stream, "unique", stream.key, dialect, unique=True),
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


def test_a_sink_has_a_name_that_every_engine_takes() -> None:
    assert writing.sink_table("ticket") == "ai_insight_ticket"
    long = [writing.sink_table("t" * 60 + end) for end in ("a", "b")]
    assert len({*long}) == 2
    assert all(len(name) <= 63 for name in long)


def test_recipes_know_the_columns_that_every_sink_has() -> None:
    """Commands may not import the sinks, so the list is written twice."""
    assert sorted(recipes._FIXED) == sorted(ddl.FIXED)
