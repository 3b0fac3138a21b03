"""The main job on real pairs: rows are read from the replica, insights written to the primary."""

from collections.abc import Callable
from typing import Protocol

import pytest

from tests import servers
from tests.site import Site

TABLE = """
CREATE TABLE ticket (ticket_id INTEGER NOT NULL PRIMARY KEY, customer VARCHAR(40),
    subject VARCHAR(80), body TEXT, updated_at {timestamp} NOT NULL);
CREATE INDEX ticket_updated ON ticket (updated_at, ticket_id);
"""
STREAM = (
    'table = "ticket"\nkey = ["ticket_id"]\ncursor = "updated_at"\noverlap = "0.5s"\n'
    'redact.columns = ["customer"]'
)


class _Server(Protocol):
    def execute(self, statement: str, *params: object, database: str) -> servers.Rows:
        """Run one statement."""
        ...

    def script(self, statements: str, database: str) -> None:
        """Run many."""
        ...


class Pair:
    """One replicated pair with a database on it, whichever engine it is."""

    def __init__(
        self, primary: _Server, database: str, wait: Callable[[], None], timestamp: str
    ) -> None:
        self._primary = primary
        self._database = database
        self.wait = wait
        self.timestamp = timestamp

    def execute(self, statement: str) -> servers.Rows:
        return self._primary.execute(statement, database=self._database)

    def script(self, statements: str) -> None:
        self._primary.script(statements, self._database)


def _mariadb(site: Site, pair: servers.MariaDbPair, database: str) -> Pair:
    site.odbc = pair.replica.odbc(database, servers.MariaDb.reader[0], "${reader}")
    site.sink_odbc = pair.primary.odbc(database)
    site.environment["INSIGHTS_CREDENTIAL_READER"] = servers.MariaDb.reader[1]
    return Pair(pair.primary, database, pair.wait, "DATETIME(6)")


def _postgres(site: Site, pair: servers.PostgresPair, database: str) -> Pair:
    site.odbc = pair.standby.odbc(database, servers.Postgres.reader[0], "${reader}")
    site.sink_odbc = pair.primary.odbc(database, password="${owner}")
    site.environment["INSIGHTS_CREDENTIAL_READER"] = servers.Postgres.reader[1]
    site.environment["INSIGHTS_CREDENTIAL_OWNER"] = pair.primary.password
    return Pair(pair.primary, database, pair.wait, "TIMESTAMP(6)")


@pytest.fixture(params=["mariadb", "postgres"])
def pair(request: pytest.FixtureRequest, site: Site) -> Pair:
    make = _mariadb if request.param == "mariadb" else _postgres
    return make(
        site,
        request.getfixturevalue(request.param),
        request.getfixturevalue(f"{request.param}_database"),
    )


def _stream(pair: Pair, site: Site) -> None:
    pair.script(TABLE.format(timestamp=pair.timestamp))
    rows = ", ".join(
        f"({i}, 'Ann Lee', 'Subject {i}', 'Ann Lee writes, 50% off & it''s {i}',"
        f" '2026-01-01 00:00:{i % 60:02d}.5')"
        for i in range(1, 121)
    )
    pair.execute(f"INSERT INTO ticket VALUES {rows}")
    site.stream = STREAM
    site.write()
    pair.script(site.insights("sink", "ddl", "legacy").stdout)
    pair.wait()


def test_the_main_job_on_a_replica(pair: Pair, site: Site) -> None:
    _stream(pair, site)
    assert site.run_once()["generations"] == 120
    keys = {str(key) for key in range(1, 121)}
    site.assert_exactly_once(keys)
    shown: dict[int, str] = dict(pair.execute("SELECT ticket_id, status FROM ai_insight"))
    assert set(shown) == set(range(1, 121))
    assert not any(site.run_once().values())

    pair.execute(
        "UPDATE ticket SET body = 'new', updated_at = '2026-01-02 00:00:00' WHERE ticket_id = 5"
    )
    pair.execute("UPDATE ticket SET body = 'unstamped' WHERE ticket_id = 6")
    pair.execute("UPDATE ticket SET customer = 'Bob', updated_at = '2026-01-02 00:00:00'"
                 " WHERE ticket_id = 7")  # fmt: skip
    pair.execute("DELETE FROM ticket WHERE ticket_id = 8")
    pair.execute(
        "INSERT INTO ticket VALUES (121, 'Cy', 'late', 'backdated', '2020-01-01 00:00:00')"
    )
    pair.wait()
    changed = site.run_once()
    assert changed["generations"] == 3  # 5, 6, 121; a column beside the prompt's is no change
    pair.wait()
    site.run_once()
    site.assert_exactly_once((keys | {"121"}) - {"8"})
    shown = dict(pair.execute("SELECT ticket_id, status FROM ai_insight"))
    assert shown[8] == "tombstoned"
    assert set(shown) == set(range(1, 122))


def test_rows_that_the_application_marks_itself(pair: Pair, site: Site) -> None:
    _stream(pair, site)
    pair.execute("ALTER TABLE ticket ADD ai_status VARCHAR(10)")
    pair.execute("UPDATE ticket SET ai_status = 'pending' WHERE ticket_id <= 20")
    pair.wait()
    site.stream = 'table = "ticket"\nkey = ["ticket_id"]\npending = "ai_status = \'pending\'"'
    site.write()
    assert site.run_once()["generations"] == 20
    assert not any(site.run_once().values())  # the mark is still set; nothing is done twice
    pair.execute("UPDATE ticket SET ai_status = 'pending' WHERE ticket_id = 50")
    pair.wait()
    assert site.run_once()["generations"] == 1


def test_doctor_finds_a_healthy_site_healthy(pair: Pair, site: Site) -> None:
    _stream(pair, site)
    report = site.insights("doctor").stdout
    assert "error" not in report
