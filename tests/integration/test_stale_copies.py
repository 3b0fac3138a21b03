"""An older copy of a file that was read is believed by nobody."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from insights.store.postgres import Store
from insights.store.work import WorkQueue
from tests.integration.test_polling import Site, opened
from tests.legacy import SqliteLegacy, reading


class Shipped(Site):
    """A copied file, and a daemon's poller and sweeper on it."""

    legacy: SqliteLegacy


@pytest.fixture
def site(store_url: str, tmp_path: Path, sqlite_odbc: Callable[[Path], str]) -> Iterator[Shipped]:
    legacy = SqliteLegacy(tmp_path, sqlite_odbc)
    opened(legacy)
    store = Store(store_url).open()
    with reading(legacy.odbc) as source:
        yield Shipped(legacy, store, source)
    store.close()
    legacy.close()


def test_a_stale_copy_is_neither_polled_nor_swept(site: Shipped) -> None:
    site.follow()
    site.insert(1, site.ago(10), "old")
    site.poll()
    site.legacy.execute("UPDATE ticket SET body = 'new'")
    site.sweep()
    site.poll()
    newest = site.one("SELECT input_hash FROM store.ledger")
    site.legacy.rewind()
    assert site.poller.run_once().outcome == "skipped"
    assert site.sweeper.run_once() is None
    assert site.one("SELECT input_hash FROM store.ledger") == newest
    site.legacy.sync()
    assert site.sweeper.run_once() is not None


def test_a_pass_that_was_cut_off_does_not_go_on_with_an_older_copy(
    site: Shipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mark stands for rows that the older copy does not have: it would pass them over."""
    site.follow(cursor="id")
    site.poll()
    for key in range(1, 7):
        site.insert(key, None)
    site.legacy.sync()
    with monkeypatch.context() as patch:
        patch.setattr(site.ledger, "record", lambda *_, **__: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            site.poller.run_once()
    site.follow(cursor="id")
    site.legacy.rewind()
    assert site.poller.run_once().outcome == "skipped"
    assert site.sweeper.run_once() is None
    work = WorkQueue(site.store, "daemon", [site.version], ttl_s=60, max_attempts=5)
    assert site.source.is_behind(*work.recorded(site.spec.name))  # nor are claims read from it
    assert site.poll(3) == 6
