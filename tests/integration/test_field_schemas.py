"""Names, keys and types that people really have: read to the last row, or refused by name."""

import pytest

from insights import errors
from insights.model import SinkSpec, StreamSpec
from insights.sinks.sink import SinkTable
from tests.legacy import Legacy, open_legacy, reading, stream, walk
from tests.servers import MariaDbPair

ENGINES = ("mariadb", "postgres")


@pytest.fixture(params=ENGINES)
def app(request: pytest.FixtureRequest, tmp_path: object) -> Legacy:
    return open_legacy(request.param, request, tmp_path)  # type: ignore[arg-type]


def _quoted(app: Legacy, statement: str) -> str:
    return statement.replace('"', "`") if app.name == "mariadb" else statement


_ORDERS = stream(
    table="Order Details",
    key=("Order ID", "Line No"),
    inputs=("Fehler-Text", "Menge %", "was?", "group", "Preis:EUR"),
    cursor="updated at",
    page_rows=2,
)


def test_names_that_have_to_be_quoted_everywhere(app: Legacy) -> None:
    app.execute(
        _quoted(
            app,
            'CREATE TABLE "Order Details" ("Order ID" INT NOT NULL, "Line No" INT NOT NULL,'
            ' "Fehler-Text" VARCHAR(200), "Menge %" VARCHAR(50), "was" VARCHAR(50),'
            ' "group" VARCHAR(50), "Preis:EUR" VARCHAR(50),'
            ' "updated at" TIMESTAMP DEFAULT CURRENT_TIMESTAMP,'
            ' PRIMARY KEY ("Order ID", "Line No"))',
        )
    )
    if app.name == "mariadb":
        app.execute("ALTER TABLE `Order Details` CHANGE was `was?` VARCHAR(50)")
    else:
        app.execute(
            'DO $$BEGIN EXECUTE \'ALTER TABLE "Order Details" RENAME was TO "was\' || chr(63)'
            " || '\"'; END$$"
        )
    for number in range(5):
        insert = 'INSERT INTO "Order Details" ("Order ID", "Line No", "group") VALUES'
        app.execute(_quoted(app, f"{insert} (1, {number}, 'a')"))
    app.sync()
    with reading(app.odbc) as client:
        assert len(walk(client, _ORDERS)) == 5
        assert len(walk(client, _ORDERS, by="cursor")) == 5
        found = client.examine(_ORDERS)
        assert [one.what for one in found if one.level == "error" and "scan" not in one.what] == []
        row = client.fetch(_ORDERS, list(walk(client, _ORDERS))[:1])[0]
        assert row.values["group"] == "a"


@pytest.mark.parametrize("comment", ["-- all of them", "/* all */ -- of them"])
def test_sql_of_the_settings_may_end_in_a_comment(app: Legacy, comment: str) -> None:
    app.execute("CREATE TABLE ticket (id INT PRIMARY KEY, subject VARCHAR(9), body VARCHAR(9))")
    app.execute("INSERT INTO ticket VALUES (1, 's', 'b')")
    app.sync()
    with reading(app.odbc) as client:
        query = f"SELECT id, subject, body FROM ticket {comment}"
        assert len(walk(client, stream(table=None, query=query))) == 1
        assert len(walk(client, stream(where=f"id > 0 {comment}"))) == 1
        assert len(walk(client, stream(where=f"subject <> '?' {comment}?"))) == 1


@pytest.mark.parametrize("setting", ["where", "query"])
def test_an_operator_that_odbc_takes_for_a_parameter_is_named(
    postgres_app: Legacy, setting: str
) -> None:
    postgres_app.execute("CREATE TABLE ticket (id INT PRIMARY KEY, subject text, body jsonb)")
    postgres_app.execute("INSERT INTO ticket VALUES (1, 's', '{\"a\": 1}')")
    postgres_app.sync()
    query = "SELECT id, subject, body::text AS body FROM ticket WHERE body ? 'a'"
    asked = {"where": "body ? 'a'"} if setting == "where" else {"query": query, "table": None}
    with reading(postgres_app.odbc) as client:
        with pytest.raises(errors.StreamError, match=f"`{setting}` holds a ") as caught:
            client.inspect(stream(**asked))
        assert "jsonb_exists(" in caught.value.fix
        assert len(walk(client, stream(where="jsonb_exists(body, 'a')"))) == 1


def _rows(app: Legacy, spec: StreamSpec, rows: int) -> None:
    with reading(app.odbc) as client:
        client.inspect(spec)
        assert [one.what for one in client.examine(spec) if "scans" in one.what] == []
        found = walk(client, spec)
        assert len(found) == rows
        assert len(client.fetch(spec, list(found)[:3])) == 3


def test_keys_of_an_enumeration_walk_their_index(app: Legacy) -> None:
    members = "('mid', 'low', 'high')"  # in no order of texts
    if app.name == "postgres":
        app.execute(f"CREATE TYPE sev AS ENUM {members}")
    type_ = "sev" if app.name == "postgres" else f"ENUM {members}"
    app.execute(f"CREATE TABLE ticket (s {type_}, n INT, subject TEXT, PRIMARY KEY (s, n))")
    series = "generate_series(1, 4000)" if app.name == "postgres" else "seq_1_to_4000"
    for member in ("low", "mid", "high"):
        number = "g" if app.name == "postgres" else "seq"
        app.execute(f"INSERT INTO ticket SELECT '{member}', {number}, 'x' FROM {series} g")
    app.execute("ANALYZE ticket" if app.name == "postgres" else "ANALYZE TABLE ticket")
    app.sync()
    _rows(app, stream(key=("s", "n"), inputs=("subject",), page_rows=1500), 12_000)


@pytest.mark.parametrize("type_", ["posint", "citext", "inet"])
def test_keys_of_other_types_walk_their_index(postgres_app: Legacy, type_: str) -> None:
    value = {"posint": "g", "citext": "'Key ' || g", "inet": "'10.0.0.0'::inet + g"}[type_]
    if type_ == "posint":
        postgres_app.execute("CREATE DOMAIN posint AS integer CHECK (VALUE > 0)")
    if type_ == "citext":
        try:
            postgres_app.execute("CREATE EXTENSION citext")
        except Exception:  # noqa: BLE001 - psycopg's own classes: this server lacks it
            pytest.skip("this PostgreSQL has no citext")
    postgres_app.execute(f"CREATE TABLE ticket (id {type_} PRIMARY KEY, subject text)")
    postgres_app.execute(f"INSERT INTO ticket SELECT {value}, 'x' FROM generate_series(1, 12000) g")
    postgres_app.execute("ANALYZE ticket")
    postgres_app.sync()
    _rows(postgres_app, stream(inputs=("subject",), page_rows=5000), 12_000)


@pytest.mark.parametrize("type_", ["POINT", "INET6", "GEOMETRY"])
def test_a_column_that_is_no_text_is_read_or_named(maria: Legacy, type_: str) -> None:
    maria.execute(f"CREATE TABLE ticket (id INT PRIMARY KEY, subject TEXT, place {type_})")
    value = "'::1'" if type_ == "INET6" else "ST_GeomFromText('POINT(1 2)')"
    maria.execute(f"INSERT INTO ticket VALUES (1, 's', {value})")
    maria.sync()
    spec = stream(inputs=("subject", "place"))
    with reading(maria.odbc) as client:
        if type_ == "INET6":
            (row,) = client.fetch(spec, list(walk(client, spec)))
            assert row.values["place"] == "<IP_1>"  # read, and redacted as an address
            return
        with pytest.raises(errors.StreamError, match="column place") as caught:
            client.inspect(spec)
        assert "ST_AsText" in caught.value.fix
        query = "SELECT id, subject, ST_AsText(place) AS place FROM ticket -- cast"
        spec = stream(table=None, query=query, inputs=("subject", "place"))
        (row,) = client.fetch(spec, list(walk(client, spec)))
        assert row.values["place"] == "POINT(1 2)"


def test_a_view_is_readable_with_select_alone(
    request: pytest.FixtureRequest, maria: Legacy, mariadb: MariaDbPair
) -> None:
    database = request.getfixturevalue("mariadb_database")
    maria.execute("CREATE TABLE base (id INT PRIMARY KEY, subject TEXT, at TIMESTAMP)")
    maria.execute("INSERT INTO base VALUES (1, 's', '2026-01-01'), (2, 't', '2026-01-02')")
    maria.execute("CREATE VIEW ticket AS SELECT id, subject, at FROM base")
    mariadb.primary.execute("CREATE OR REPLACE USER viewer@'%' IDENTIFIED BY 'viewer'")
    mariadb.primary.execute(f"GRANT SELECT ON `{database}`.ticket TO viewer@'%'")
    maria.sync()
    spec = stream(inputs=("subject",), cursor="at")
    try:
        with reading(mariadb.replica.odbc(database, "viewer", "viewer")) as client:
            assert client.inspect(spec).columns.keys() == {"id", "subject", "at"}
            assert len(walk(client, spec, by="cursor")) == 2
            found = client.examine(spec)
            assert [one.what for one in found if one.level == "error"] == []
            assert any("walks an index" in one.what for one in found)
            assert client.describe("ticket").columns.keys() == {"id", "subject", "at"}
    finally:
        mariadb.primary.execute("DROP USER viewer@'%'")


def test_only_what_is_older_is_read_where_the_cursor_has_to_be_quoted(app: Legacy) -> None:
    app.execute(
        _quoted(
            app,
            "CREATE TABLE ticket (id INT PRIMARY KEY, subject VARCHAR(9), body VARCHAR(9),"
            ' "group at" TIMESTAMP NULL)',
        )
    )
    app.execute("INSERT INTO ticket VALUES (1, 's', 'b', '2026-01-01'), (2, 's', 'b', NULL)")
    app.execute("INSERT INTO ticket VALUES (3, 's', 'b', '2026-03-01')")
    app.sync()
    with reading(app.odbc) as client:
        old = walk(client, stream(cursor="group at", before="2026-02-01"))
        assert sorted(old) == ["1", "2"]


def test_a_sinks_keys_have_their_columns_collation(
    request: pytest.FixtureRequest, maria: Legacy, mariadb: MariaDbPair
) -> None:
    database = request.getfixturevalue("mariadb_database")
    maria.execute(f"ALTER DATABASE `{database}` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    maria.execute(
        "CREATE TABLE ticket (code VARCHAR(20) PRIMARY KEY, body TEXT)"
        " CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
    )
    maria.execute("INSERT INTO ticket VALUES ('a', 'b')")
    spec = SinkSpec(
        name="s",
        source="s",
        table="ai_insight",
        key=("code",),
        view="ticket_ai",
        legacy_table="ticket",
        output_schema={"type": "object", "properties": {"word": {"type": "string"}}},
    )
    sink = SinkTable(spec, mariadb.primary.odbc(database), timeout_s=5)
    try:
        for statement in sink.ddl(None).split(";\n"):
            if "CREATE" in statement:
                maria.execute(statement)
        assert mariadb.primary.execute("SELECT code FROM ticket_ai", database=database) == [("a",)]
        assert "utf8mb4" not in sink.ddl("postgresql")
    finally:
        sink.close()


def test_a_table_with_a_dot_in_its_name_is_found_beside_those_of_schemas(app: Legacy) -> None:
    app.execute(_quoted(app, 'CREATE TABLE "a.b" ("x.y" INT PRIMARY KEY, "t.t" VARCHAR(90))'))
    app.execute(_quoted(app, "INSERT INTO \"a.b\" VALUES (1, 'a text of some words')"))
    app.sync()
    with reading(app.odbc) as client:
        profile = client.profile("a.b")
        assert (profile.schema, profile.table, profile.rows) == ("", "a.b", 1)
        assert client.describe("a.b").key == ("x.y",)
        spec = stream(table="a.b", key=("x.y",), inputs=("t.t",))
        assert len(walk(client, spec)) == 1
        with pytest.raises(errors.InsightsError):
            client.profile("a.c")


def test_a_table_with_a_dot_in_its_name_is_found_in_a_schema(postgres_app: Legacy) -> None:
    postgres_app.execute('CREATE SCHEMA "My Schema"')
    postgres_app.execute('CREATE TABLE "My Schema"."Ti.cket" (id INT PRIMARY KEY, body TEXT)')
    postgres_app.execute('INSERT INTO "My Schema"."Ti.cket" VALUES (1, \'a text of some words\')')
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        profile = client.profile("My Schema.Ti.cket")
        assert (profile.schema, profile.table, profile.rows) == ("My Schema", "Ti.cket", 1)
        assert client.describe("My Schema.Ti.cket").key == ("id",)


def test_a_view_without_its_table_and_a_table_that_no_standby_has_are_told(
    maria: Legacy, postgres_app: Legacy
) -> None:
    maria.execute("CREATE TABLE base (id INT PRIMARY KEY, subject TEXT)")
    maria.execute("CREATE VIEW ticket AS SELECT id, subject FROM base")
    maria.execute("DROP TABLE base")
    maria.sync()
    postgres_app.execute("CREATE UNLOGGED TABLE ticket (id INT PRIMARY KEY, subject TEXT)")
    postgres_app.sync()
    for app, what, fix in (
        (maria, "view whose tables or columns are gone", "repair the view"),
        (postgres_app, "not logged", "SET LOGGED"),
    ):
        with reading(app.odbc) as client:
            with pytest.raises(errors.StreamError, match=what) as caught:
                client.profile("ticket")
            assert fix in caught.value.fix
            with pytest.raises(errors.StreamError, match=what):
                client.inspect(stream(inputs=("subject",)))


@pytest.mark.parametrize("schema", [None, "public"])
def test_rows_that_a_policy_hides_are_told(postgres_app: Legacy, schema: str | None) -> None:
    postgres_app.execute("CREATE TABLE ticket (id INT PRIMARY KEY, subject TEXT)")
    postgres_app.execute("INSERT INTO ticket VALUES (1, 's')")
    spec = stream(inputs=("subject",), schema=schema)
    for secured in (False, True):
        if secured:
            postgres_app.execute("ALTER TABLE ticket ENABLE ROW LEVEL SECURITY")
        postgres_app.sync()
        with reading(postgres_app.odbc) as client:
            told = [one for one in client.examine(spec) if "row-level security" in one.what]
            assert [one.level for one in told] == ["warning"] * secured
            assert len(walk(client, spec)) == 1 - secured


def test_a_table_with_a_column_that_is_no_text_is_profiled(maria: Legacy) -> None:
    maria.execute("CREATE TABLE site (id INT PRIMARY KEY, at GEOMETRY, ip INET6, body TEXT)")
    maria.execute("INSERT INTO site VALUES (1, POINT(1, 2), '::1', 'a text of some words')")
    maria.sync()
    with reading(maria.odbc) as client:
        profile = client.profile("site")
    assert profile.column("at").filled == 0
    assert profile.column("body").words == 5


def test_numbers_that_are_none_and_types_of_a_sites_own_are_profiled(postgres_app: Legacy) -> None:
    postgres_app.execute("CREATE TYPE place AS (street TEXT, no INT)")
    postgres_app.execute(
        "CREATE TABLE gauge (id DOUBLE PRECISION PRIMARY KEY, n NUMERIC, at place, body TEXT)"
    )
    for values in ("'NaN', 'NaN', ROW('x', 2), 'a'", "'Infinity', 1, NULL, 'b'", "-0.5, 1e40"):
        columns = "(id, n, at, body)" if values.count(",") > 2 else "(id, n)"
        postgres_app.execute(f"INSERT INTO gauge {columns} VALUES ({values})")
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        profile = client.profile("gauge")
        assert (profile.rows, profile.column("id").rising) == (3, None)
        assert profile.column("at").filled == 1
        spec = stream(table="gauge", key=("id",), inputs=("n", "at", "body"), page_rows=1)
        assert list(walk(client, spec)) == ["-0.5", "Infinity", "NaN"]
        rows = {row.key: row.values for row in client.fetch(spec, ["-0.5", "Infinity", "NaN"])}
    assert rows["NaN"] == {"n": "NaN", "at": "(x,2)", "body": "a"}
