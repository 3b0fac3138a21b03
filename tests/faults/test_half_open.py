"""Half-open store connections: the old ones are mute, new ones pass. No call waits for ever."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from insights import errors
from insights.store import bounded
from insights.store.postgres import Store
from tests.helpdesk import Helpdesk
from tests.servers.proxy import Proxy
from tests.site import Site

pytestmark = pytest.mark.faults


@pytest.fixture
def proxy(store_url: str) -> Iterator[Proxy]:
    with Proxy(psycopg.conninfo.conninfo_to_dict(store_url)["port"]) as proxy:  # type: ignore[arg-type]
        yield proxy


def _through(proxy: Proxy, url: str) -> str:
    port = psycopg.conninfo.conninfo_to_dict(url)["port"]
    return url.replace(f":{port}/", f":{proxy.port}/")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "QUIET_S", 1.0)
    monkeypatch.setattr(bounded, "_HURRIED_S", 0.5)


def _one(store: Store, statement: str = "SELECT 1 AS one") -> object:
    with store.connection() as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.usefixtures("quick")
def test_a_mute_connection_is_given_up_and_the_next_call_has_another(
    proxy: Proxy, store_url: str
) -> None:
    store = Store(_through(proxy, store_url), connections=3).open()
    try:
        _hold_all(store, 3)
        proxy.mute()
        began = time.monotonic()
        with pytest.raises(errors.StoreUnavailable, match="no answer within"):
            _one(store)
        assert time.monotonic() - began < 6
        assert _one(store) == 1  # its neighbours are asked, not believed
        assert time.monotonic() - began < 12
    finally:
        store.close()


def _hold_all(store: Store, count: int) -> None:
    """Have the pool open all its connections."""
    barrier = threading.Barrier(count)

    def hold() -> None:
        with store.connection() as connection:
            connection.execute("SELECT 1")
            barrier.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("quick")
def test_a_slow_statement_is_waited_for(proxy: Proxy, store_url: str) -> None:
    store = Store(_through(proxy, store_url), connections=2).open()
    try:
        assert _one(store, "SELECT 7 FROM pg_sleep(4)") == 7
    finally:
        store.close()


@pytest.mark.usefixtures("quick")
def test_a_cut_in_the_middle_of_a_statement_and_of_a_copy(proxy: Proxy, store_url: str) -> None:
    store = Store(_through(proxy, store_url), connections=2).open()
    cut = threading.Timer(0.5, proxy.mute)
    try:
        cut.start()
        with pytest.raises(errors.StoreUnavailable, match="no answer within"):
            _one(store, "SELECT 1 FROM pg_sleep(1.5)")
        with store.connection() as connection:
            connection.execute("CREATE TEMPORARY TABLE t (x text)")
            threading.Timer(0.2, proxy.mute).start()
            with pytest.raises(psycopg.OperationalError):
                _copy_for_a_second(connection)
        assert _one(store) == 1
    finally:
        store.close()


def _copy_for_a_second(connection: psycopg.Connection[Any]) -> None:
    with connection.cursor().copy("COPY t FROM STDIN") as copy:
        for _ in range(
            1_000
        ):  # a proxy that swallows all acknowledges all: the end is not answered
            copy.write(b"x" * 8_000 + b"\n")
            time.sleep(0.001)


def test_what_a_connection_held_when_it_went_mute_is_free_before_long(
    proxy: Proxy, store_url: str
) -> None:
    """The server sees a client that says nothing, and lets its locks go."""
    with psycopg.connect(store_url) as other:
        other.execute("INSERT INTO store.setting VALUES ('held', 'one')")
        other.commit()
        store = Store(_through(proxy, store_url), connections=1).open()
        holding = ExitStack()
        try:
            connection = holding.enter_context(store.transaction())
            connection.execute("UPDATE store.setting SET value = 'two' WHERE name = 'held'")
            proxy.mute()
            began = time.monotonic()
            other.execute("SET lock_timeout = '40s'")
            other.execute("UPDATE store.setting SET value = 'three' WHERE name = 'held'")
            assert time.monotonic() - began > 5, "it was held"
            with pytest.raises(errors.StoreUnavailable):
                holding.close()
        finally:
            store.close()


def test_a_connection_in_use_is_not_asked_before_each_statement(store_url: str) -> None:
    store = Store(store_url, connections=1).open()
    try:
        pid = _one(store, "SELECT pg_backend_pid()")
        with psycopg.connect(store_url, autocommit=True) as other:
            for _ in range(20):
                _one(store, "SELECT 2")
                last = other.execute(
                    "SELECT query FROM pg_stat_activity WHERE pid = %s", (pid,)
                ).fetchone()
                assert last == ("SELECT 2",)
        assert _one(store, "SELECT pg_backend_pid()") == pid
    finally:
        store.close()


def test_a_daemon_outlives_a_half_open_store_and_ends_in_time(
    proxy: Proxy, tmp_path: Path, store_url: str, stand_in: Path
) -> None:
    legacy = Helpdesk(tmp_path / "legacy.sqlite", 60)
    site = Site(tmp_path, store_url, legacy.odbc, stand_in).write()
    site.insights("migrate")
    daemon = site.start(INSIGHTS_STORE__URL=_through(proxy, store_url))
    try:
        _until(lambda: site.query("SELECT count(*) > 3 FROM store.insight"))
        proxy.mute()
        legacy.add(range(61, 81))
        _until(lambda: site.query("SELECT count(*) = 80 FROM store.insight"))
    except AssertionError as exc:
        daemon.kill()
        exc.add_note(daemon.communicate()[1])
        raise
    assert daemon.poll() is None
    began = time.monotonic()
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, log
    assert time.monotonic() - began < 10
    site.run_once()
    site.assert_exactly_once(legacy.keys())


def _until(holds: Callable[[], list[tuple[bool]]], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds()[0][0]:
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)
