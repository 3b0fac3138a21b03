"""What a source says of its replica when that lags, goes back, changes or dies."""

import math
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from insights import errors
from insights.sources.client import SourceClient
from tests.legacy import SqliteLegacy, reading, stream, walk
from tests.servers import MariaDbPair, PostgresPair

_TABLE = "CREATE TABLE ticket (id INT PRIMARY KEY, subject VARCHAR(9), body VARCHAR(9))"


def test_sqlite_copies_that_replace_each_other(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    legacy = SqliteLegacy(tmp_path, sqlite_odbc)
    legacy.execute(_TABLE)
    legacy.execute("INSERT INTO ticket VALUES (1, 's', 'b')")
    legacy.sync()
    with reading(legacy.odbc) as client:
        assert set(walk(client, stream())) == {"1"}
        first = client.fingerprint()
        kept = shutil.copy(legacy.replica, tmp_path / "kept.sqlite")
        legacy.execute("INSERT INTO ticket VALUES (2, 's', 'b')")
        legacy.sync()
        assert set(walk(client, stream())) == {"1", "2"}  # the open file was replaced
        second = client.fingerprint()
        assert second.identity == first.identity
        assert not client.is_behind(first.identity, first.position)
        shutil.copy(kept, tmp_path / "older.sqlite")
        (tmp_path / "older.sqlite").replace(legacy.replica)
        assert client.is_behind(second.identity, second.position)
        assert set(walk(client, stream())) == {"1"}
        legacy.replica.unlink()
        with pytest.raises(errors.SourceUnavailable):
            client.page(stream(), None, by="key")
        assert not legacy.replica.exists()  # the driver would create it
        legacy.sync()
        assert set(walk(client, stream())) == {"1", "2"}
    legacy.close()


def test_sqlite_with_a_write_ahead_log_moves_at_every_commit(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    link = sqlite3.connect(tmp_path / "live.sqlite", isolation_level=None)
    link.execute("PRAGMA journal_mode = WAL")
    link.execute(_TABLE)
    with reading(sqlite_odbc(tmp_path / "live.sqlite")) as client:
        seen = [client.fingerprint().position]
        for number in range(5):
            link.execute("INSERT INTO ticket VALUES (?, 's', 'b')", (number,))
            if number == 3:
                link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            seen.append(client.fingerprint().position)
            assert not client.is_behind(client.fingerprint().identity, seen[-1])
        assert len(set(seen)) == len(seen)
        assert len(walk(client, stream())) == 5
    link.close()


def test_a_reader_cannot_write_whatever_its_login_may(
    tmp_path: Path, sqlite_odbc: Callable[[Path], str]
) -> None:
    path = tmp_path / "live.sqlite"
    link = sqlite3.connect(path, isolation_level=None)
    link.execute(_TABLE)
    link.execute("INSERT INTO ticket VALUES (1, 's', 'b')")
    with reading(sqlite_odbc(path)) as client:
        client.inspect(stream())
        session = client._worker.reader._session  # type: ignore[attr-defined]
        with pytest.raises(errors.InsightsError), session.reading() as database:
            database.exec_driver_sql("DELETE FROM ticket")
    assert link.execute("SELECT count(*) FROM ticket").fetchone() == (1,)
    link.close()


def test_mariadb_tells_lag_to_whom_may_see_it(mariadb: MariaDbPair, mariadb_database: str) -> None:
    mariadb.primary.execute(_TABLE, database=mariadb_database)
    mariadb.wait()
    with reading(mariadb.replica.read_only(mariadb_database)) as client:
        assert client.fingerprint().lag_s is None
    with reading(mariadb.replica.odbc(mariadb_database)) as client:
        before = client.fingerprint()
        assert before.lag_s == 0
        mariadb.replica.execute("STOP SLAVE SQL_THREAD")
        mariadb.primary.execute(
            "INSERT INTO ticket VALUES (1, 's', 'b')", database=mariadb_database
        )
        stopped = client.fingerprint()
        assert (stopped.lag_s, stopped.position) == (math.inf, before.position)
        mariadb.replica.execute("START SLAVE SQL_THREAD")
        mariadb.wait()
        after = client.fingerprint()
        assert after.position != before.position
        assert not client.is_behind(before.identity, before.position)
        assert after.position is not None
        domain, server, number = after.position.split(",")[0].split("-")
        assert client.is_behind(after.identity, f"{domain}-{server}-{int(number) + 1}")
        primary = mariadb.primary.odbc(mariadb_database)
    with reading(primary) as client:
        assert client.is_behind(after.identity, after.position)  # another server
        assert client.fingerprint().lag_s == 0


def test_postgres_tells_lag_and_promotion(new_postgres_pair: Callable[[], PostgresPair]) -> None:
    pair = new_postgres_pair()
    pair.primary.execute(_TABLE)
    pair.wait()
    with reading(pair.standby.read_only("postgres")) as client:
        before = client.fingerprint()
        assert before.lag_s == 0
        pair.standby.execute("SELECT pg_wal_replay_pause()")
        pair.primary.execute("INSERT INTO ticket VALUES (1, 's', 'b')")
        until = time.monotonic() + 20
        while not client.fingerprint().lag_s:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert client.fingerprint().position == before.position
        pair.standby.execute("SELECT pg_wal_replay_resume()")
        pair.wait()
        after = client.fingerprint()
        assert after.position != before.position
        assert client.is_behind(after.identity, "FF/0")
        assert len(walk(client, stream())) == 1
        pair.standby.execute("SELECT pg_promote()")
        promoted = client.fingerprint()
        assert promoted.identity != after.identity  # a new timeline: history may differ
        assert client.is_behind(after.identity, after.position)


def test_doctor_sees_a_transaction_that_the_watermark_would_not_wait_for(
    postgres: PostgresPair, postgres_database: str
) -> None:
    postgres.primary.execute(f"{_TABLE}", database=postgres_database)
    with (
        psycopg.connect(postgres.primary.url(postgres_database)) as writer,
        reading(postgres.primary.odbc(postgres_database)) as client,
    ):
        writer.execute("INSERT INTO ticket VALUES (1, 's', 'b')")
        spec = stream(cursor="id", overlap_s=0.0, longest_s=0.0)
        found = client.examine(spec)
        assert [f for f in found if "longer than longest_transaction" in f.what and f.fix]
        assert not [f for f in client.examine(stream(cursor="id")) if "longer than" in f.what]
        writer.rollback()
        assert not [f for f in client.examine(spec) if "longer than" in f.what]


def test_a_connection_that_was_cut_comes_back(mariadb: MariaDbPair, mariadb_database: str) -> None:
    mariadb.primary.execute(_TABLE, database=mariadb_database)
    mariadb.primary.execute("INSERT INTO ticket VALUES (1, 's', 'b')", database=mariadb_database)
    mariadb.wait()
    with reading(mariadb.replica.read_only(mariadb_database)) as client:
        assert len(walk(client, stream())) == 1
        for (number,) in mariadb.replica.execute(
            "SELECT id FROM information_schema.processlist WHERE user = 'reader'"
        ):
            mariadb.replica.execute(f"KILL {number}")
        with pytest.raises(errors.SourceUnavailable):
            walk(client, stream())
        assert len(walk(client, stream())) == 1


def test_a_server_that_says_nothing_is_given_up(
    mariadb: MariaDbPair, mariadb_database: str
) -> None:
    mariadb.primary.execute(_TABLE, database=mariadb_database)
    mariadb.wait()
    client = SourceClient(
        "legacy", mariadb.replica.read_only(mariadb_database), hash_key=b"k", timeout_s=1
    )
    client._deadline_s = 3
    try:
        client.inspect(stream())
        mariadb.replica.freeze()
        with pytest.raises(errors.Transient):
            client.page(stream(), None, by="key")
        mariadb.replica.thaw()
        assert client.page(stream(), None, by="key").rows == 0
    finally:
        client.close()


@pytest.mark.parametrize(
    ("odbc", "error", "says"),
    [
        ("DRIVER={NoSuchDriver};SERVER=x", errors.SettingsError, "NoSuchDriver"),
        ("DSN=nowhere", errors.SettingsError, "connection string"),
        (
            "DRIVER={MariaDB Unicode};SERVER=127.0.0.1;PORT=1;UID=a;PWD=hush",
            errors.SourceUnavailable,
            "does not answer",
        ),
        (
            "DRIVER={PostgreSQL Unicode};SERVER=127.0.0.1;PORT=1;UID=a;PWD=hush",
            errors.SourceUnavailable,
            "does not answer",
        ),
        ("DRIVER={SQLite3};DATABASE=/nowhere/app.sqlite", errors.SourceUnavailable, "answer"),
    ],
)
def test_a_wrong_connection_string_says_what_is_wrong(
    odbc: str, error: type[errors.InsightsError], says: str
) -> None:
    with reading(odbc) as client, pytest.raises(error, match=says) as caught:
        client.fingerprint()
    assert "legacy" in caught.value.where
    assert "hush" not in str(caught.value)


def test_a_wrong_password_or_database_says_so(mariadb: MariaDbPair, postgres: PostgresPair) -> None:
    for odbc in (mariadb.replica.odbc("nodb"), postgres.standby.odbc("nodb")):
        with reading(odbc) as client, pytest.raises(errors.SettingsError, match="no such database"):
            client.fingerprint()
    for odbc in (
        mariadb.replica.odbc("", "reader", "wrong"),
        postgres.standby.odbc("postgres", "reader", "wrong"),
    ):
        with reading(odbc) as client, pytest.raises(errors.InsightsError) as caught:
            client.fingerprint()
        assert isinstance(caught.value, errors.StreamError), caught.value
        assert "refuses our login" in caught.value.what
