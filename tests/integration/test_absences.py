"""A quiet source after rows vanished: what cannot be confirmed is not looked for again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from insights.store.postgres import Store
from tests.integration.test_polling import Site, opened
from tests.legacy import open_legacy, reading


@pytest.fixture(params=["sqlite", "mariadb", "postgres"])
def site(request: pytest.FixtureRequest, store_url: str, tmp_path: Path) -> Iterator[Site]:
    """A table, and a daemon on its replica."""
    legacy = open_legacy(request.param, request, tmp_path)
    opened(legacy)
    store = Store(store_url).open()
    with reading(legacy.odbc) as source:
        yield Site(legacy, store, source)
    store.close()


def test_absences_are_looked_at_again_when_the_replica_has_moved_on(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(10))
    site.insert(2, site.ago(10))
    site.poll()
    site.sweep()
    site.legacy.execute("DELETE FROM ticket WHERE id = 1")
    assert not site.sweeper.unconfirmed(at_once=True)
    site.sweep()
    for _ in range(3):  # nothing moves: a further sweep could confirm nothing
        site.poller.run_once()
        assert not site.sweeper.due()
        assert not site.sweeper.unconfirmed(at_once=True)
    site.move_on()
    site.poller.run_once()
    assert site.sweeper.unconfirmed(at_once=True)
    result = site.sweeper.run_once()
    assert result is not None
    assert (result.deleted, result.unconfirmed) == (1, 0)
    assert not site.sweeper.unconfirmed(at_once=True)
