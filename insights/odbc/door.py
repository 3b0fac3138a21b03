"""The door to pyodbc: engines for readers and publishers, and the meaning of driver errors.

Driver messages may quote row data, so none leaves this module: an error carries its SQLSTATE, the
engine's own number where there is one, and our words.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import pyodbc
import sqlalchemy as sa

from insights import errors
from insights.ground import connections
from insights.odbc.dialects import drivername

DriverError = pyodbc.Error  # what escapes SQLAlchemy where a driver is asked directly

pyodbc.pooling = False  # unixODBC's pool crashes with several threads; must precede any connect

_LOGIN_TIMEOUT_S = 10
# Per engine: statements that make a session read-only, and that bound a statement in milliseconds.
# Connection flags are not enough: pyodbc's readonly and SQLite's ReadOnly=1 are ignored.
_READ_ONLY = {
    "sqlite": ["PRAGMA query_only = ON"],
    "postgresql": ["SET default_transaction_read_only = on"],
    "mysql": ["SET SESSION TRANSACTION READ ONLY"],
    "mariadb": ["SET SESSION TRANSACTION READ ONLY"],
}
_TIMEOUT = {
    "postgresql": "SET statement_timeout = {ms}",
    "mariadb": "SET SESSION max_statement_time = {s}",
    "mysql": "SET SESSION max_execution_time = {ms}",
    "mssql": "SET LOCK_TIMEOUT {ms}",
    "sqlite": "PRAGMA busy_timeout = {ms}",
}
# psqlodbc: server-side prepare breaks reflection (42P18); booleans as characters lose their type;
# fetching through a cursor keeps memory flat.
_POSTGRES_OPTIONS = {
    "UseServerSidePrepare": "0",
    "BoolsAsChar": "0",
    "UseDeclareFetch": "1",
    "Fetch": "5000",
}
_SQLITE_OPTIONS = {"NoCreat": "1"}  # a path that is wrong, or empty for a moment, stays empty
_LOGIN_FIX = "correct UID in the connection string, or {}"
_NUMBER = re.compile(r"\((-?\d+)\)|ORA-(\d+)|SQLCODE=(-?\d+)")
_CANNOT_OPEN = re.compile(r"Can't open lib '([^']+)'")


# HY000 says nothing; the engine's own number under it does. SQLite: busy, locked, input/output,
# full, cannot open. MySQL and MariaDB: connections, shutdown, network, limits, lock wait, read-only
# while failing over, killed.
_SQLITE_PASSING = {5, 6, 10, 13, 14}
_MYSQL_LEAST = 1000
_MYSQL_CLIENT = range(2000, 3000)  # the connection's own: refused, gone, lost
_MYSQL_PASSING = {
    *(1021, 1037, 1038, 1078, 1079, 1129, 1135, 1152, 1184, 1317, 3024, 4031),
    *(1040, 1041, 1053, 1158, 1159, 1160, 1161),
    *(1203, 1205, 1213, 1226, 1290, 1836, 1927, 1969),
}


class _Meaning(NamedTuple):
    """What a SQLSTATE (by its beginning), an engine's number or SQLite's only words stand for."""

    error: type[errors.InsightsError]
    what: str
    fix: str = ""
    states: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    words: tuple[str, ...] = ()

    def fits(self, state: str, number: int | None, message: str) -> bool:
        """Tell whether an error is this one."""
        return (
            state.startswith(self.states or ("?",))
            or number in self.numbers
            or any(word in message for word in self.words)
        )


# The first that fits counts. Numbers are those of MySQL, SQL Server and Oracle.
_MEANINGS = (
    _Meaning(
        errors.SettingsError,
        "the data source or driver in the connection string is not known",
        "`odbcinst -q -d` lists drivers, `odbcinst -q -s` data sources",
        states=("IM002", "IM003", "IM004", "IM005", "IM012", "IM014"),
    ),
    _Meaning(
        errors.StreamError,
        "the database refuses our login or its password",
        _LOGIN_FIX.format("the credential that holds the password"),
        states=("28",),
        numbers=(1045, 1820, 1862, 3118, 4151, 18456),  # expired and locked ones among them
        words=(
            *("authentication failed", "no pg_hba.conf entry"),  # psqlodbc says 08001 to these
            *("no password supplied", 'FATAL:  role "'),
            *("ORA-01005", "ORA-01017", "ORA-28000", "ORA-28001"),
        ),
    ),
    _Meaning(
        errors.StreamError,
        "the database refuses our login a right",
        "grant SELECT on the table to the login; see sql/grants/",
        states=("42501",),
        numbers=(1044, 1142, 1143, 229, 230, 1031),
    ),
    _Meaning(
        errors.SettingsError,
        "there is no such database on the server",
        "correct the database in the connection string",
        numbers=(1049, 4060),
        words=('FATAL:  database "',),
    ),
    _Meaning(
        errors.StreamError,
        "a table does not exist, or our login cannot see it",
        states=("42S02", "42P01"),
        numbers=(1146, 942),
        words=("no such table",),
    ),
    _Meaning(
        errors.StreamError,
        "a column does not exist, or our login cannot see it",
        states=("42S22", "42703"),
        numbers=(1054,),
        words=("no such column",),
    ),
    _Meaning(errors.RowError, "a value cannot be read or computed", states=("22",)),
    _Meaning(
        errors.StreamError,
        "a table that is not logged has no rows on a standby",
        "poll the primary, or have a DBA run ALTER TABLE … SET LOGGED",
        words=("unlogged relations during recovery",),
    ),
    _Meaning(
        errors.SettingsError,
        "the ODBC driver lacks a function that polling needs",
        "take another driver for this database, or a newer one; docs/polling.md has those tried",
        states=("IM001",),
    ),
    _Meaning(
        errors.SourceUnavailable,
        "the database does not answer",
        "start it, or correct the server, port or file in the connection string",
        states=("08", "57", "53", "40", "HYT", "HY000", "HY008", "S1T00"),
    ),
)


def engine(odbc: str, *, read_only: bool, timeout_s: float, credential: str = "") -> sa.Engine:
    """Return a SQLAlchemy engine over an ODBC connection string, its dialect found by asking.

    Args:
        odbc: The connection string, password included.
        read_only: Make every session refuse writes, as far as the engine can.
        timeout_s: Seconds a statement may take, enforced by the server where it can.
        credential: What holds the password, for the message of a login that is refused.

    Raises:
        errors.SettingsError: If the driver or data source is not installed.
        errors.SourceUnavailable: If the database does not answer.
        errors.StreamError: If it refuses the login.
    """
    if "sqlite" in odbc.casefold():
        odbc = _with_options(odbc, _SQLITE_OPTIONS)
    if read_only and "sql server" in odbc.casefold():  # an availability group sends us to a replica
        odbc = _with_options(odbc, {"ApplicationIntent": "ReadOnly"})
    try:
        with pyodbc.connect(odbc, timeout=_LOGIN_TIMEOUT_S, autocommit=True) as probe:
            dbms = str(probe.getinfo(pyodbc.SQL_DBMS_NAME))
            version = str(probe.getinfo(pyodbc.SQL_DBMS_VER))
    except pyodbc.Error as exc:
        found = translate(exc)
        if credential and found.fix == _MEANINGS[1].fix:
            given = f"the credential {credential} (INSIGHTS_CREDENTIAL_{credential.upper()}, or "
            found.fix = _LOGIN_FIX.format(f"{given}its file)")
        raise found from None
    _refuse_unfit(dbms)
    name = drivername("mariadb" if "mariadb" in version.casefold() else dbms)
    dialect = name.partition("+")[0]
    odbc = _fitted(odbc, dialect, timeout_s)
    made = sa.create_engine(
        f"{name}:///?odbc_connect={quote_plus(odbc)}",
        pool_size=1,
        max_overflow=1,
        pool_pre_ping=True,
        connect_args={"timeout": _LOGIN_TIMEOUT_S},
        hide_parameters=True,
    )
    statements = list(_READ_ONLY.get(dialect, [])) if read_only else []
    if dialect in _TIMEOUT:
        statements.append(_TIMEOUT[dialect].format(ms=int(timeout_s * 1000), s=timeout_s))

    @sa.event.listens_for(made, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - pyodbc has no types
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.commit()

    return made


def _refuse_unfit(dbms: str) -> None:
    if dbms.casefold().startswith("mdbtools"):
        raise errors.SettingsError(
            "the MDBTools driver cannot read a table in pages: it knows no ORDER BY, no parameters "
            "and no keys, and its comparisons are wrong",
            where="odbc",
            fix="copy the Access file into SQLite and poll that: docs/polling.md#microsoft-access",
        )


def translate(exc: BaseException) -> errors.InsightsError:
    """Return what a pyodbc or SQLAlchemy error means, without any of the driver's words."""
    if isinstance(exc, errors.InsightsError):
        return exc
    original = exc.orig if isinstance(exc, sa.exc.DBAPIError) else exc
    if not isinstance(original, pyodbc.Error):
        return _of_layer(exc)
    state = str(original.args[0]) if original.args else ""
    message = str(original.args[1]) if len(original.args) > 1 else ""
    if lib := _CANNOT_OPEN.search(message):
        return errors.SettingsError(
            f"the ODBC driver {lib.group(1)!r} is not installed",
            where="odbc",
            fix="install it (Debian: libsqliteodbc, odbc-postgresql, odbc-mariadb, tdsodbc); "
            "`odbcinst -q -d` lists what is there",
        )
    found = _NUMBER.search(message)
    number = int(next(part for part in found.groups() if part)) if found else None
    code = f"SQLSTATE {state}" + (f", error {number}" if number is not None else "")
    for meaning in _MEANINGS:
        if meaning.fits(state, number, message):
            if meaning.error is errors.SourceUnavailable and _is_refusal(state, number, message):
                break
            return meaning.error(f"{meaning.what} ({code})", fix=meaning.fix)
    return errors.StreamError(f"the database refused a statement ({code})")


def _of_layer(exc: BaseException) -> errors.StreamError:
    if isinstance(exc, sa.exc.NoSuchTableError):
        return errors.StreamError(f"table {exc} does not exist, or our login cannot see it")
    if isinstance(exc, sa.exc.UnreflectableTableError):
        return errors.StreamError(
            "it is a view whose tables or columns are gone, or whose owner may not read them",
            fix="have a DBA repair the view, or name another table",
        )
    if isinstance(exc, sa.exc.ArgumentError):  # what SQLAlchemy cannot call a column
        return errors.StreamError(
            "it has a column without a name, or with one that cannot be used",
            fix="read a query that names the columns, or a view that does",
        )
    return errors.StreamError(f"the database layer failed: {type(exc).__name__}")


def _is_refusal(state: str, number: int | None, message: str) -> bool:
    """Tell a statement that the engine refused from an outage, both of which HY000 may mean."""
    if state != "HY000" or number is None:
        return False
    if "[SQLite]" in message:
        return number not in _SQLITE_PASSING
    return number >= _MYSQL_LEAST and number not in {*_MYSQL_CLIENT, *_MYSQL_PASSING}


def _fitted(odbc: str, dialect: str, timeout_s: float) -> str:
    """Return a connection string with what each engine's driver has to be told."""
    if dialect == "postgresql":
        return _with_options(odbc, _POSTGRES_OPTIONS)
    if dialect == "sqlite":  # its driver waits 100 s for a lock, whatever PRAGMA busy_timeout says
        return _with_options(odbc, {"Timeout": str(int(timeout_s * 1000))})
    if dialect in ("mysql", "mariadb"):  # pyodbc reads UTF-8; the server converts from any other
        kept = [one.raw for one in connections.attributes(odbc) if one.key.casefold() != "charset"]
        return ";".join(kept)
    return odbc


def _with_options(odbc: str, options: dict[str, str]) -> str:
    """Append driver options that the connection string does not set itself."""
    given = {part.key.casefold() for part in connections.attributes(odbc)}
    added = [f"{name}={value}" for name, value in options.items() if name.casefold() not in given]
    return ";".join([odbc.rstrip(";"), *added])
