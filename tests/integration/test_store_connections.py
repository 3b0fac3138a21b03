"""The store's connections: a broken one costs one call, and an outage says what is out."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from urllib.parse import urlsplit

import psycopg
import pytest

from insights import errors
from insights.store import bounded, postgres, queries
from insights.store.postgres import Store
from tests.servers import free_port
from tests.servers.proxy import Proxy

QUIET_S = 1.5  # long enough for a busy machine to answer
ONE = "SELECT 1 AS one"


@pytest.fixture
def proxy(store_url: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(store_url).port or 0) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: Proxy, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store behind a proxy, with eight connections open."""
    monkeypatch.setattr(bounded, "QUIET_S", QUIET_S)
    port = urlsplit(store_url).port
    store = Store(store_url.replace(f":{port}/", f":{proxy.port}/"), connections=8).open()
    with ExitStack() as stack:
        for link in [stack.enter_context(store.connection()) for _ in range(8)]:
            link.execute(ONE)
    yield store
    store.close()


def _works(store: Store) -> None:
    """All of its connections answer, and at once."""
    began = time.monotonic()
    with ExitStack() as stack:
        for link in [stack.enter_context(store.connection()) for _ in range(8)]:
            assert link.execute(ONE).fetchone() == (1,)
    assert time.monotonic() - began < QUIET_S


def test_one_connection_that_fell_silent_costs_one_call_and_all_are_replaced(
    store: Store, proxy: Proxy
) -> None:
    proxy.mute()
    with pytest.raises(errors.StoreUnavailable) as caught, store.connection() as link:
        link.execute(queries.load("work")["outstanding"])
    assert f"the store at 127.0.0.1:{proxy.port}/" in caught.value.what
    assert "to work.outstanding; connection closed" in caught.value.what
    _works(store)


@pytest.mark.parametrize("last", [ONE, ""])
def test_silence_inside_a_transaction_or_at_its_commit_ends_it(
    store: Store, proxy: Proxy, last: str
) -> None:
    def hang() -> None:
        with store.transaction() as link:
            link.execute(ONE)
            proxy.mute()
            if last:
                link.execute(last)

    with pytest.raises(errors.StoreUnavailable, match="no answer within"):
        hang()
    _works(store)


def test_a_store_that_was_restarted_fails_one_call_and_no_other(
    store: Store, store_url: str
) -> None:
    with psycopg.connect(store_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with pytest.raises(errors.StoreUnavailable), store.connection() as link:
        link.execute(ONE)
    _works(store)


def test_a_statement_that_the_server_works_on_may_take_long(store: Store) -> None:
    with store.connection() as link:
        link.execute(f"SELECT pg_sleep({QUIET_S * 1.5})")


def test_a_connection_that_was_long_idle_is_tried_first(
    store: Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_IDLE_S", 0.0)
    proxy.mute()
    began = time.monotonic()
    with store.connection() as link:  # nobody sees the silent one
        assert link.execute(ONE).fetchone() == (1,)
    assert time.monotonic() - began < 10


def test_an_outage_names_the_server_and_no_secret() -> None:
    nowhere = f"127.0.0.1:{free_port()}/store"
    with pytest.raises(errors.StoreUnavailable, match=nowhere) as caught:
        postgres.reach(f"postgresql://daemon:a-secret@{nowhere}")
    assert "a-secret" not in str(caught.value)


def test_a_refusal_is_no_outage_that_waiting_would_end(store_url: str) -> None:
    parts = urlsplit(store_url)
    for wrong in (
        store_url.replace(f":{parts.password}@", ":wrong@"),
        store_url.replace(parts.path, "/nowhere"),
    ):
        with pytest.raises(errors.StoreError) as caught:
            postgres.reach(wrong)
        assert caught.value.where == "store.url"


def test_after_an_outage_of_any_length_it_is_asked_again_within_seconds(
    store: Store, proxy: Proxy
) -> None:
    """The pauses between attempts doubled: half an outage's length was waited once it was over."""
    port = proxy.port
    proxy.close()
    attempts: list[float] = []
    with socket.create_server(("127.0.0.1", port)) as gone:
        gone.settimeout(0.2)
        until = time.monotonic() + 33.0
        asking = threading.Thread(target=_ask, args=(store, until))
        asking.start()
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                gone.accept()[0].close()
                attempts.append(time.monotonic())
        asking.join()
    pauses = [after - before for before, after in pairwise([*attempts, until])]
    assert len(attempts) > 5
    assert max(pauses) < 9.0, pauses[-5:]


def _ask(store: Store, until: float) -> None:
    while time.monotonic() < until:
        with contextlib.suppress(errors.StoreUnavailable), store.connection() as link:
            link.execute(ONE)
