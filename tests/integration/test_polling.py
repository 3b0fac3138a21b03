"""What polls and sweeps learn by themselves: late rows, missing identities, lateness."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from insights import errors
from insights.model import Bookmark, Horizon, Page, Row, Share, StreamSpec
from insights.polling.courtesy import Courtesy
from insights.polling.jobs import StreamJob
from insights.polling.poller import Poller
from insights.polling.sweeper import Sweeper
from insights.sources.client import SourceClient
from insights.store.deployments import Deployments
from insights.store.leases import Leases
from insights.store.ledger import Ledger
from insights.store.postgres import Store
from insights.store.reports import Reports
from insights.store.work import WorkQueue
from tests.legacy import Legacy, PostgresLegacy, open_legacy, reading, stream
from tests.servers import PostgresPair

NAME = "tickets"


class Site:
    """A table, and a daemon's poller and sweeper on its replica."""

    def __init__(self, legacy: Legacy, store: Store, source: SourceClient) -> None:
        self.legacy, self.store, self.source = legacy, store, source
        self.calls: Counter[str] = Counter()
        call = source._worker.call

        def counted(method: str, request: Any, reply: Any, *, deadline_s: float) -> Any:  # noqa: ANN401
            if method != "is_behind" or request.now is None:
                self.calls[method] += 1  # what asks the database
            return call(method, request, reply, deadline_s=deadline_s)

        source._worker.call = counted  # type: ignore[method-assign]

    def follow(self, **changes: Any) -> None:  # noqa: ANN401
        """Start a daemon, as if anew."""
        settings: dict[str, Any] = {"inputs": ("body",), "cursor": "updated_at", "overlap_s": 0.0}
        self.spec: StreamSpec = stream(**{**settings, **changes})
        registered = Deployments(self.store).register(
            "echo",
            "0" * 64,
            {},
            stream=NAME,
            columns=self.spec.inputs,
            overlap_s=self.spec.overlap_s,
        )
        self.version = registered.version_id
        self.leases = Leases(self.store, "daemon", ttl_s=60)
        self.ledger = Ledger(self.store, NAME, holder="daemon")
        self.stream_id = self.ledger.state().stream_id
        parts = (self.spec, self.source, self.ledger, self.leases, Courtesy())
        self.poller, self.sweeper = Poller(*parts), Sweeper(*parts, 3600)

    def move_on(self) -> None:
        """Let the replica's position move without a row of the table."""
        self.legacy.execute("INSERT INTO heartbeat (beat) VALUES (1)")
        self.legacy.sync()

    def poll(self, times: int = 1) -> int:
        """Poll, the position having moved each time; return how many rows were new."""
        new = 0
        for _ in range(times):
            self.move_on()
            new += self.poller.run_once().new
        return new

    def sweep(self) -> int:
        """Sweep; return how many rows it had to rescue."""
        self.move_on()
        result = self.sweeper.run_once()
        assert result is not None
        return result.rescued

    def insert(self, key: int, stamp: str | None, body: str = "text") -> None:
        self.legacy.execute("INSERT INTO ticket VALUES (?, ?, ?)", key, f"{body} {key}", stamp)

    def ago(self, seconds: float) -> str:
        """Return the cursor of a row stamped so long ago."""
        moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
        return moment.strftime("%Y-%m-%d %H:%M:%S.%f")

    def one(self, query: str) -> Any:  # noqa: ANN401
        with self.store.connection() as connection:
            return connection.execute(query).fetchone()

    @property
    def completeness(self) -> dict[str, Any]:
        return msgspec.structs.asdict(Reports(self.store).streams()[0])


def opened(legacy: Legacy) -> None:
    legacy.execute(
        "CREATE TABLE ticket (id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(40),"
        f" updated_at {legacy.timestamp} NULL)"
    )
    legacy.execute("CREATE INDEX ticket_updated ON ticket (updated_at, id)")
    legacy.execute("CREATE TABLE heartbeat (beat INTEGER)")
    legacy.sync()


@pytest.fixture(params=["sqlite", "mariadb", "postgres"])
def site(request: pytest.FixtureRequest, store_url: str, tmp_path: Path) -> Iterator[Site]:
    legacy = open_legacy(request.param, request, tmp_path)
    opened(legacy)
    store = Store(store_url).open()
    with reading(legacy.odbc) as source:
        yield Site(legacy, store, source)
    store.close()


def test_a_crash_right_after_another_replica_was_noticed(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(5))
    assert site.poll() == 1
    site.one("UPDATE store.stream SET identity = 'the old one' RETURNING 1")
    site.insert(2, site.ago(4))
    site.legacy.sync()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.ledger, "begin_pass", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            site.poller.run_once()
    site.follow()
    assert site.poller.run_once().new == 1  # at the position that was seen before the crash


def test_a_lagging_replica_is_not_noted_as_read(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(5))
    assert site.poll() == 1
    site.insert(2, site.ago(4))
    site.legacy.sync()
    now = site.source.fingerprint()
    with pytest.MonkeyPatch.context() as patch:
        late = msgspec.structs.replace(now, lag_s=900.0, identity="another")
        patch.setattr(site.source, "fingerprint", lambda: late)
        assert site.poller.run_once().outcome == "skipped"
    assert site.one("SELECT identity, epoch FROM store.stream") == (now.identity, 1)
    assert site.poller.run_once().new == 1  # at the position that it lagged at


def test_missing_identities_are_probed_until_they_come(site: Site) -> None:
    site.follow(cursor="id")
    for key in (1, 2, 3):
        site.insert(key, None)
    assert site.poll(3) == 3
    for key in (10, 2_000_000):
        site.insert(key, None)
    assert site.poll(3) == 2
    gaps = site.ledger.state().gaps
    assert [(gap.low, gap.high) for gap in gaps] == [("10", "2000000"), ("3", "10")]
    assert site.completeness["open_gaps"] == 2
    for key in (7, 500):  # below the watermark by far
        site.insert(key, None)
    assert site.poll() == 2
    assert site.poll() == 0
    left = {(gap.low, gap.high) for gap in site.ledger.state().gaps}
    assert left == {("3", "7"), ("7", "10"), ("10", "500"), ("500", "2000000")}
    assert site.sweep() == 0
    site.follow(cursor="id", longest_s=0.0)  # older than any transaction
    site.poll()
    assert site.ledger.state().gaps == ()
    site.calls.clear()
    site.poll()
    assert site.calls == {"fingerprint": 1, "window": 1}  # nothing found: two questions


def test_gaps_are_bounded(site: Site) -> None:
    site.follow(cursor="id")
    site.insert(0, None)
    site.poll(3)
    site.legacy.execute(
        "INSERT INTO ticket (id, body) WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 2"
        " FROM n WHERE i < 900) SELECT i, 'text' FROM n"
    )
    assert site.poll(3) == 450
    gaps = site.ledger.state().gaps
    assert len(gaps) == 200
    assert (gaps[0].low, gaps[0].high) == ("898", "900")  # the latest are the likeliest to come
    site.insert(899, None)
    assert site.poll() == 1


def test_rows_that_come_late_widen_the_overlap(site: Site) -> None:
    site.follow(longest_s=100.0)
    site.insert(1, site.ago(200))
    site.insert(2, site.ago(1))
    site.sweep()
    assert site.poll(3) == 0
    assert site.ledger.state().overlap_s == 0.0
    site.insert(3, site.ago(30))
    site.legacy.sync()
    assert site.sweep() == 1
    widened = site.ledger.state().overlap_s
    assert 25 < widened < 40  # it came 30 s late, the sweep before having just passed
    audit = site.one("SELECT details FROM store.audit_event WHERE action = 'overlap widened'")
    assert audit.details == {"overlap_s": widened, "rows": 1}

    site.follow(longest_s=100.0)  # a restart forgets nothing
    assert site.completeness["overlap_s"] == widened
    site.insert(4, "2020-01-01 00:00:00")  # backdated: no overlap would catch it
    assert site.sweep() == 1
    assert site.ledger.state().overlap_s == widened
    for key in (5, 6, 7):
        site.insert(key, site.ago(60 + key))
        assert site.sweep() == 1
    assert site.ledger.state().overlap_s == 100.0  # doubled, and bounded
    assert site.completeness["missed_rows"] == 5


def test_rows_that_the_next_poll_finds_are_not_missed(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(10))
    site.sweep()
    site.poll(3)
    site.insert(2, site.ago(1))
    site.insert(3, None)
    assert site.sweep() == 1  # the one without a cursor, which polls do not see
    assert site.ledger.state().overlap_s == 0.0


def test_lateness_is_counted_in_sql(site: Site) -> None:
    site.follow()
    site.ledger.state()
    site.ledger.late(site.stream_id, [1.0] * 98 + [64.0, 64.0])
    found = site.completeness
    assert (found["lateness_p50_s"], found["lateness_p99_s"]) == (1.0, 64.0)  # 98 %, then 100 %
    assert site.one("SELECT rows FROM insights.lateness").rows == 100
    site.one("UPDATE store.lateness SET day = current_date - 40 RETURNING 1")
    assert site.completeness["lateness_p50_s"] is None

    site.insert(1, site.ago(100))
    site.poll(3)  # a first load is no lateness
    assert site.completeness["lateness_p50_s"] is None
    site.insert(2, site.ago(9.6))
    assert site.poll() == 1
    assert site.completeness["lateness_p50_s"] == pytest.approx(2 ** (14 / 4))  # 9.5 to 11.3 s


def test_null_cursors_are_polled_where_that_is_allowed(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(10))
    site.insert(2, None)
    assert site.poll(3) == 1
    site.follow(poll_null_cursors=True)
    assert site.poll() == 1
    assert site.poll() == 0


def test_completeness_tells_how_far_sweeps_and_polls_are(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(10))
    before = site.one("SELECT clock_timestamp() AS now").now
    site.poll()
    found = site.completeness
    assert before <= found["complete_through"] <= found["last_poll_at"]
    assert found["swept_through"] is None
    assert found["epoch_changes"] == 0
    site.sweep()
    found = site.completeness
    assert before < found["swept_through"] <= found["last_sweep_at"]
    site.one("UPDATE store.stream SET identity = 'another' RETURNING 1")
    site.poll()
    assert site.completeness["epoch_changes"] == 1


def test_a_page_older_than_a_moved_claim_is_read_again(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(10))
    site.poll()
    work = WorkQueue(site.store, "daemon", [site.version], ttl_s=60, max_attempts=5)
    (claim,) = work.claim([Share(site.version, 1)])
    old = site.ledger.state().now
    newer = uuid.uuid4()
    row = Row(key="1", input_hash=newer.bytes, cursor=None, values={})
    assert len(work.move([(claim, row)])) == 1
    lease = site.leases.take(f"stream {NAME}")
    assert lease is not None
    page = Page(
        rows=1, block=f"1\t{uuid.uuid4()}\t\\N\n".encode(), last=Bookmark(key=("1",)), complete=True
    )
    recorded = site.ledger.record(lease, site.stream_id, page, read_at=old)
    assert (recorded.outdated, recorded.changed) == (1, 0)
    assert site.one("SELECT input_hash FROM store.ledger").input_hash == newer
    recorded = site.ledger.record(lease, site.stream_id, page, read_at=recorded.at)
    assert (recorded.outdated, recorded.changed) == (0, 1)


def test_a_pass_is_judged_by_what_it_could_see(site: Site) -> None:
    """A crash in a pass, and a replica that has caught up since: the pass saw no further."""
    site.follow(overlap_s=60.0)
    site.insert(1, site.ago(100))
    site.poll()
    lease = site.leases.take(f"stream {NAME}")
    assert lease is not None
    now = site.ledger.state().now
    # The mark is 70 s old, but the replica lagged by 50 s when the pass began that was cut off.
    site.ledger.begin_pass(lease, site.stream_id, Horizon(applied_s=now - 50), None, None)
    with site.store.connection() as connection:
        connection.execute(
            "UPDATE store.stream SET"
            " passes = jsonb_set(passes, '{0,0}', to_jsonb(extract(epoch FROM now()) - 70))"
        )
    site.poll()
    assert site.ledger.state().watermark is None
    site.insert(2, site.ago(1))
    site.poll()
    assert site.ledger.state().watermark is not None


def test_a_long_transaction_on_the_primary_holds_the_watermark(
    postgres: PostgresPair, postgres_database: str, store_url: str
) -> None:
    legacy = PostgresLegacy(postgres, postgres_database)
    opened(legacy)
    store = Store(store_url).open()
    with (
        reading(legacy.odbc) as source,
        psycopg.connect(postgres.primary.url(postgres_database)) as writer,
    ):
        site = Site(legacy, store, source)
        site.follow()
        writer.execute("INSERT INTO ticket VALUES (1, 'late', %s)", (site.ago(5),))
        site.insert(2, site.ago(1))
        assert site.poll(4) == 1
        assert site.ledger.state().watermark is None
        writer.commit()
        legacy.sync()
        assert site.poll() == 1  # by a poll, whatever the overlap
        assert site.poll(2) == 0
        assert site.ledger.state().watermark is not None
    store.close()


def test_a_cursor_that_goes_backwards_is_found_by_the_sweep(site: Site) -> None:
    site.follow()
    site.insert(1, site.ago(10))
    site.insert(2, site.ago(5))
    site.sweep()
    site.poll(3)
    site.legacy.execute("UPDATE ticket SET body = 'new', updated_at = ? WHERE id = 2", site.ago(90))
    site.legacy.sync()
    assert site.poll() == 0
    assert site.sweep() == 1


def test_rows_that_share_a_cursor_are_read_at_doubling_intervals(site: Site) -> None:
    site.follow(overlap_s=3600.0, page_rows=100)
    site.legacy.execute(
        "INSERT INTO ticket (id, body, updated_at) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL"
        f" SELECT i + 1 FROM n WHERE i < 1000) SELECT i, 'text', '{site.ago(10)}' FROM n"
        if site.legacy.name != "postgres"
        else "INSERT INTO ticket SELECT i, 'text', TIMESTAMP '"
        f"{site.ago(10)}' FROM generate_series(1, 1000) i"
    )
    assert site.poll() == 1000
    site.calls.clear()
    site.poll(16)
    assert site.calls["window"] == 16
    assert site.calls["page"] == 5 * 10  # the 1st, 2nd, 4th, 8th and 16th poll of ten pages
    assert site.ledger.state().watermark is None


def test_a_text_can_be_a_cursor(site: Site) -> None:
    site.legacy.execute(
        "CREATE TABLE noted (id INTEGER NOT NULL PRIMARY KEY, body VARCHAR(40), mark VARCHAR(20))"
    )
    site.legacy.execute("CREATE INDEX noted_mark ON noted (mark, id)")
    site.follow(table="noted", cursor="mark")
    marks = ["", "10", "9", "Z", "a", "a'b\\", " x"]
    for key, mark in enumerate(marks):
        site.legacy.execute("INSERT INTO noted VALUES (?, 'text', ?)", key, mark)
    site.legacy.sync()
    site.sweep()
    site.poll(3)
    assert site.ledger.state().watermark is not None
    site.legacy.execute("INSERT INTO noted VALUES (100, 'text', 'zz')")
    site.legacy.execute("INSERT INTO noted VALUES (101, 'text', '0')")
    assert site.poll() == 1  # in the database's own order
    assert site.sweep() == 1
    assert site.completeness["lateness_p50_s"] is None  # no time


def test_times_in_mixed_zones_lose_no_row(store_url: str, tmp_path: Path, request: Any) -> None:  # noqa: ANN401
    legacy = open_legacy("sqlite", request, tmp_path)  # the one engine that takes them all as text
    opened(legacy)
    store = Store(store_url).open()
    with reading(legacy.odbc) as source:
        site = Site(legacy, store, source)
        site.follow()
        stamps = ["2026-01-01T10:00:00Z", "2026-01-01 12:00:00+02:00", "2026-01-01 09:00", "soon"]
        for key, stamp in enumerate(stamps):
            site.insert(key, stamp)
        site.legacy.sync()
        site.sweep()
        site.poll(3)
        assert site.ledger.state().watermark == stamps[0]  # as text; what is no time is no mark
        site.insert(9, "2026-01-01T11:00:00+05:00")
        assert site.poll() == 1
        site.insert(10, "2026-01-01 11:00:00+05:00")
        assert site.poll() == 0
        assert site.sweep() == 1
    store.close()


def test_a_job_that_fails_says_so_in_the_store_until_it_works(site: Site) -> None:
    site.follow()
    broken = [KeyError("unforeseen"), errors.SourceUnavailable("the replica is down")]

    def build(_: StreamSpec) -> tuple[Poller, Sweeper]:
        if broken:
            raise broken.pop(0)
        return site.poller, site.sweeper

    job = StreamJob(site.spec, site.ledger, site.leases, build, 5.0)
    with pytest.raises(KeyError):
        job.run_once()
    assert site.completeness["last_error"] == "internal error: KeyError, see the log"
    with pytest.raises(errors.SourceUnavailable):
        job.run_once()
    assert site.completeness["last_error"] == "the replica is down"
    job.run_once()
    assert site.completeness["last_error"] is None
