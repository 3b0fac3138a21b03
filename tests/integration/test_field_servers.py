"""What people report of servers that are set up otherwise: modes, paths, grants, indexes, names."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from insights import errors
from insights.cli import recipes
from insights.sources import remedies
from tests.integration.test_field_reports import client_runs
from tests.integration.test_init_command import initialised
from tests.integration.test_odd_rows import _agree
from tests.legacy import MariaDbLegacy, PostgresLegacy, reading, stream

_MODE = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION"


@pytest.fixture
def mode(maria: MariaDbLegacy) -> Iterator[Callable[[str], None]]:
    """Set how a replica reads SQL, for the logins that come."""
    replica = maria._pair.replica

    def _set(name: str) -> None:
        replica.execute(f"SET GLOBAL sql_mode = '{name}'")

    yield _set
    _set(_MODE)


@pytest.mark.parametrize("name", ["ANSI", "ORACLE", "NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH"])
def test_a_mariadb_server_of_another_mode(
    maria: MariaDbLegacy, mode: Callable[[str], None], name: str, tmp_path: Path, model: Path
) -> None:
    client_runs(
        maria,
        "CREATE TABLE ticket (id CHAR(8) PRIMARY KEY, subject VARCHAR(40), body CHAR(10),"
        " `b``\"` INT); INSERT INTO ticket VALUES ('a', 'x \\\\ y of words', 'b', 1),"
        " ('b', 'it''s a text', 'c', 2)",
    )
    mode(name)
    with reading(maria.odbc) as client:
        values = _agree(client, 2, inputs=("subject", "body", 'b`"'))
        assert values["a"] == {"subject": "x \\ y of words", "body": "b", 'b`"': "1"}
        if "ESCAPES" not in name:  # SQL of the settings as that server's people write it
            joined = "\"subject\" || '!' = 'it''s a text!'"
            assert _agree(client, 1, where=joined).keys() == {"b"}
    initialised(tmp_path, maria.odbc, "ticket", model)


def test_a_mariadb_login_of_some_columns(maria: MariaDbLegacy, tmp_path: Path, model: Path) -> None:
    client_runs(
        maria,
        "CREATE TABLE ticket (id INT PRIMARY KEY, subject TEXT, body TEXT, salary INT);"
        " INSERT INTO ticket VALUES (1, 'a text of words', 'b', 9);"
        "CREATE TABLE pair (id INT, part INT, subject TEXT, body TEXT, PRIMARY KEY (id, part));"
        " INSERT INTO pair VALUES (1, 1, 'a', 'b'), (1, 2, 'c', 'd');"
        "CREATE OR REPLACE USER some_columns IDENTIFIED BY 'some';"
        "GRANT SELECT (id, subject, body) ON ticket TO some_columns;"
        "GRANT SELECT (id, subject, body) ON pair TO some_columns",
    )
    odbc = maria.odbc.replace("UID=reader", "UID=some_columns").replace("reader-secret", "some")
    with reading(odbc) as client:
        assert _agree(client, 1)["1"] == {"subject": "a text of words", "body": "b"}
        with pytest.raises(errors.StreamError, match="not unique: one key is there twice"):
            client.inspect(stream(table="pair"))  # what is hidden may belong to the key
    settings = initialised(tmp_path, odbc, "ticket", model)
    assert settings.stream["ticket"].key == ("id",)


def test_a_character_set_of_the_connection_changes_no_text(maria: MariaDbLegacy) -> None:
    client_runs(
        maria,
        "CREATE TABLE ticket (id VARCHAR(9) PRIMARY KEY, subject TEXT, body TEXT) CHARSET latin1;"
        " INSERT INTO ticket VALUES ('größe', '5 € für Œuvre', 'ä')",
    )
    with reading(f"{maria.odbc};CHARSET=latin1") as client:
        assert _agree(client, 1) == {"größe": {"subject": "5 € für Œuvre", "body": "ä"}}


def test_a_number_of_single_precision_is_shown_as_it_was_written(maria: MariaDbLegacy) -> None:
    client_runs(
        maria,
        "CREATE TABLE ticket (id INT PRIMARY KEY, subject FLOAT, body DOUBLE);"
        " INSERT INTO ticket VALUES (1, 0.1, 0.1), (2, 16777216, 1e300), (3, -3.4e38, 7),"
        " (4, 1.17549435e-38, 0), (5, NULL, NULL), (6, 1234.567, 1234.567), (7, 1000000, 1e6)",
    )
    with reading(maria.odbc) as client:
        values = _agree(client, 7)
    shown = [values[str(at)]["subject"] for at in range(1, 8)]
    assert shown == ["0.1", "16777216", "-3.4e+38", "1.1754944e-38", None, "1234.567",
                     "1000000"]  # fmt: skip
    assert values["1"]["body"] == "0.1"
    assert values["6"]["body"] == "1234.567"


def test_a_search_path_that_begins_with_the_catalogue(postgres_app: PostgresLegacy) -> None:
    """As hardened logins have it: the first schema of the path is not the table's."""
    postgres_app.execute("CREATE TABLE ticket (id int PRIMARY KEY, subject text, body text)")
    postgres_app.execute("INSERT INTO ticket VALUES (1, 'a', 'b')")
    postgres_app.execute(
        f'ALTER DATABASE "{postgres_app._database}" SET search_path = pg_catalog, public'
    )
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        assert _agree(client, 1) == {"1": {"subject": "a", "body": "b"}}
        assert client.describe("ticket").key == ("id",)


def test_a_server_with_ways_of_its_own_to_print(postgres_app: PostgresLegacy) -> None:
    """A replica in another zone than its primary must not make every row another."""
    postgres_app.execute(
        "CREATE TABLE ticket (id timestamptz PRIMARY KEY, subject interval, body bytea, d float8)"
    )
    postgres_app.execute(
        "INSERT INTO ticket VALUES ('2026-10-25 02:30:00+02', '1 mon -2 days', '\\x00ff', 0.1)"
    )
    postgres_app.sync()
    spec = {"inputs": ("subject", "body", "d"), "cursor": "id"}
    with reading(postgres_app.odbc) as client:
        before = _agree(client, 1, **spec)
    for setting in (
        "timezone = 'Asia/Kolkata'", "intervalstyle = 'iso_8601'", "bytea_output = 'escape'",
        "datestyle = 'German, DMY'", "extra_float_digits = -5",
    ):  # fmt: skip
        postgres_app.execute(f'ALTER DATABASE "{postgres_app._database}" SET {setting}')
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        assert _agree(client, 1, **spec) == before
    assert before == {
        "2026-10-25 00:30:00+00": {"subject": "1 mon -2 days", "body": "\\x00ff", "d": "0.1"}
    }


def test_a_key_that_is_none_is_told_with_what_helps(postgres_app: PostgresLegacy) -> None:
    postgres_app.execute(
        'CREATE TABLE uq (a int, "B" text, subject text, body text, UNIQUE (a, "B"))'
    )
    postgres_app.execute("INSERT INTO uq VALUES (1, NULL, 'a', 'b'), (2, 'x', 'c', 'd')")
    postgres_app.execute("CREATE TABLE bare (subject text, body text)")
    postgres_app.execute("INSERT INTO bare VALUES ('a', 'b')")
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        with pytest.raises(errors.StreamError, match="is NULL in a row") as caught:
            client.inspect(stream(table="uq", key=("a", "B")))
        where = caught.value.fix.partition("where = '")[2].removesuffix("'`")
        assert where == 'a IS NOT NULL AND "B" IS NOT NULL'
        assert len(_agree(client, 1, table="uq", key=("a", "B"), where=where)) == 1
        with pytest.raises(errors.StreamError, match="no unique key within") as caught:
            client.inspect(stream(table="uq", key=("subject",)))
        assert caught.value.fix == "name the columns of one: (a, B)"
        with pytest.raises(errors.StreamError, match="no unique key within") as caught:
            client.inspect(stream(table="bare", key=("subject",)))
        query = caught.value.fix.partition("query = '")[2].partition("'")[0]
        assert _agree(client, 1, table=None, query=query, key=("subject",), inputs=("body",))


def test_an_index_on_the_cursor_alone_does_where_few_rows_share_a_value(
    postgres_app: PostgresLegacy,
) -> None:
    for name, indexed, ties in (
        ("fewer", "at", 1), ("falling", "at DESC", 3), ("mixed", "at DESC, id", 1),
        ("other", "id, at", 1), ("many", "at", 20_000),
    ):  # fmt: skip
        postgres_app.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY, subject text, body text, at timestamp)"
        )
        postgres_app.execute(f"CREATE INDEX ON {name} ({indexed})")
        postgres_app.execute(
            f"INSERT INTO {name} SELECT i, 'a', 'b', timestamp '2026-01-01' + (i / {ties}) *"
            " interval '1 s' FROM generate_series(1, 30000) i"
        )
        postgres_app.execute(f"ANALYZE {name}")
    postgres_app.sync()
    with reading(postgres_app.odbc) as client:
        for name in ("fewer", "falling", "mixed"):
            client.inspect(stream(table=name, cursor="at"))
        for name in ("other", "many"):
            with pytest.raises(errors.StreamError, match="would scan"):
                client.inspect(stream(table=name, cursor="at"))


def test_names_of_the_greatest_length(maria: MariaDbLegacy, tmp_path: Path, model: Path) -> None:
    table, key, text = ("Tt" * 32, "k" * 64, "s" * 64)
    client_runs(
        maria,
        f"CREATE TABLE `{table}` (`{key}` INT PRIMARY KEY, `{text}` TEXT);"
        f" INSERT INTO `{table}` VALUES (1, 'a text of some words')",
    )
    settings = initialised(tmp_path, maria.odbc, table, model)
    (name,) = settings.stream
    assert settings.stream[name].table == table
    assert recipes.plain("T" * 64) != recipes.plain("T" * 63)
    made = remedies.index(
        stream(name="n" * 63, table="t"), "unique", ("a",), sa.create_engine("sqlite://").dialect
    )
    assert len(made.split()[2]) <= 63
