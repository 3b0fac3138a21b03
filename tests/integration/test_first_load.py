"""Pages that are all new, or all known, take a short way into the ledger; others find theirs."""

import signal
import time
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from insights import errors
from insights.model import Bookmark, Lease, Page, Recorded, Share
from insights.site import definitions, files
from insights.store.deployments import Deployments
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.work_pages import WorkPages
from tests import servers
from tests.site import Site


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = Store(store_url).open()
    with opened.connection() as connection:
        connection.execute("TRUNCATE store.stream, store.work, store.ledger, store.lease CASCADE")
    yield opened
    opened.close()


class Loading:
    """One stream's ledger, and the pages that are recorded in it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        registered = Deployments(store).register(
            "first load", "0" * 64, {}, stream="tickets", columns=("body",)
        )
        self.version = registered.version_id
        self.ledger = Ledger(store, "tickets", holder="test")
        self.stream_id = self.ledger.state().stream_id
        lease = Leases(store, "test", ttl_s=60).take("tickets")
        assert lease is not None
        self.lease: Lease = lease

    def record(self, *rows: tuple[str, str], want_ids: bool = False, sample: int = 0) -> Recorded:
        lines = [f"{key}\t{uuid.uuid5(uuid.NAMESPACE_URL, text)}\t1\n" for key, text in rows]
        page = Page(
            rows=len(rows),
            block="".join(lines).encode(),
            last=Bookmark(key=(rows[-1][0],)) if rows else None,
            complete=False,
        )
        return self.ledger.record(
            self.lease, self.stream_id, page, read_at=0.0, want_ids=want_ids, sample=sample
        )

    def found(self) -> list[tuple[str, str, str]]:
        """Return key, state and whether it is the row's present hash, of all work, once queued."""
        share = Share(pipeline_version_id=self.version, rows=1_000)
        while WorkPages(self._store, [self.version]).enqueue([share]):
            pass
        with self._store.connection() as connection:
            return [
                (row.row_key, row.state, "now" if row.present else "before")
                for row in connection.execute(
                    "SELECT l.row_key, w.state, w.input_hash = l.input_hash AS present"
                    " FROM store.ledger l LEFT JOIN store.work w USING (row_id) ORDER BY 1, 2"
                ).fetchall()
            ]


def test_a_page_among_new_ones_that_holds_known_rows_records_each_once(store: Store) -> None:
    loading = Loading(store)
    assert loading.record(("7", "seven"), ("a", "known")).new == 2
    assert loading.record(("b", "b"), ("c", "c")).new == 2
    mixed = loading.record(
        ("a", "changed"), ("b", "b"), ("d", "d"), ("7", "seven"), want_ids=True, sample=9
    )
    assert (mixed.new, mixed.changed, mixed.stamped) == (1, 1, ("d",))
    assert len(set(mixed.row_ids)) == 4
    assert loading.record(("e", "e"), ("b", "b")).new == 1
    assert loading.found() == [
        ("7", "pending", "now"),
        ("a", "pending", "now"),
        ("a", "superseded", "before"),
        ("b", "pending", "now"),
        ("c", "pending", "now"),
        ("d", "pending", "now"),
        ("e", "pending", "now"),
    ]


def test_new_pages_tell_ids_and_stamped_keys_as_others_do(store: Store) -> None:
    loading = Loading(store)
    for rows in ((("a", "a"), ("b", "b")), (("c", "c"), ("d", "d"))):
        found = loading.record(*rows, want_ids=True, sample=1)
        assert (found.new, found.changed, found.revived, found.outdated) == (2, 0, 0, 0)
        assert len(set(found.row_ids)) == 2
        assert found.stamped[0] in dict(rows)
        assert len(found.stamped) == 1


def test_a_page_of_nothing_behind_new_ones_records_nothing(store: Store) -> None:
    loading = Loading(store)
    loading.record(("a", "a"), ("b", "b"))
    found = loading.record(want_ids=True, sample=1)  # a table that is empty by now is swept
    assert (found.new, found.changed, found.row_ids, found.stamped) == (0, 0, (), ())


def test_what_records_a_page_tells_whether_its_stream_is_paused(store: Store) -> None:
    loading = Loading(store)
    told = [loading.record(("a", "a")).paused]
    with store.connection() as connection:
        connection.execute("UPDATE store.stream SET paused = true")
    told += [loading.record((key, key)).paused for key in "abc"]  # known, and new in both ways
    assert told == [False, True, True, True]


def test_a_known_row_in_a_new_page_is_no_line_in_the_log_of_the_server(
    store_server: servers.Postgres, store: Store
) -> None:
    loading, person = Loading(store), uuid.uuid4().hex  # other tests' words are in that log too
    loading.record((person, "a"))
    assert loading.record(("b", "b")).new == 1  # entered without a look-up, as the next is tried
    assert loading.record((person, "a"), ("c", "c")).new == 1
    with pytest.raises(psycopg.errors.DivisionByZero):
        store_server.execute("SELECT 1/0")
    told = store_server.log.read_text()
    assert "division by zero" in told
    assert person not in told


def test_a_key_that_is_there_twice_in_a_new_page_is_seen(store: Store) -> None:
    loading = Loading(store)
    assert loading.record(("a", "a"), ("b", "b")).new == 2
    assert loading.record(("c", "same"), ("c", "same"), ("d", "d")).new == 2
    assert loading.record(("e", "e"), ("f", "f")).new == 2
    with pytest.raises(errors.StreamError, match="twice"):
        loading.record(("g", "one"), ("g", "another"))
    assert [key for key, *_ in loading.found()] == ["a", "b", "c", "d", "e", "f"]


@pytest.fixture
def settled(store: Store) -> Loading:
    """Three rows that the last page found as they were."""
    loading = Loading(store)
    loading.record(("a", "a"), ("b", "b"), ("c", "c"))
    loading.record(("a", "a"), ("b", "b"), ("c", "c"))
    return loading


def test_pages_that_are_as_they_were_are_looked_up_and_no_more(
    settled: Loading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settled.ledger._sql, "record", "SELECT 1/0")
    found = settled.record(("a", "a"), ("c", "c"), want_ids=True, sample=9)
    assert (found.new, found.changed, found.revived, found.outdated) == (0, 0, 0, 0)
    assert len(set(found.row_ids)) == 2
    assert (found.stamped, found.at > 0) == ((), True)
    assert settled.record(("c", "c"), ("c", "c")).row_ids == ()


@pytest.mark.parametrize(
    ("before", "page", "told"),
    [
        ("SELECT 1", (("a", "other"), ("b", "b")), (0, 1, 0)),
        ("SELECT 1", (("b", "b"), ("d", "d")), (1, 0, 0)),
        ("UPDATE store.ledger SET gone_at = now()", (("a", "a"), ("b", "b")), (0, 2, 0)),
    ],
)
def test_a_page_that_is_not_as_it_was_is_looked_at_whole(
    store: Store, settled: Loading, before: str, page: tuple[tuple[str, str], ...],
    told: tuple[int, int, int],
) -> None:  # fmt: skip
    with store.connection() as connection:
        connection.execute(before)
    found = settled.record(*page, want_ids=True)
    assert (found.new, found.changed, found.revived) == told
    assert len(set(found.row_ids)) == 2


def test_a_missing_row_that_is_there_as_it_was_is_worked_on_again(
    store: Store, settled: Loading
) -> None:
    with store.connection() as connection:
        connection.execute("UPDATE store.work SET state = 'missing'")
    settled.record(("a", "a"), ("b", "b"))
    assert [(key, state) for key, state, _ in settled.found()] == [
        ("a", "pending"), ("b", "pending"), ("c", "missing"),
    ]  # fmt: skip


def test_a_key_that_is_there_twice_in_a_page_of_known_rows_is_seen(settled: Loading) -> None:
    with pytest.raises(errors.StreamError, match="twice"):
        settled.record(("a", "a"), ("a", "another"))


def test_each_page_prolongs_the_lease_and_a_lost_one_records_nothing(store: Store) -> None:
    loading = Loading(store)
    left = "SELECT expires_at - now() > interval '30 s' AS long FROM store.lease"
    with store.connection() as connection:
        connection.execute("UPDATE store.lease SET expires_at = now() - interval '1 s'")
        loading.record(("a", "a"))
        assert connection.execute(left).fetchone() == (True,)
        connection.execute("UPDATE store.lease SET expires_at = now() - interval '1 s'")
        other = Leases(store, "another", ttl_s=60)
        assert other.take("tickets") is not None
        with pytest.raises(errors.Fenced):
            loading.record(("b", "b"))
        assert [key for key, *_ in loading.found()] == ["a"]


def test_a_throttled_walk_leaves_off_when_the_daemon_stops(site: Site) -> None:
    site.stream += "\nrows_per_second = 2"
    site.write()
    with site.start("--roles", "poll") as daemon:
        try:
            until = time.monotonic() + 60
            while site.query("SELECT count(*) FROM store.ledger") == [(0,)]:
                assert time.monotonic() < until
                time.sleep(0.1)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(10) == 0
        finally:
            daemon.kill()
    assert site.query("SELECT count(*) < 40 FROM store.ledger") == [(True,)]


def test_a_page_is_no_longer_than_what_a_second_may_read(site: Site) -> None:
    site.stream += "\nrows_per_second = 16"
    site.write()
    stream = definitions.read(files.load(site.config), "triage").stream
    assert stream.page_rows == 16
    site.insights("run", "--once", "--roles", "poll")
    assert site.query("SELECT rows FROM store.sweep WHERE finished_at IS NOT NULL") == [(40,)]
    assert site.query("SELECT pending FROM insights.completeness") == [(40,)]
