"""What goes wrong with logins in the first hour, on a real MariaDB: each message has its cure."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from insights import errors
from tests import servers
from tests.site import Site

WRITER = ("insights_writer", "writer-secret")


@dataclass
class Legacy:
    """A primary with a legacy table, and a writer that may do nothing but connect."""

    server: servers.MariaDb
    database: str

    def execute(self, statement: str) -> servers.Rows:
        return self.server.execute(statement, database=self.database)


@pytest.fixture
def legacy(site: Site, mariadb: servers.MariaDbPair, mariadb_database: str) -> Iterator[Legacy]:
    """The site of a reader and a writer, each with its own credential."""
    made = Legacy(mariadb.primary, mariadb_database)
    made.execute(
        "CREATE TABLE ticket (ticket_id INTEGER PRIMARY KEY, subject VARCHAR(80), body TEXT,"
        " updated_at TIMESTAMP NOT NULL)"
    )
    made.execute("INSERT INTO ticket VALUES (1, 'Printer', 'It prints nothing.', '2026-01-01')")
    made.execute("CREATE TABLE heartbeat (at INTEGER PRIMARY KEY)")
    made.execute(f"CREATE USER '{WRITER[0]}'@'%' IDENTIFIED BY '{WRITER[1]}'")
    made.execute(f"GRANT SELECT ON heartbeat TO '{WRITER[0]}'@'%'")
    site.odbc = made.server.odbc(made.database, made.server.reader[0], "${erp_reader}")
    site.sink_odbc = made.server.odbc(made.database, WRITER[0], "${erp_writer}")
    site.environment |= {
        "INSIGHTS_CREDENTIAL_ERP_READER": made.server.reader[1],
        "INSIGHTS_CREDENTIAL_ERP_WRITER": WRITER[1],
    }
    site.write()
    yield made
    made.execute(f"DROP USER '{WRITER[0]}'@'%'")


def test_a_wrong_password_names_the_credential_that_holds_it(site: Site, legacy: Legacy) -> None:
    del legacy
    for credential, command, error in (
        ("ERP_READER", ("try", "1"), errors.StreamError),
        ("ERP_WRITER", ("sink", "check", "legacy"), errors.SinkError),
    ):
        said = site.insights(
            *command, env={f"INSIGHTS_CREDENTIAL_{credential}": "wrong"}, code=error.exit_code
        ).stderr
        assert "the database refuses our login or its password" in said
        assert f"the credential {credential.lower()} (INSIGHTS_CREDENTIAL_{credential}" in said
        assert "GRANT" not in said.upper()


def test_a_missing_sink_table_names_the_ddl_that_the_reader_prints(
    site: Site, legacy: Legacy
) -> None:
    """MariaDB answers 1142, a right that is refused, where there is no table."""
    refused = site.insights("sink", "check", "legacy", code=errors.SinkError.exit_code).stderr
    assert "table ai_insight does not exist, or our login cannot see it" in refused
    assert "sink ddl legacy" in refused
    script = site.insights("sink", "ddl", "legacy").stdout  # the writer sees no legacy table
    for statement in script.split(";\n"):
        if "CREATE" in statement:
            legacy.execute(statement)
    assert "ticket_id INTEGER" in script  # typed as in the legacy table
    grant = refused[refused.index("GRANT") :].replace("\n", " ").split(";")[0]
    legacy.execute(grant.replace(f"{WRITER[0]}@%", f"'{WRITER[0]}'@'%'"))
    site.insights("sink", "check", "legacy")


def test_the_ddl_needs_no_login_of_the_writer(site: Site, legacy: Legacy) -> None:
    del legacy
    wrong = {"INSIGHTS_CREDENTIAL_ERP_WRITER": "wrong"}
    assert "CREATE TABLE ai_insight" in site.insights("sink", "ddl", "legacy", env=wrong).stdout
