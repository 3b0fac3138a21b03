"""`insights init --yes` on tables of every kind: `doctor` has no error for what it writes."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from insights import errors
from insights.cli import app
from insights.site import definitions, files
from insights.site.settings import Settings
from insights.sources.client import SourceClient
from tests.servers import MariaDbPair, PostgresPair

TICKETS = """
CREATE TABLE ticket (ticket_no INTEGER PRIMARY KEY, body TEXT, modified_by TEXT,
    date_modified DATETIME);
INSERT INTO ticket VALUES
    (1, 'The printer prints only blank pages', 'Ada Byron', '2026-01-01 10:00:00'),
    (2, 'My password has expired since Monday', 'Bob Stone', '2026-01-02 10:00:00');
CREATE VIEW open_ticket AS SELECT ticket_no, body FROM ticket;
CREATE VIEW doubled AS SELECT body FROM ticket UNION ALL SELECT body FROM ticket;
CREATE TABLE "order" ("select" TEXT, "from" INT, note TEXT, PRIMARY KEY ("select", "from"));
INSERT INTO "order" VALUES ('a', 1, 'ship it to the other dock'), ('a', 2, 'fragile, keep it dry');
CREATE TABLE product (guid CHAR(36) PRIMARY KEY, title TEXT, price NUMERIC);
INSERT INTO product VALUES ('6f9619ff-8b86-d011-b42d-00c04fc964ff', 'A lamp of brass', 10.5);
CREATE TABLE reading (id INTEGER PRIMARY KEY, value REAL, at TEXT);
INSERT INTO reading VALUES (1, 20.5, '01.02.2026'), (2, 21.5, '02.01.2026');
CREATE TABLE pair (a INT, b INT, PRIMARY KEY (a, b));
INSERT INTO pair VALUES (1, 2), (1, 3);
CREATE TABLE heap (id INT, body TEXT);
INSERT INTO heap VALUES (1, 'no key keeps this');
"""


def initialised(folder: Path, odbc: str, table: str, model: Path, *more: str) -> Settings:
    """Run `init --yes`, and look at what it wrote as `doctor` does."""
    target = folder / "site" / "insights.toml"
    done = CliRunner().invoke(
        app,
        ["-c", str(target), "init", odbc, table, "--yes", "--model", str(model), *more],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    settings = files.load(target)
    defined = definitions.read(settings, list(settings.pipeline)[-1])
    defined.template.render(dict.fromkeys(defined.stream.inputs, None), (), "{}")
    client = SourceClient("legacy", odbc, hash_key=b"")
    try:
        client.inspect(defined.stream)  # what `run` refuses
        wrong = [found for found in client.examine(defined.stream) if found.level == "error"]
    finally:
        client.close()
    assert not wrong
    return settings


@pytest.mark.parametrize(
    ("table", "key", "cursor", "recipe"),
    [
        ("ticket", ["ticket_no"], "date_modified", "kind of a matter"),
        ("open_ticket", ["ticket_no"], None, "kind of a matter"),
        ("order", ["select", "from"], None, "kind of a matter"),
        ("product", ["guid"], None, "kind of a matter"),
        ("reading", ["id"], "id", "deserves a look"),
        ("pair", ["a", "b"], None, "deserves a look"),
    ],
)
def test_settings_of_sqlite_tables_run_as_they_are(
    table: str, key: list[str], cursor: str | None, recipe: str, tmp_path: Path, model: Path,
    sqlite_odbc: Callable[[Path], str],
) -> None:  # fmt: skip
    legacy = sqlite3.connect(tmp_path / "legacy.sqlite")
    legacy.executescript(TICKETS)
    legacy.close()
    settings = initialised(tmp_path, sqlite_odbc(tmp_path / "legacy.sqlite"), table, model)
    (stream,) = settings.stream.values()
    assert list(stream.key) == key
    assert stream.cursor == cursor
    (pipeline,) = settings.pipeline.values()
    assert recipe in pipeline.schema_.read_text()
    assert pipeline.prompt is not None
    assert "modified_by" not in pipeline.prompt.read_text()
    assert next(iter(settings.sink.values())).source == "legacy"


def test_what_no_key_tells_apart_is_refused_before_anything_is_written(
    tmp_path: Path, model: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    legacy = sqlite3.connect(tmp_path / "legacy.sqlite")
    legacy.executescript(TICKETS)
    legacy.close()
    odbc = sqlite_odbc(tmp_path / "legacy.sqlite")
    with pytest.raises(errors.StreamError, match="tell its rows apart"):
        initialised(tmp_path, odbc, "doubled", model)
    with pytest.raises(errors.StreamError, match="no unique key") as caught:
        initialised(tmp_path, odbc, "heap", model)
    assert "CREATE UNIQUE INDEX" in caught.value.fix
    with pytest.raises(errors.StreamError, match="does not exist") as caught:
        initialised(tmp_path, odbc, "tickets", model)
    assert "write ticket" in caught.value.fix
    assert not (tmp_path / "site").exists()


def test_a_second_table_is_a_second_pipeline(
    tmp_path: Path, model: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    legacy = sqlite3.connect(tmp_path / "legacy.sqlite")
    legacy.executescript(TICKETS)
    legacy.close()
    odbc = sqlite_odbc(tmp_path / "legacy.sqlite")
    initialised(tmp_path, odbc, "ticket", model)
    initialised(tmp_path, odbc, "product", model)
    settings = initialised(tmp_path, odbc, "ticket", model, "--recipe", "workorder")
    assert list(settings.pipeline) == ["product", "ticket", "ticket_2"]
    assert len(settings.source) == len(settings.model) == 1


def test_a_mariadb_table_with_a_stamp_of_its_own_and_a_writer_apart(
    tmp_path: Path, model: Path, mariadb: MariaDbPair, mariadb_database: str
) -> None:
    for statement in (
        """CREATE TABLE `Work Order` (id INT AUTO_INCREMENT PRIMARY KEY, `Fehler-Text` TEXT,
        state ENUM('open', 'done') NOT NULL, changed_by VARCHAR(20),
        ts TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)""",
        """INSERT INTO `Work Order` (`Fehler-Text`, state, changed_by) VALUES
        ('pump leaks at the flange', 'open', 'ada'), ('belt is worn and loud', 'done', 'bob')""",
    ):
        mariadb.primary.execute(statement, database=mariadb_database)
    mariadb.wait()
    odbc = mariadb.replica.read_only(mariadb_database)
    writer = "DRIVER={MariaDB Unicode};SERVER=primary;UID=writer;PWD=secret;DATABASE=erp"
    settings = initialised(tmp_path, odbc, "Work Order", model, "--sink-odbc", writer)
    (stream,) = settings.stream.values()
    assert (stream.key, stream.cursor) == (("id",), "ts")
    source = settings.source[next(iter(settings.sink.values())).source]
    assert "UID=writer" in source.odbc
    assert "secret" not in (tmp_path / "site" / "insights.toml").read_text()


def test_a_postgres_table_outside_the_search_path_is_proposed_and_taken(
    tmp_path: Path, model: Path, postgres: PostgresPair, postgres_database: str
) -> None:
    postgres.primary.script(
        "CREATE SCHEMA sales; CREATE TABLE sales.claim (claim_id uuid PRIMARY KEY, "
        "story text NOT NULL, last_update timestamptz NOT NULL DEFAULT now());"
        "INSERT INTO sales.claim VALUES (gen_random_uuid(), 'water came through the roof');",
        postgres_database,
    )
    postgres.wait()
    odbc = postgres.standby.read_only(postgres_database)
    with pytest.raises(errors.StreamError, match="does not exist") as caught:
        initialised(tmp_path, odbc, "claim", model)
    assert "sales.claim" in caught.value.fix
    assert caught.value.where == "table claim"
    settings = initialised(tmp_path, odbc, "sales.claim", model)
    (stream,) = settings.stream.values()
    assert (stream.schema_, stream.key, stream.cursor) == ("sales", ("claim_id",), "last_update")
    assert next(iter(settings.sink.values())).schema_ == "sales"
