"""What the daemon asks its store by the clock, with a short queue and with a long one side by side.

    python -m benchmarks.timers [--json] [--rows 1000000]

A store with so many finished rows and a quarter as many waiting ones, against one with a
hundredth of both; least of seven runs each, as EXPLAIN ANALYZE tells it. Rows wait as a first load
leaves them: ten thousand as work, the others as pages. `--as-rows` has all of them as work, as a
backfill leaves them. Half a minute on two cores; ten million rows take three, and 7 GB of disk.
"""

import argparse
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from demo.report import Goal, report
from insights.store import migrate
from insights.store.queries import load
from tests import servers

_RUNS = 7
_SHORT = 100  # how many times fewer rows the short queue has
_MOST_MS = 10.0
# Asked by the clock: every few seconds, or with each claim. Counted are rows that wait (`backlog`).
_ASKED = (
    ("work", "expire"),
    ("work", "suspects"),
    ("work", "claim"),
    ("work_pages", "waits"),
    ("work_pages", "due"),
    ("work_pages", "repoint"),
    ("work", "overdue"),
    ("work", "outstanding"),
    ("deployments", "repoint"),
    ("streams", "standing"),
    ("streams", "backlog"),
    ("streams", "dead"),
    ("streams", "outboxes"),
)
_VALUES: dict[str, Any] = {
    "versions": [1], "max_attempts": 5, "key_version": 1, "isolated": [True], "rows": [16],
    "ttl_s": 60, "holder": "benchmark", "most": 1_000, "reason": "late", "without": [],
}  # fmt: skip
FILL = """
INSERT INTO store.pipeline (name) VALUES ('p');
INSERT INTO store.pipeline_version (pipeline_id, sha256, definition)
VALUES (1, repeat('0', 64), '{}'), (1, repeat('1', 64), '{}');
INSERT INTO store.stream (name, columns) VALUES ('s', '{body}');
INSERT INTO store.deployment
    (pipeline_version_id, pipeline_id, stream_id, columns, stage, changed_by)
VALUES (1, 1, 1, '{body}', 'full', 'b'), (2, 1, 1, '{body}', 'retired', 'b');
INSERT INTO store.ledger (stream_id, row_key, input_hash, hash_version, cursor)
SELECT 1, n, md5(n::text)::uuid, 1, n FROM generate_series(1, :rows * 5 / 4) n;
INSERT INTO store.work (row_id, stream_id, input_hash, pipeline_version_id, state)
SELECT n, 1, md5(n::text)::uuid, 1, CASE WHEN n <= :rows THEN 'done' ELSE 'pending' END
FROM generate_series(1, least(:rows + :queued, :rows * 5 / 4)) n;
INSERT INTO store.work_page (stream_id, pipeline_id, pipeline_version_id, first_row_id, last_row_id,
                             rows, share)
SELECT 1, 1, 1, n, n + 4999, 5000, 1
FROM generate_series(:rows + :queued + 1, :rows * 5 / 4, 5000) n;
ANALYZE;
"""


def fill(rows: int, queued: int = 10_000) -> str:
    """Return what fills a store: rows, and how many of those that wait are work already."""
    return FILL.replace(":rows", str(rows)).replace(":queued", str(queued))


def times(store: servers.Postgres, rows: int, queued: int) -> dict[str, float]:
    """Return the milliseconds of each statement on a fresh store with so many finished rows."""
    name = f"rows{rows}"
    with psycopg.connect(store.url("postgres"), autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
    migrate.upgrade(store.url(name))
    with psycopg.connect(store.url(name), autocommit=True) as link:
        link.execute(fill(rows, queued))
        link.execute("VACUUM")
        return dict(_least(psycopg.ClientCursor(link)))


def _least(cursor: psycopg.ClientCursor[Any]) -> Iterator[tuple[str, float]]:
    for room, statement in _ASKED:
        took = []
        for _ in range(_RUNS):
            with cursor.connection.transaction(force_rollback=True):
                asked = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + load(room)[statement]
                row = cursor.execute(asked, _VALUES).fetchone()
            assert row is not None
            took.append(row[0][0]["Execution Time"])
        yield f"{room}.{statement}", min(took)


def main() -> None:
    """Measure both and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=1_000_000, help="finished rows")
    parser.add_argument("--as-rows", action="store_true", help="what waits is work already")
    options = parser.parse_args()
    queued = options.rows if options.as_rows else 10_000
    folder = servers.scratch()
    try:
        with servers.running(servers.Postgres(folder / "store").create()) as store:
            short = times(store, options.rows // _SHORT, queued)
            began = time.perf_counter()
            long = times(store, options.rows, queued)
            took = time.perf_counter() - began
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    goals = [Goal(name, took, _MOST_MS, "ms", at_least=False) for name, took in long.items()]
    table = [["statement", f"{options.rows // _SHORT:,} rows, ms", f"{options.rows:,} rows, ms"]]
    table += [[name, f"{short[name]:.2f}", f"{took:.2f}"] for name, took in long.items()]
    notes = [
        "PostgreSQL's own time of each statement, least of seven; a quarter as many rows wait, "
        + ("all as work" if options.as_rows else f"{queued:,} as work and the others as pages"),
        f"load {os.getloadavg()[0]:.1f}; filling and measuring the long one took {took:.0f} s",
    ]
    report("What is asked by the clock", goals, notes, options.json, table)


if __name__ == "__main__":
    main()
