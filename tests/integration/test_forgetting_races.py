"""A row is forgotten while others are at it: whoever comes late writes nothing of it."""

import json
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from insights.governance.budget import Costs
from insights.ground import keys
from insights.model import Bookmark, Page, Share
from insights.store.forgetting import Forgetting
from insights.store.insights import InsightStore
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.trail import Trail
from insights.store.work import WorkQueue
from tests import claiming
from tests.forgetting import standing

KEY = "anna.personal"
HASHES = {KEY: "11111111-1111-1111-1111-111111111111", "7": "22222222-2222-2222-2222-222222222222"}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    claiming.fill(store_url, 4)
    with psycopg.connect(store_url) as link:
        link.execute("UPDATE store.ledger SET row_key = %s WHERE row_key = '1'", (KEY,))
        link.execute("UPDATE store.stream SET columns = '{body}'")
    opened = Store(store_url).open()
    yield opened
    opened.close()


def queue(store: Store) -> WorkQueue:
    return WorkQueue(store, "d", [1], ttl_s=60, max_attempts=5)


def over(store: Store) -> bool:
    forgetting = Forgetting(store)
    while forgetting.go_on():
        pass
    return standing(store._url, KEY) == []


def waits(act: Callable[[], object], meanwhile: psycopg.Connection[tuple[object, ...]]) -> None:
    """Run `act` while `meanwhile` holds what it holds, see that it waits, then commit that."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive()
    meanwhile.commit()
    thread.join(20)
    assert not thread.is_alive()


def test_a_claim_in_hand_writes_nothing(store: Store) -> None:
    claims = queue(store).claim([Share(pipeline_version_id=1, rows=4)])
    assert KEY in {claim.row_key for claim in claims}
    Forgetting(store).forget("s", KEY, [])
    written = InsightStore(store, "d", Costs({}, {}))
    assert written.write([claiming.finished(claim) for claim in claims]) == 3
    assert over(store)


def test_what_is_being_written_is_waited_for_and_goes(store: Store) -> None:
    """Another transaction has moved the claim to newer inputs: work that no snapshot shows yet."""
    queue(store).claim([Share(pipeline_version_id=1, rows=4)])
    with psycopg.connect(store._url) as daemon:
        daemon.execute(
            "INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id)"
            " VALUES (1, 1, gen_random_uuid(), 1)"
        )
        daemon.execute(
            "INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output)"
            " VALUES (1, 1, gen_random_uuid(), 'ok', %s)",
            (json.dumps({"a": KEY}),),
        )
        waits(lambda: Forgetting(store).forget("s", KEY, []), daemon)
    assert over(store)
    with store.connection() as link:
        assert link.execute("SELECT 1 FROM store.work WHERE row_id = 1").fetchall() == []


def page(*names: str, complete: bool = False) -> Page:
    block = "".join(f"{name}\t{HASHES[name]}\t1\n" for name in names).encode()
    last = Bookmark(key=(names[-1],), cursor="1")
    return Page(rows=len(names), block=block, last=last, complete=complete)


def test_a_page_that_is_being_recorded_is_waited_for_and_goes(store: Store) -> None:
    with psycopg.connect(store._url) as poller:
        poller.execute("SELECT generation FROM store.stream WHERE stream_id = 1 FOR SHARE")
        poller.execute("DELETE FROM store.ledger WHERE row_id = 1")  # as if it were a new row
        poller.execute("DELETE FROM store.work WHERE row_id = 1")
        poller.execute(
            "INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version)"
            " VALUES (1, %s, gen_random_uuid(), 1)",
            (KEY,),
        )
        waits(lambda: Forgetting(store).forget("s", KEY, []), poller)
    assert over(store)


def test_a_page_read_before_is_recorded_without_the_row(store: Store) -> None:
    lease = Leases(store, "d", ttl_s=60).take("stream s")
    assert lease is not None
    ledger = Ledger(store, "s", holder="d")
    ledger.follow(lease)
    with store.connection() as link:
        link.execute("UPDATE store.stream SET pass = '{}'")
    Forgetting(store).forget("s", KEY, [])
    # A page of new rows, then pages as they were: each of the short ways meets the row.
    for _ in range(3):
        ledger.record(lease, 1, page("7", KEY), read_at=0.0, want_ids=True)
        assert over(store)
    found = ledger.record(lease, 1, page(KEY, "7"), read_at=0.0, want_ids=True)
    assert (found.new, found.changed, len(found.row_ids)) == (0, 0, 1)
    assert ledger.state().bookmark == Bookmark(key=("7",), cursor="1")
    assert over(store)
    with store.connection() as link:
        assert link.execute("SELECT held_back FROM store.forgotten").fetchone() == (4,)


def test_a_sweep_keeps_no_bookmark_at_the_row(store: Store) -> None:
    lease = Leases(store, "d", ttl_s=60).take("stream s")
    assert lease is not None
    ledger = Ledger(store, "s", holder="d")
    sweep = ledger.open_sweep(lease, ledger.state())
    there = Bookmark(key=(KEY,))
    ledger.checkpoint(lease, sweep.sweep_id, {0: b"\1"}, there, rows=2, rescued=0)
    with store.connection() as link:
        link.execute(
            "UPDATE store.stream SET pass = jsonb_build_object('mark', NULL, 'bookmark',"
            " jsonb_build_object('key', jsonb_build_array(%s::text)))",
            (KEY,),
        )
    assert set(standing(store._url, KEY)) >= {"store.sweep", "store.stream"}
    Forgetting(store).forget("s", KEY, [])
    assert over(store)  # and a checkpoint of pages that were read before is none at the row
    ledger.checkpoint(lease, sweep.sweep_id, {0: b"\3"}, there, rows=1, rescued=0)
    assert over(store)
    again = ledger.open_sweep(lease, ledger.state())
    assert (again.sweep_id, again.bookmark, again.blocks[0]) == (sweep.sweep_id, None, b"\3")


def test_a_key_of_several_parts_is_found_in_bookmarks(store: Store) -> None:
    parts = ("anna", 'has "quotes", and commas')
    with store.connection() as link:
        link.execute("UPDATE store.ledger SET row_key = %s WHERE row_id = 2", (keys.join(parts),))
        link.execute(
            "UPDATE store.stream SET pass = jsonb_build_object('bookmark',"
            " jsonb_build_object('key', %s::text::jsonb))",
            (json.dumps(parts),),
        )
    Forgetting(store).forget("s", keys.join(parts), [])
    over(store)
    assert standing(store._url, "anna\\\\") == standing(store._url, "and commas") == []


def aged(store: Store) -> None:
    """Row 1 was deleted long ago, row 2 yesterday, row 3 is there; row 4 is long gone too."""
    with store.connection() as link:
        for row, days in ((1, 40), (2, 1), (4, 31)):
            link.execute(
                "UPDATE store.ledger SET gone_at = now() - make_interval(days => %s)"
                " WHERE row_id = %s",
                (days, row),
            )


def rows(store: Store) -> list[int]:
    with store.connection() as link:
        found = link.execute("SELECT row_id FROM store.ledger ORDER BY 1").fetchall()
    return [row.row_id for row in found]


def test_rows_that_were_deleted_long_ago_go_in_batches_and_may_come_back(store: Store) -> None:
    aged(store)
    forgetting = Forgetting(store)
    age_s = 30 * 86_400.0
    assert [forgetting.expire(age_s, 1, {}) for _ in range(3)] == [1, 1, 0]
    assert over(store)
    assert rows(store) == [2, 3]
    with store.connection() as link:
        assert link.execute("SELECT 1 FROM store.forgotten").fetchall() == []
        assert link.execute("SELECT 1 FROM store.work WHERE row_id IN (1, 4)").fetchall() == []
    lease = Leases(store, "d", ttl_s=60).take("stream s")
    assert lease is not None
    ledger = Ledger(store, "s", holder="d")
    ledger.follow(lease)
    assert ledger.record(lease, 1, page(KEY), read_at=0.0).new == 1
    assert Trail(store).verify().findings == []
