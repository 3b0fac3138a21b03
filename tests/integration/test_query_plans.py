"""Statements that run for every page or batch read just their own rows, however long the tables."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from insights.model import Share
from insights.store.postgres import Store
from insights.store.queries import load
from insights.store.work import WorkQueue

ROWS = 60_000
PAGE = 500
FILL = f"""
INSERT INTO store.pipeline (name) VALUES ('p');
INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
VALUES (1, repeat('0', 64), '{{}}');
INSERT INTO store.stream (name, columns) VALUES ('s', '{{body}}');
INSERT INTO store.deployment
    (pipeline_version_id, pipeline_id, stream_id, columns, stage, changed_by)
VALUES (1, 1, 1, '{{body}}', 'full', 'test');
INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)
SELECT 1, n, md5(n::text)::uuid, 1, n FROM generate_series(1, {ROWS}) n;
INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id, state)
SELECT n, 1, md5(n::text)::uuid, 1, CASE WHEN n <= {ROWS} / 2 THEN 'done' ELSE 'pending' END
FROM generate_series(1, {ROWS}) n;
INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output)
SELECT n, 1, md5(n::text)::uuid, 'ok', '{{}}' FROM generate_series(1, {ROWS} / 2) n;
"""
# A version that was there before, one row that still waits for it, and one suspect.
RETIRED = f"""
INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
VALUES (1, repeat('1', 64), '{{}}');
INSERT INTO store.deployment
    (pipeline_version_id, pipeline_id, stream_id, columns, stage, changed_by)
VALUES (2, 1, 1, '{{body}}', 'retired', 'test');
UPDATE store.work SET pipeline_version_id = 2 WHERE work_id = {ROWS};
UPDATE store.work SET isolated = true WHERE work_id = {ROWS} - 1;
"""
VALUES: dict[str, Any] = {
    "stream_id": 1, "pipeline_version_id": 1, "hash_version": 1, "sink_id": None, "enqueue": True,
    "want_ids": True, "versions": [1], "pipelines": [1], "sinks": [None], "slots": [0],
    "key_version": 1, "read_at": 0.0, "sample": 20, "isolated": [False], "streams": ["s"],
    "rows": [200], "holder": "d", "ttl_s": 60, "max_attempts": 5, "most": 1_000,
    "status": "withheld", "limit": 50, "insight_id": 9, "after": 29_000, "upto": 30_000,
    "reason": "late", "pages": [1], "without": [],
}  # fmt: skip


@pytest.fixture(params=["analysed", "never analysed"])
def filled(store_url: str, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(store_url, autocommit=True) as link:
        for table in ("ledger", "work", "insight"):  # whenever it comes, it changes the statistics
            link.execute(f"ALTER TABLE store.{table} SET (autovacuum_enabled = off)")
        link.execute(FILL)
        if request.param == "analysed":
            link.execute("ANALYZE")
        yield link


def plan(
    link: psycopg.Connection[Any], statement: str, values: dict[str, Any] = VALUES
) -> Iterator[dict[str, Any]]:
    """Run a statement and yield every node of its plan."""
    client = psycopg.ClientCursor(link)
    row = client.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, values).fetchone()
    assert row is not None
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    nodes = [found[0]["Plan"]]
    while nodes:
        node = nodes.pop()
        yield node
        nodes += node.get("Plans", [])


def scanned(nodes: Iterator[dict[str, Any]]) -> list[tuple[str, int]]:
    """Return the store's tables of which a plan read far more rows than a page has."""
    return [
        (node["Relation Name"], node["Actual Rows"] * node["Actual Loops"])
        for node in nodes
        if node.get("Relation Name") in ("ledger", "work", "insight", "current_insight")
        and re.search("Scan", node["Node Type"])
        and (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        > 4 * PAGE
    ]


def rows_read(link: psycopg.Connection[Any]) -> dict[str, int]:
    """Return how many rows of a table were read, with those of transactions a moment ago."""
    return dict(
        link.execute(
            "SELECT relname, seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
            " WHERE schemaname = 'store' AND relname IN ('ledger', 'work')"
        ).fetchall()
    )


@pytest.mark.parametrize("changed", [0, 100, PAGE], ids=["unchanged", "some", "all"])
@pytest.mark.parametrize("first", [1, ROWS - PAGE // 2], ids=["known", "half of them new"])
def test_recording_a_page_reads_its_own_rows_alone(
    filled: psycopg.Connection[Any], first: int, changed: int
) -> None:
    sql = load("ledger")
    with filled.transaction():
        filled.execute(sql["page_table"])
        filled.execute(
            "INSERT INTO page SELECT n, md5((CASE WHEN n < %s THEN 'x' ELSE '' END) || n)::uuid, n"
            " FROM generate_series(%s::int, %s) n",
            (first + changed, first, first + PAGE - 1),
        )
        filled.execute(sql["plan_anew"])
        assert scanned(plan(filled, sql["record"])) == []


def test_a_changed_row_is_updated_where_it_was_found_and_nothing_of_it_is_looked_up_twice(
    filled: psycopg.Connection[Any],
) -> None:
    filled.execute(
        "INSERT INTO store.current_insight (row_id, pipeline_id, insight_id)"
        " SELECT row_id, 1, insight_id FROM store.insight"
    )
    sql = load("ledger")
    with filled.transaction():
        filled.execute(sql["page_table"])
        filled.execute(
            "INSERT INTO page SELECT n * 97, md5('x' || n)::uuid, n FROM generate_series(1, 100) n"
        )
        filled.execute(sql["plan_anew"])
        nodes = [node for node in plan(filled, sql["record"]) if node["Actual Loops"]]
    used = {node.get("Index Name") for node in nodes}
    assert not used & {"ledger_pkey", "insight_pkey"}
    assert any(node["Node Type"] == "Tid Scan" for node in nodes)


def test_claiming_reads_its_own_rows_alone(filled: psycopg.Connection[Any]) -> None:
    with filled.transaction():
        assert scanned(plan(filled, load("work")["claim"])) == []


def test_a_page_of_a_first_load_becomes_work_by_its_own_rows_alone(
    filled: psycopg.Connection[Any],
) -> None:
    filled.execute(
        "INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)"
        " SELECT 1, n, md5(n::text)::uuid, 1, n FROM generate_series(%(from)s::int, %(to)s) n",
        {"from": ROWS + 1, "to": ROWS + PAGE},
    )
    filled.execute(
        "INSERT INTO store.work_page (stream_id, pipeline_id, pipeline_version_id, first_row_id,"
        " last_row_id, rows, share)"
        " SELECT 1, 1, 1, %(from)s + 1, %(from)s + %(rows)s, %(rows)s, 1",
        {"from": ROWS, "rows": PAGE},
    )
    sql = load("work_pages")
    with filled.transaction():
        assert scanned(plan(filled, sql["due"])) == []
        before = rows_read(filled)
        queued = filled.execute(sql["enqueue"], VALUES).fetchall()
        read = {table: rows - before[table] for table, rows in rows_read(filled).items()}
    assert queued == [(PAGE,)]
    assert max(read.values()) < 4 * PAGE, read


def test_writing_looks_each_row_up_once_and_not_once_for_each_other(
    filled: psycopg.Connection[Any],
) -> None:
    claims = filled.execute(load("work")["claim"], VALUES).fetchall()
    finished = [
        {"work_id": claim[0], "version": claim[7], "token": str(claim[2]), "status": "ok"}
        | {"output": {}, "notes": [], "citations": [], "redactions": {}, "spent": []}
        | {"shared": False}
        for claim in claims
    ]
    with filled.transaction():
        nodes = [*plan(filled, load("insights")["write"], {"rows": Jsonb(finished)})]
        assert (len(claims), scanned(iter(nodes))) == (200, [])
    beside = [node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"] for node in nodes]
    assert max(beside) < 4 * len(claims)  # nor is each laid beside each
    assert filled.execute("SELECT count(*) FROM store.current_insight").fetchone() == (200,)


def test_claiming_within_budgets_reads_what_is_in_hand_and_its_own_rows(
    filled: psycopg.Connection[Any],
) -> None:
    filled.execute(
        "INSERT INTO store.budget (name, concerns, unit, per, time_zone, hard)"
        " SELECT n, 'all', 'rows', 'day', 'UTC', 1e6 FROM generate_series(1, 3) n;"
        "INSERT INTO store.budgeted SELECT budget_id, 1, 1 FROM store.budget"
    )
    sql = load("work")
    filled.execute(sql["claim"], {**VALUES, "rows": [100]})  # in hand, of whomever
    with filled.transaction():
        assert scanned(plan(filled, sql["lock_budgets"])) == []
        assert scanned(plan(filled, sql["claim_within"])) == []
    assert scanned(plan(filled, load("budgets")["budgets"])) == []
    assert scanned(plan(filled, load("budgets")["used_up"])) == []


def test_what_runs_by_the_clock_reads_no_queue_from_end_to_end(
    filled: psycopg.Connection[Any],
) -> None:
    filled.execute(RETIRED)
    for room, statement in (
        ("work", "expire"),
        ("work", "overdue"),
        ("work", "suspects"),
        ("work", "outstanding"),
        ("deployments", "repoint"),
    ):
        assert scanned(plan(filled, load(room)[statement])) == [], statement
    suspects = load("work")["claim"].replace("%(isolated)s", "'{t}'")
    assert scanned(plan(filled, suspects)) == []
    taken = filled.execute("SELECT work_id FROM store.work WHERE state = 'claimed'").fetchall()
    assert taken == [(ROWS - 1,)]


def test_guards_read_what_was_made_of_late_alone(filled: psycopg.Connection[Any]) -> None:
    # A canary that has done the last 50 rows, which the live version has done as well.
    filled.execute(RETIRED)
    filled.execute("VACUUM ANALYZE store.insight")
    filled.execute(
        "UPDATE store.deployment SET stage = 'canary', share = 0.1, watched_from = now()"
        " WHERE pipeline_version_id = 2"
    )
    filled.execute(
        "INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, output)"
        " SELECT row_id, 2, input_hash, 'ok', '{}' FROM store.insight WHERE row_id <= 50"
    )
    asked = load("guards")["made"].replace("%(version_id)s", "2").replace("%(fields)s", "'{}'")
    asked = re.sub(
        r"%\((counted_to|horizon)\)s",
        "(SELECT watched_from FROM store.deployment WHERE pipeline_version_id = 2)",
        asked,
    )
    asked = re.sub(r"%\((slow_ms|tokens)\)s", "NULL", asked)
    assert scanned(plan(filled, asked)) == []
    assert scanned(plan(filled, load("guards")["failed"].replace("%(version_id)s", "2"))) == []


def test_a_long_queue_is_told_whole_and_a_short_one_as_it_is(store_url: str) -> None:
    store = Store(store_url).open()
    with closing(store), psycopg.connect(store_url, autocommit=True) as link:
        link.execute(FILL.replace(str(ROWS), "4000"))
        queue = WorkQueue(store, "d", [1], ttl_s=60, max_attempts=5)
        assert queue.outstanding().all_open == 2_000
        assert len(queue.claim([Share(pipeline_version_id=1, rows=3)])) == 3
        link.execute("UPDATE store.work SET not_before = now() + interval '1 minute'")
        assert 50 < queue.outstanding().next_s <= 60
        link.execute(
            "UPDATE store.work SET state = 'done' WHERE state = 'pending' AND work_id <= 3993"
        )
        assert queue.outstanding().all_open == 10
        link.execute("UPDATE store.stream SET paused = true")
        assert queue.outstanding().all_open == 0


@pytest.mark.parametrize("view", ["current", "history", "citation"])
def test_analysts_find_a_row_by_its_key_without_reading_the_others(
    filled: psycopg.Connection[Any], view: str
) -> None:
    filled.execute(
        f"INSERT INTO store.current_insight SELECT n, n, 1 FROM generate_series(1, {ROWS} / 2) n"
    )
    asked = f"SELECT * FROM insights.{view} WHERE stream = 's' AND row_key = '7'"
    assert scanned(plan(filled, asked)) == []


@pytest.mark.parametrize("statement", ["dead_list", "dead_show"])
def test_dead_letters_read_no_other_rows_of_the_ledger(
    filled: psycopg.Connection[Any], statement: str
) -> None:
    filled.execute("UPDATE store.work SET state = 'dead' WHERE work_id = 5")
    filled.execute("ANALYZE store.work")
    asked = load("work")[statement].replace("%(work_id)s", "5").replace("%(limit)s", "50")
    assert "ledger" not in dict(scanned(plan(filled, asked.replace("%(stream)s", "NULL"))))


def test_counting_a_slice_reads_its_own_rows_alone(filled: psycopg.Connection[Any]) -> None:
    filled.execute(
        f"INSERT INTO store.current_insight SELECT n, 1, n FROM generate_series(1, {ROWS} / 2) n"
    )
    assert scanned(plan(filled, load("counted")["outcomes"])) == []


def test_the_status_page_reads_ends_of_indexes_alone(filled: psycopg.Connection[Any]) -> None:
    filled.execute(
        "UPDATE store.work SET state = 'dead', reason = 'r' WHERE work_id <= %s", (ROWS // 3,)
    )
    for name, statement in load("board").items():
        assert scanned(plan(filled, statement)) == [], name


def test_what_may_be_reused_is_found_by_what_was_asked(filled: psycopg.Connection[Any]) -> None:
    filled.execute("UPDATE store.insight SET asked = sha256(insight_id::text::bytea)")
    values = "ARRAY(SELECT n FROM generate_series(40001, 40032) n)"
    hashes = "ARRAY(SELECT sha256(n::text::bytea) FROM generate_series(1, 32) n)"
    asked = load("insights")["reusable"].replace("%(work_ids)s", values)
    asked = asked.replace("%(asked)s", hashes).replace("%(version_id)s", "1")
    assert scanned(plan(filled, asked.replace("%(age_s)s", "3600"))) == []
