"""Where rows stand is counted by a daemon, for whoever cannot wait for a count."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import psycopg
import pytest

from insights.store import reports
from insights.store.counts import Counts
from insights.store.leases import Leases
from insights.store.postgres import Store
from insights.store.reports import OUTCOMES, Reports
from insights.wiring.counting import Counting

# Two streams with rows, one without; one is followed by two pipelines, one by none.
FILL = """
INSERT INTO store.pipeline (name) VALUES ('p'), ('q');
INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
VALUES (1, repeat('0', 64), '{}'), (2, repeat('1', 64), '{}'), (1, repeat('2', 64), '{}'),
       (1, repeat('3', 64), '{}');
INSERT INTO store.stream (name, columns) VALUES ('s', '{body}'), ('t', '{body}'), ('u', '{body}');
INSERT INTO store.deployment
    (pipeline_version_id, pipeline_id, stream_id, columns, stage, changed_by)
VALUES (1, 1, 1, '{body}', 'full', 'b'), (2, 2, 1, '{body}', 'full', 'b'),
       (3, 1, 1, '{body}', 'retired', 'b');
INSERT INTO store.sink (name) VALUES ('k');
INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor, gone_at)
SELECT 1 + n % 2, n, md5(n::text)::uuid, 1, n, CASE WHEN n % 17 = 0 THEN now() END
FROM generate_series(1, 200) n;
UPDATE store.deployment SET withdrawn = true WHERE pipeline_version_id = 3;
INSERT INTO store.deployment (pipeline_version_id, pipeline_id, stream_id, columns, stage, share,
                              shown_from, shown_upto, changed_by)
VALUES (4, 1, 1, '{body}', 'canary', 0.5, 0, 0.5, 'b');
UPDATE store.deployment SET shown_from = 0.5 WHERE pipeline_version_id = 1;
INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, reason, output)
SELECT row_id, CASE WHEN row_id % 4 = 0 THEN 3 ELSE 1 END, input_hash,
       (array['ok', 'abstained', 'withheld'])[1 + row_id % 3], 'r', '{}'
FROM store.ledger WHERE stream_id = 1 AND row_id % 5 > 0;
INSERT INTO store.current_insight (row_id, pipeline_id, insight_id)
SELECT row_id, 1, insight_id FROM store.insight;
INSERT INTO store.work
    (row_id, stream_id, input_hash, pipeline_version_id, state, reason, overtaken)
SELECT row_id, stream_id, CASE WHEN row_id % 8 < 4 THEN input_hash ELSE gen_random_uuid() END,
       1 + row_id % 4,
       (array['pending', 'dead', 'missing', 'done'])[1 + row_id / 10 % 4], 'r',
       row_id % 13 = 0
FROM store.ledger WHERE stream_id = 1 AND row_id % 7 > 2;
INSERT INTO store.outbox (sink_id, row_id, revision, insight_id, shows, error)
SELECT 1, row_id, row_id, insight_id,
       CASE WHEN row_id % 10 = 2 THEN 'tombstoned' ELSE 'current' END,
       CASE WHEN row_id % 9 = 0 THEN 'refused' END
FROM store.insight;
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with psycopg.connect(store_url, autocommit=True) as link:
        link.execute(FILL)
    opened = Store(store_url).open()
    yield opened
    opened.close()


def told(store: Store, *, exact: bool) -> list[dict[str, Any]]:
    found = [msgspec.structs.asdict(one) for one in Reports(store).streams(exact=exact)]
    for one in found:
        del one["counted"], one["counted_at"]
    return found


def waits(store_url: str) -> psycopg.Connection[Any]:
    """Return a connection that lets nobody read an insight until it is closed."""
    link = psycopg.connect(store_url)
    link.execute("LOCK store.insight IN ACCESS EXCLUSIVE MODE")
    return link


def test_slices_count_what_one_count_of_all_does(store: Store) -> None:
    assert Counts(store, rows=7).count(200, lambda: True)
    with store.connection() as link:
        counted = link.execute("SELECT * FROM insights.completeness_counted").fetchall()
        exact = link.execute("SELECT * FROM insights.completeness").fetchall()
    found = {(row.stream, row.pipeline): row._asdict() for row in counted}
    assert {pair: found[pair].pop("counted_at") is not None for pair in found} == dict.fromkeys(
        found, True
    )
    assert found == {(row.stream, row.pipeline): row._asdict() for row in exact}
    assert set(found) == {("s", "p"), ("s", "q"), ("t", None), ("u", None)}
    triage = found["s", "p"]
    assert all(triage[name] for name in OUTCOMES)
    assert sum(triage[name] for name in OUTCOMES) == triage["rows_known"] == 100


def test_who_cannot_wait_is_told_what_was_counted_last(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PATIENCE_S", 0.2)
    before, sinks = told(store, exact=True), Reports(store).sinks()
    assert told(store, exact=False) == before
    Counts(store).count(200, lambda: True)
    with psycopg.connect(store_url, autocommit=True) as link:
        link.execute("INSERT INTO store.stream (name, columns) VALUES ('v', '{body}')")
    with waits(store_url):
        found = Reports(store).streams(exact=False)
    assert [one.counted for one in found] == [*["earlier"] * 4, "not yet"]
    assert all((one.counted_at is None) == (one.stream == "v") for one in found)
    kept = [msgspec.structs.replace(one, counted="now", counted_at=None) for one in found[:4]]
    assert kept == Reports(store).streams()[:4]
    slow = Reports(store)
    slow._sql["sinks"] = "SELECT pg_sleep(60)"
    assert slow.sinks(exact=False) == sinks
    slow._sql["completeness"] = slow._sql["sinks"] = "SELECT 1 / 0"  # not asked in vain again
    assert slow.streams(exact=False)[0].counted == "earlier"
    assert slow.sinks(exact=False) == sinks
    assert sinks[0].rows > sinks[0].undelivered > 0 < sinks[0].refused
    assert sinks[0].tombstoned > 0


def test_where_nothing_was_counted_all_is(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "PATIENCE_S", 0.2)
    link = waits(store_url)
    found: list[Any] = []
    asks = threading.Thread(target=lambda: found.append(told(store, exact=False)))
    asks.start()
    asks.join(1.0)
    assert not found
    link.close()
    asks.join(60)
    assert found == [told(store, exact=True)]


def test_counting_takes_a_hundredth_of_the_time_at_most(store: Store, store_url: str) -> None:
    counts = Counts(store)
    assert counts.due() == 200
    counts.count(200, lambda: True)
    assert counts.due() is None
    with psycopg.connect(store_url, autocommit=True) as link:
        for took_s, ago_s, due in ((0.1, 59, None), (0.1, 61, 200), (9, 890, None), (9, 910, 200)):
            link.execute(
                "UPDATE store.counted SET took_s = %s, counted_at = now() - %s * interval '1 s'",
                (took_s, ago_s),
            )
            assert counts.due() == due, (took_s, ago_s)


def test_one_daemon_counts_and_what_is_left_off_changes_nothing(store: Store) -> None:
    assert not Counts(store, rows=50).count(200, iter([True, False]).__next__)
    assert Counts(store).due() == 200
    other = Leases(store, "other", ttl_s=60)
    assert other.take("count rows")
    app = cast("Any", SimpleNamespace(store=store, leases=Leases(store, "this", ttl_s=60)))
    Counting(app).run_once()
    assert Counts(store).due() == 200
    other.give_back()
    Counting(app).run_once()
    assert Counts(store).due() is None


def test_counts_of_what_is_gone_go(store: Store, store_url: str) -> None:
    Counts(store).count(200, lambda: True)
    with psycopg.connect(store_url, autocommit=True) as link:
        link.execute("UPDATE store.deployment SET stage = 'retired' WHERE pipeline_id = 2")
    Counts(store).count(200, lambda: True)
    with store.connection() as link_:
        found = link_.execute(
            "SELECT stream_id, pipeline_id FROM store.counted ORDER BY 1"
        ).fetchall()
    assert [tuple(row) for row in found] == [(1, 1), (2, None), (3, None)]


def test_a_generation_that_rows_share_took_its_tokens_once(store: Store, store_url: str) -> None:
    with psycopg.connect(store_url, autocommit=True) as link:
        link.execute(
            "UPDATE store.insight SET prompt_tokens = 100, reused_tokens = 7, sampled_tokens = 20,"
            " forced_tokens = 3, queue_ms = 1, prompt_ms = 1, decode_ms = 1,"
            " shared = insight_id > 2 WHERE insight_id <= 5"
        )
        link.execute(
            "UPDATE store.insight SET generated_at = now() - interval '25 hours'"
            " WHERE insight_id = 2"
        )
    assert Reports(store).usage() == reports.UsageReport(1, 100, 7, 23)
