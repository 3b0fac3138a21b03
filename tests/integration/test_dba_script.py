"""`insights doctor --script`: a DBA who runs it on the primary has a stream that works."""

from tests.legacy import MariaDbLegacy, PostgresLegacy, reading, stream
from tests.servers import MariaDbPair, PostgresPair

SPEC = stream(cursor="updated_at", table="Ticket Log")


def _ready(script: str) -> list[str]:
    """Return the statements that are not in comments."""
    return [line for line in script.splitlines() if line and not line.startswith("--")]


def test_on_postgres_it_grants_what_is_missing_and_makes_the_index(
    postgres: PostgresPair, postgres_database: str
) -> None:
    legacy = PostgresLegacy(postgres, postgres_database)
    legacy.execute(
        'CREATE TABLE "Ticket Log" (id INT PRIMARY KEY, subject TEXT, body TEXT,'
        " updated_at TIMESTAMP NOT NULL)"
    )
    legacy.execute("INSERT INTO \"Ticket Log\" VALUES (1, 's', 'b', '2026-01-01')")
    legacy.execute("CREATE ROLE \"new reader\" LOGIN PASSWORD 'x'")
    legacy.sync()
    odbc = postgres.standby.odbc(postgres_database, "new reader", "x")
    try:
        with reading(odbc) as client:
            assert any(finding.level == "error" for finding in client.examine(SPEC))
            for _ in range(2):  # the grant first; with it, the plan is seen and asks for the index
                for statement in _ready(client.script(SPEC)):
                    legacy.execute(statement)
                legacy.sync()
            found = client.examine(SPEC)
            assert not [finding for finding in found if finding.level == "error"]
            assert any("cursor walks an index" in finding.what for finding in found)
            assert "scans" not in client.script(SPEC)
    finally:
        legacy.execute('DROP OWNED BY "new reader"')
        legacy.execute('DROP ROLE "new reader"')


def test_on_mariadb_it_names_the_account(mariadb: MariaDbPair, mariadb_database: str) -> None:
    legacy = MariaDbLegacy(mariadb, mariadb_database)
    legacy.execute(
        "CREATE TABLE `Ticket Log` (id INT PRIMARY KEY, subject TEXT, body TEXT,"
        " updated_at DATETIME(6) NOT NULL)"
    )
    legacy.execute("CREATE TABLE other (id INT)")
    legacy.execute("INSERT INTO `Ticket Log` VALUES (1, 's', 'b', '2026-01-01')")
    legacy.execute("CREATE USER 'new-reader'@'127.0.0.1' IDENTIFIED BY 'x'")
    legacy.execute(f"GRANT SELECT ON {mariadb_database}.other TO 'new-reader'@'127.0.0.1'")
    legacy.sync()
    try:
        with reading(mariadb.replica.odbc(mariadb_database, "new-reader", "x")) as client:
            assert any(finding.level == "error" for finding in client.examine(SPEC))
            script = client.script(SPEC)
            assert "GRANT SLAVE MONITOR ON *.* TO 'new-reader'@'127.0.0.1';" in script
            for line in script.splitlines():  # the optional grants and the index as well
                statement = line.removeprefix("-- ")
                if statement.startswith(("GRANT", "CREATE INDEX insights_tickets_cursor")):
                    legacy.execute(statement)
            legacy.sync()
            found = client.examine(SPEC)
            assert not [finding for finding in found if finding.level == "error"]
            client._worker.reader._session.reset()  # type: ignore[attr-defined]
            assert client.fingerprint().lag_s == 0
    finally:
        legacy.execute("DROP USER 'new-reader'@'127.0.0.1'")
