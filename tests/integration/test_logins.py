"""Passwords that people really have, against real logins; and what a wrong one is told as."""

import pytest

from insights import errors
from insights.ground.connections import filled
from insights.odbc import door
from tests.servers import MariaDbPair, PostgresPair
from tests.unit.test_connections import EVIL


def _mariadb(pair: MariaDbPair, user: str) -> str:
    return pair.primary.odbc("", user, "${p}")


def _postgres(pair: PostgresPair, user: str) -> str:
    return pair.primary.odbc("postgres", user, "${p}")


def _log_in(odbc: str, password: str) -> None:
    made = door.engine(filled(odbc, lambda _: password, "odbc"), read_only=True, timeout_s=5)
    made.dispose()


@pytest.mark.parametrize("password", ["", "wrong", "{"])
def test_a_wrong_password_is_told_as_that(
    postgres: PostgresPair, mariadb: MariaDbPair, password: str
) -> None:
    for odbc in (_postgres(postgres, "reader"), _mariadb(mariadb, "reader")):
        with pytest.raises(errors.StreamError, match="login or its password"):
            _log_in(odbc, password)


def test_evil_passwords_log_in(postgres: PostgresPair, mariadb: MariaDbPair) -> None:
    maria, postgres_server = mariadb.primary, postgres.primary
    try:
        for password in EVIL:
            text = password.replace("\\", "\\\\").replace("'", "\\'").replace("?", "\\?")
            maria.execute(f"CREATE OR REPLACE USER evil@'%' IDENTIFIED BY '{text}'")
            _log_in(_mariadb(mariadb, "evil"), password)
            text = password.replace("'", "''")
            postgres_server.execute("DROP ROLE IF EXISTS evil")
            postgres_server.execute(f"CREATE ROLE evil LOGIN PASSWORD '{text}'")
            _log_in(_postgres(postgres, "evil"), password)
    finally:
        maria.execute("DROP USER IF EXISTS evil@'%'")
        postgres_server.execute("DROP ROLE IF EXISTS evil")
