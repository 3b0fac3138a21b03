"""The main job on real pairs: rows are read from the replica, insights written to the primary."""

import contextlib
from collections.abc import Callable, Iterator
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
        self,
        primary: _Server,
        replica: _Server,
        database: str,
        wait: Callable[[], None],
        timestamp: str,
        freeze: tuple[str, str],
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._freeze = freeze
        self._database = database
        self.wait = wait
        self.timestamp = timestamp

    def execute(self, statement: str) -> servers.Rows:
        return self._primary.execute(statement, database=self._database)

    def script(self, statements: str) -> None:
        self._primary.script(statements, self._database)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep the replica as it is, while the primary goes on."""
        self.wait()
        self._replica.execute(self._freeze[0], database=self._database)
        try:
            yield
        finally:
            self._replica.execute(self._freeze[1], database=self._database)
            self.wait()


def _mariadb(site: Site, pair: servers.MariaDbPair, database: str) -> Pair:
    site.odbc = pair.replica.odbc(database, servers.MariaDb.reader[0], "${reader}")
    site.sink_odbc = pair.primary.odbc(database)
    site.environment["INSIGHTS_CREDENTIAL_READER"] = servers.MariaDb.reader[1]
    freeze = ("STOP SLAVE SQL_THREAD", "START SLAVE SQL_THREAD")
    return Pair(pair.primary, pair.replica, database, pair.wait, "DATETIME(6)", freeze)


def _postgres(site: Site, pair: servers.PostgresPair, database: str) -> Pair:
    site.odbc = pair.standby.odbc(database, servers.Postgres.reader[0], "${reader}")
    site.sink_odbc = pair.primary.odbc(database, password="${owner}")
    site.environment["INSIGHTS_CREDENTIAL_READER"] = servers.Postgres.reader[1]
    site.environment["INSIGHTS_CREDENTIAL_OWNER"] = pair.primary.password
    freeze = ("SELECT pg_wal_replay_pause()", "SELECT pg_wal_replay_resume()")
    return Pair(pair.primary, pair.standby, database, pair.wait, "TIMESTAMP(6)", freeze)


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


def test_a_rotated_hash_key_is_no_change_of_rows(pair: Pair, site: Site) -> None:
    _stream(pair, site)
    site.run_once()
    insights = site.query("SELECT insight_id, row_id FROM store.insight ORDER BY 1")
    site.environment["INSIGHTS_CREDENTIAL_HASH_KEY_FORMER"] = "a key for tests"
    site.environment["INSIGHTS_CREDENTIAL_HASH_KEY"] = "a new key"
    pair.execute("UPDATE ticket SET body = 'unstamped' WHERE ticket_id = 6")
    pair.wait()
    assert site.run_once()["generations"] == 1
    assert site.query("SELECT DISTINCT hash_version FROM store.ledger") == [(2,)]
    found = site.query("SELECT insight_id, row_id FROM store.insight ORDER BY 1")
    assert found[: len(insights)] == insights
    site.assert_exactly_once({str(key) for key in range(1, 121)})


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


TOLD = (
    'table = "ticket"\nkey = ["ticket_id"]\npending = "ai_status = \'pending\'"\n'
    'acknowledge = {source = "primary", column = "ai_status", from = "pending", to = "done"}\n'
    'reject = {source = "primary", column = "ai_status", from = "pending", to = "failed"}\n'
)


def _marked(pair: Pair, site: Site, stream: str = TOLD) -> None:
    _stream(pair, site)
    pair.execute("ALTER TABLE ticket ADD ai_status VARCHAR(10), ADD divisor INTEGER DEFAULT 1")
    pair.execute("UPDATE ticket SET ai_status = 'pending' WHERE ticket_id <= 5")
    pair.wait()
    site.stream = stream
    site.write()


def _mark(pair: Pair, ticket: int) -> None:
    pair.execute(f"UPDATE ticket SET ai_status = 'pending' WHERE ticket_id = {ticket}")


def _marks(pair: Pair) -> dict[str, int]:
    """Return how many rows of the primary have each mark."""
    query = "SELECT ai_status, count(*) FROM ticket WHERE ai_status IS NOT NULL GROUP BY ai_status"
    return dict(pair.execute(query))


def _acknowledged(site: Site) -> int:
    """Return how often a row was told that it is done."""
    ((count,),) = site.query("SELECT count(*) FROM store.audit_event WHERE action = 'acknowledged'")
    return int(count)


def test_marked_rows_are_acknowledged_once_and_asked_for_again(pair: Pair, site: Site) -> None:
    _marked(pair, site)
    with pair.frozen():
        assert site.run_once()["generations"] == 5
        assert _marks(pair) == {"done": 5}
        assert not any(site.run_once().values())  # the replica still shows the marks
        assert _acknowledged(site) == 5
        _mark(pair, 2)  # behind the acknowledge, before the replica has it
    assert not any(site.run_once().values())  # the current insight is published again
    assert _marks(pair) == {"done": 5}
    assert _acknowledged(site) == 6
    pair.wait()
    site.run_once()
    assert _acknowledged(site) == 6

    _mark(pair, 3)  # long after the replica had it
    pair.wait()
    (before,) = pair.execute("SELECT revision FROM ai_insight WHERE ticket_id = 3")
    assert not any(site.run_once().values())
    assert _marks(pair) == {"done": 5}
    assert pair.execute("SELECT revision FROM ai_insight WHERE ticket_id = 3") > [before]
    found = "SELECT row_key, state, requests FROM insights.request WHERE requests > 1 ORDER BY 1"
    assert site.query(found) == [("2", "acknowledged", 2), ("3", "acknowledged", 2)]
    site.assert_exactly_once({str(key) for key in range(1, 6)})


def test_a_mark_set_again_is_new_work_where_the_stream_says_so(pair: Pair, site: Site) -> None:
    _marked(pair, site, TOLD + "regenerate_on_remark = true\n")
    with pair.frozen():
        assert site.run_once()["generations"] == 5
        assert not any(site.run_once().values())
    assert not any(site.run_once().values())
    _mark(pair, 2)
    pair.wait()
    assert site.run_once()["generations"] == 1
    pair.wait()
    assert not any(site.run_once().values())
    assert _marks(pair) == {"done": 5}
    assert site.query(
        "SELECT row_key, count(*), count(*) FILTER (WHERE is_current)"
        " FROM insights.history GROUP BY 1 HAVING count(*) > 1"
    ) == [("2", 2, 1)]


def test_a_row_that_changed_just_before_its_acknowledge_is_not_lost(pair: Pair, site: Site) -> None:
    _marked(pair, site)
    with pair.frozen():
        pair.execute("UPDATE ticket SET body = 'newer', ai_status = 'pending' WHERE ticket_id = 4")
        assert site.run_once()["generations"] == 5  # of what the replica shows
        assert _marks(pair) == {"done": 5}
    assert site.run_once()["generations"] == 1
    assert _marks(pair) == {"done": 5}


def test_a_dead_letter_is_rejected_and_acknowledged_after_a_retry(pair: Pair, site: Site) -> None:
    broken = "1 / divisor" if pair.timestamp == "TIMESTAMP(6)" else "exp(1000 * (1 - divisor))"
    query = f"SELECT ticket_id, subject, concat(body, {broken}) AS body, ai_status FROM ticket"
    stream = TOLD.replace('table = "ticket"', f'query = "{query}"')
    _marked(pair, site, stream.replace("column =", 'table = "ticket", column ='))
    pair.execute("UPDATE ticket SET divisor = 0 WHERE ticket_id = 3")
    pair.wait()
    assert site.run_once()["dead"] == 1
    assert _marks(pair) == {"done": 4, "failed": 1}
    pair.wait()
    site.run_once()
    pair.execute("UPDATE ticket SET divisor = 1 WHERE ticket_id = 3")
    pair.wait()
    site.insights("dead", "retry")
    site.run_once()
    assert _marks(pair) == {"done": 5}
    site.assert_exactly_once({str(key) for key in range(1, 6)})


def test_doctor_finds_a_healthy_site_healthy(pair: Pair, site: Site) -> None:
    _stream(pair, site)
    report = site.insights("doctor").stdout
    assert "error" not in report
