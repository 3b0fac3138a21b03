"""What of a first load waits as pages becomes work: each row once, as if it had been queued."""

import threading
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from insights.model import Claim, Lease, Page, Recorded, Share
from insights.store import migrate
from insights.store.counts import Counts
from insights.store.deployments import Deployments
from insights.store.forgetting import Forgetting
from insights.store.insights import InsightStore
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.queries import load
from insights.store.rollout import Rollout, Step
from insights.store.work import WorkQueue
from tests.claiming import finished
from tests.site import Site

PAGE = 4
PENDING = "SELECT pending, rows_known, skipped FROM insights.completeness WHERE pipeline = 'p'"


class Loading:
    """A stream `s` of which pages of four rows are loaded, and the pipeline `p` that follows it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.version = self.add("0")
        self.ledger = Ledger(store, "s", holder="test")
        self.stream_id = self.ledger.state().stream_id
        lease = Leases(store, "test", ttl_s=600).take("s")
        assert lease is not None
        self.lease: Lease = lease

    def add(self, digit: str, *, shadow: bool = False) -> int:
        return (
            Deployments(self.store, "test")
            .register(
                "p", digit * 64, {}, stream="s", columns=("a",),
                stage="shadow" if shadow else "full",
            )
            .version_id
        )  # fmt: skip

    def record(self, *keys: int, text: str = "") -> Recorded:
        lines = (f"{key}\t{_hash(f'{text}{key}')}\t1\n" for key in keys)
        page = Page(len(keys), "".join(lines).encode(), None, complete=True)
        return self.ledger.record(self.lease, self.stream_id, page, read_at=0.0)

    def load(self, pages: int, first: int = 0) -> None:
        self.ledger.follow(self.lease)
        for at in range(first, first + pages * PAGE, PAGE):
            assert self.record(*range(at, at + PAGE)).new == PAGE

    def queue(self, *versions: int, holder: str = "d") -> WorkQueue:
        return WorkQueue(self.store, holder, versions or [self.version], ttl_s=60, max_attempts=5)

    def claim(self, rows: int, version: int | None = None, holder: str = "d") -> list[Claim]:
        version = version or self.version
        queue = self.queue(version, holder=holder)
        return queue.claim([Share(pipeline_version_id=version, rows=rows)])

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with self.store.connection() as connection:
            return [tuple(row) for row in connection.execute(statement).fetchall()]


def _hash(text: str) -> str:
    return text.encode().hex().ljust(32, "0")


def _keys(claims: list[Claim]) -> list[str]:
    return [claim.row_key for claim in claims]


@pytest.fixture
def loading(store_url: str) -> Iterator[Loading]:
    store = Store(store_url).open()
    yield Loading(store)
    store.close()


def test_a_page_that_waits_counts_as_its_rows_would(loading: Loading) -> None:
    loading.load(4)
    assert loading.query("SELECT count(*) FROM store.work") == [(PAGE,)]
    queue = loading.queue()
    for open_rows in (16, 13):
        assert loading.query(PENDING) == [(16, 16, 0)]  # what is claimed is not done
        assert Counts(loading.store, rows=5).count(16, lambda: True)
        assert loading.query(PENDING.replace("completeness", "completeness_counted")) == [
            (16, 16, 0)
        ]
        assert queue.outstanding().all_open == 16
        (backlog,) = loading.query(load("streams")["backlog"])
        assert backlog[2] == open_rows
        assert backlog[3] is not None
        (live,) = loading.query(load("deployments")["live"].replace("%%", "%"))
        assert open_rows in live
        assert Deployments(loading.store).to_backfill("p").rows == 0
        assert Deployments(loading.store).backfill("p") == 0
        loading.claim(3)


def test_claims_make_rows_of_pages_in_their_order_and_each_once(loading: Loading) -> None:
    loading.load(4)
    taken = [claim for _ in range(5) for claim in loading.claim(3)]
    assert [int(key) for key in _keys(taken)] == list(range(15))
    assert len({claim.work_id for claim in taken}) == 15
    assert _keys(loading.claim(9)) == ["15"]
    assert loading.claim(9) == []
    assert loading.query(
        "SELECT count(*), count(DISTINCT row_id) AS rows, bool_and(w.input_hash = l.input_hash)"
        " FROM store.work w JOIN store.ledger l USING (row_id)"
    ) == [(16, 16, True)]
    assert loading.query("SELECT * FROM store.work_page") == []


def test_what_comes_of_a_row_before_its_page_is_queued_stands(loading: Loading) -> None:
    loading.load(3)
    assert loading.record(4, 5, text="new").changed == 2
    (row,) = [claim for claim in loading.claim(6) if claim.row_key == "4"]
    InsightStore(loading.store, "d").write([finished(row)])
    loading.query("UPDATE store.ledger SET gone_at = now() WHERE row_key = '6' RETURNING 1")
    while loading.claim(9):
        pass
    found = loading.query(
        "SELECT row_key, w.state, w.input_hash = l.input_hash FROM store.ledger l"
        " LEFT JOIN store.work w USING (row_id) WHERE row_id > 4 ORDER BY row_id"
    )
    assert found == [
        ("4", "done", True), ("5", "claimed", True), ("6", None, None), ("7", "claimed", True),
        *((str(key), "claimed", True) for key in range(8, 12)),
    ]  # fmt: skip


def test_a_row_that_was_forgotten_is_in_no_page(loading: Loading) -> None:
    loading.load(2)
    Forgetting(loading.store).forget("s", "5", ())
    assert _keys(loading.claim(9)) == ["0", "1", "2", "3", "4", "6", "7"]


def test_a_page_is_the_work_of_the_versions_that_found_it(loading: Loading) -> None:
    loading.load(1)
    shadow = loading.add("1", shadow=True)
    loading.load(2, PAGE)
    late = loading.add("2", shadow=True)
    claims = {version: loading.claim(99, version) for version in (loading.version, shadow, late)}
    assert [len(found) for found in claims.values()] == [12, 8, 0]


def test_what_waits_for_a_retired_version_is_done_by_the_live_one(loading: Loading) -> None:
    loading.load(3)
    live = loading.add("1")
    assert loading.query(PENDING) == [(12, 12, 0)]
    queue = loading.queue(live)
    queue.expire()  # as by the clock
    assert queue.outstanding().all_open == 12
    assert sorted(map(int, _keys(loading.claim(99, live)))) == list(range(12))
    assert loading.claim(99) == []


def test_a_share_is_that_of_the_time_when_a_page_was_found(loading: Loading) -> None:
    loading.load(1)
    canary = loading.add("1", shadow=True)
    Rollout(loading.store, "insights promote", "anna").change(canary, Step("canary", share=0.5))
    loading.load(20, PAGE)
    keys = {
        str(row[0])
        for row in loading.query(
            "SELECT row_key FROM store.ledger WHERE row_id > 4 AND store.covers(0, 0.5, row_key)"
        )
    }
    assert 10 < len(keys) < 70
    (counted,) = loading.query("SELECT sum(rows) FROM store.work_page WHERE share = 0.5")
    loading.query("UPDATE store.deployment SET share = 0.1 WHERE stage = 'canary' RETURNING 1")
    found: set[str] = set()
    while claims := loading.claim(99, canary):
        found |= set(_keys(claims))
    assert (found, counted) == (keys, (len(keys),))


def test_rows_found_later_keep_no_page_waiting(loading: Loading) -> None:
    loading.load(6)
    taken: list[str] = []
    queue = loading.queue()
    for at in range(100, 120):  # as many come in as are done
        loading.record(at, at + 100)
        claims = queue.claim([Share(pipeline_version_id=loading.version, rows=2)])
        taken += _keys(claims)
    assert len(taken) == 40
    assert {str(key) for key in range(12)} <= set(taken)


def test_nothing_of_a_paused_stream_is_queued(loading: Loading) -> None:
    loading.load(2)
    loading.query("UPDATE store.stream SET paused = true RETURNING 1")
    assert loading.claim(99) == []
    assert loading.query("SELECT count(*) FROM store.work_page") == [(1,)]


def test_claimants_side_by_side_share_the_pages(loading: Loading) -> None:
    loading.load(12)
    taken: list[str] = []

    def claim(number: int) -> None:
        queue = loading.queue(holder=f"d{number}")
        while claims := queue.claim([Share(pipeline_version_id=loading.version, rows=3)]):
            taken.extend(_keys(claims))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    while claims := loading.claim(9):  # what was in another's transaction meanwhile
        taken += _keys(claims)
    assert Counter(taken) == Counter(map(str, range(48)))


def test_a_page_becomes_work_before_or_after_another_is_recorded(
    loading: Loading, store_url: str
) -> None:
    """Else a row could change between the look at its hash and the work that is made of it."""
    loading.load(2)
    assert len(loading.claim(4)) == 4
    with psycopg.connect(store_url) as poller:
        poller.execute("SELECT FROM store.stream FOR SHARE")  # as a page that is being recorded
        poller.execute(
            "UPDATE store.ledger SET input_hash = %s WHERE row_key = '5'", (_hash("new"),)
        )
        poller.execute(
            "INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id)"
            " SELECT row_id, stream_id, input_hash, 1 FROM store.ledger WHERE row_key = '5'"
        )
        claiming = threading.Thread(target=loading.claim, args=(9,))
        claiming.start()
        claiming.join(0.5)
        assert claiming.is_alive()
        poller.commit()
        claiming.join(20)
    assert loading.query(
        "SELECT count(*) FROM store.work w JOIN store.ledger USING (row_id) WHERE row_key = '5'"
    ) == [(1,)]


def test_a_daemon_that_knows_no_pages_is_given_them_where_nothing_waits(loading: Loading) -> None:
    loading.load(3)
    deployments = Deployments(loading.store)
    pages = "SELECT count(*) FROM store.work_page"
    waiting = "SELECT count(*) FROM store.work WHERE state = 'pending'"
    deployments.raise_shares()
    assert loading.query(pages) == [(2,)]
    for left in (1, 0):
        loading.query("UPDATE store.work SET state = 'done' WHERE state = 'pending' RETURNING 1")
        deployments.raise_shares()
        assert (loading.query(pages), loading.query(waiting)) == ([(left,)], [(PAGE,)])


def test_going_down_leaves_rows_and_no_page(loading: Loading, store_url: str) -> None:
    loading.load(3)
    loading.query("UPDATE store.ledger SET gone_at = now() WHERE row_key = '6' RETURNING 1")
    migrate.downgrade(store_url, "0034")
    with psycopg.connect(store_url) as link:
        found = link.execute(
            "SELECT count(*), count(DISTINCT row_id), bool_and(w.input_hash = l.input_hash)"
            " FROM store.work w JOIN store.ledger l USING (row_id)"
        ).fetchall()
    assert found == [(11, 11, True)]


@pytest.mark.faults
def test_a_kill_before_a_page_is_work_loses_and_doubles_nothing(site: Site) -> None:
    site.stream += "\nrows_per_second = 8"  # and so many rows in a page
    site.write()
    assert site.killed("before-pages-commit")
    site.killed("before-pages-commit:2")
    site.run_once()
    assert site.query("SELECT count(*) FROM store.work_page") == [(0,)]
    site.assert_exactly_once({str(key) for key in range(1, 41)})
