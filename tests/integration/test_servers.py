"""The servers that other tests stand on do what those tests assume."""

import contextlib
from collections.abc import Callable

import psycopg
import pyodbc
import pytest

from tests.servers import MariaDbPair, Postgres, PostgresPair


def test_a_mariadb_replica_follows_its_primary(mariadb: MariaDbPair, mariadb_database: str) -> None:
    mariadb.primary.execute("CREATE TABLE t (id int PRIMARY KEY)", database=mariadb_database)
    mariadb.primary.execute("INSERT INTO t VALUES (1)", database=mariadb_database)
    mariadb.wait()
    assert mariadb.replica.execute("SELECT id FROM t", database=mariadb_database) == [(1,)]


def test_a_postgres_standby_follows_its_primary(
    postgres: PostgresPair, postgres_database: str
) -> None:
    postgres.primary.execute("CREATE TABLE t (id int PRIMARY KEY)", database=postgres_database)
    postgres.primary.execute("INSERT INTO t VALUES (1)", database=postgres_database)
    postgres.wait()
    assert postgres.standby.execute("SELECT id FROM t", database=postgres_database) == [(1,)]


def test_readers_over_odbc_may_not_write(
    mariadb: MariaDbPair, mariadb_database: str, postgres: PostgresPair, postgres_database: str
) -> None:
    for odbc in (
        mariadb.replica.read_only(mariadb_database),
        mariadb.primary.read_only(mariadb_database),
        postgres.standby.read_only(postgres_database),
        postgres.primary.read_only(postgres_database),
    ):
        with contextlib.closing(pyodbc.connect(odbc)) as link:
            assert link.execute("SELECT 1").fetchone()[0] == 1
            with pytest.raises(pyodbc.Error):
                link.execute("CREATE TABLE forbidden (id int)")


def test_a_test_store_is_migrated_and_its_own(store_url: str) -> None:
    with psycopg.connect(store_url) as link:
        assert link.execute("SELECT count(*) FROM store.ledger").fetchone() == (0,)
        assert link.execute("SELECT '[1,2]'::halfvec(2) <-> '[1,2]'").fetchone() == (0,)


def test_a_store_that_is_killed_comes_back_with_its_data(
    new_store: Callable[[], Postgres],
) -> None:
    server = new_store()
    server.execute("INSERT INTO store.collection (name) VALUES ('kb')", database="store")
    server.stop()
    server.start()
    assert server.execute("SELECT name FROM store.collection", database="store") == [("kb",)]
