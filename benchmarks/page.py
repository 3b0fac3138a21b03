"""The status page over a store with a million insights, as a browser sees it, and `status` there.

    python -m benchmarks.page [--json] [--rows 1000000]

A quarter more rows; a quarter of all are dead letters, the others done or waiting. The greatest of
seven runs each, the first included. Some minutes, most of them for filling.
"""

import argparse
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg

from benchmarks.timers import fill
from demo.report import Goal, report
from insights.cli.status import told
from insights.service.health import Health
from insights.service.runner import Runner
from insights.store import migrate
from insights.store.board import COUNTED, BoardReports
from insights.store.counts import Counts
from insights.store.postgres import Store
from insights.store.reports import Reports
from insights.web.guard import People, Tokens
from insights.web.page import StatusPage
from insights.web.server import Server, application
from insights.wiring.board import Board
from insights.wiring.health import Observing
from tests import servers
from tests.browser import browser

_RUNS = 7
_MOST_MS = 100.0
_PAINT_MS = 1_000.0
_STATUS_S = 2.0
_MORE = """
INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, reason, output, model,
                           generated_at)
SELECT n, 1, md5(n::text)::uuid, CASE WHEN n % 50 = 0 THEN 'withheld' ELSE 'ok' END,
       CASE WHEN n % 50 = 0 THEN 'a number is in no source' END,
       jsonb_build_object('category', 'printer', 'cause', repeat('The tray is jammed. ', 20)), 'm',
       now() - make_interval(secs => (:rows - n) * 0.05)
FROM generate_series(1, :rows) n;
INSERT INTO store.citation (insight_id, ordinal, field, source, quote)
SELECT n, 1, 'cause', 'row', 'The tray is jammed.' FROM generate_series(1, :rows, 10) n;
UPDATE store.work SET state = 'dead', reason = 'reason ' || work_id % 5 WHERE work_id % 4 = 0;
INSERT INTO store.current_insight (row_id, pipeline_id, insight_id)
SELECT n, 1, n FROM generate_series(1, :rows) n;
INSERT INTO store.sink (name) VALUES ('k');
UPDATE store.deployment SET sink_id = 1;
INSERT INTO store.outbox (sink_id, row_id, revision, insight_id, shows, delivered_at)
SELECT 1, n, n, n, 'current', now() FROM generate_series(1, :rows) n;
ANALYZE;
"""


@contextlib.contextmanager
def _filled(rows: int) -> Iterator[str]:
    folder = servers.scratch()
    try:
        with servers.running(servers.Postgres(folder / "store").create()) as store:
            with psycopg.connect(store.url("postgres"), autocommit=True) as link:
                link.execute("CREATE DATABASE page")
            migrate.upgrade(store.url("page"))
            with psycopg.connect(store.url("page"), autocommit=True) as link:
                link.execute(fill(rows) + _MORE.replace(":rows", str(rows)))
                link.execute("VACUUM")
            yield store.url("page")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def statements(store: Store) -> dict[str, float]:
    """Return the most milliseconds that each question of the page took."""
    reports = BoardReports(store)
    newest = reports.newest()
    asked = {
        "streams": reports.streams,
        "versions": reports.versions,
        "newest insights by outcome and latency": reports.recent,
        "models": reports.models,
        "daemons": Reports(store).daemons,
        "history, by so many insights": lambda: reports.made(newest - COUNTED, newest),
        "latest insights, and the audit": lambda: reports.latest(None, actor="b"),
        "latest withheld, and the audit": lambda: reports.latest("withheld", actor="b"),
        "one insight, and the audit": lambda: reports.insight(newest, actor="b"),
        "dead letters": reports.dead,
        "their reasons": reports.reasons,
    }
    took: dict[str, float] = {}
    for name, ask in asked.items():
        for _ in range(_RUNS):
            began = time.perf_counter()
            ask()
            took[name] = max(took.get(name, 0.0), (time.perf_counter() - began) * 1e3)
    return took


def status(store: Store) -> tuple[float, float]:
    """Return the most seconds that `insights status` asks the store for, and those of a count."""
    counts = Counts(store)
    upto = counts.due()
    assert upto is not None
    began = time.perf_counter()
    counts.count(upto, lambda: True)
    counted = time.perf_counter() - began
    took = []
    for _ in range(3):
        began = time.perf_counter()
        told(Reports(store))
        took.append(time.perf_counter() - began)
    return max(took), counted


def painted(store: Store) -> float:
    """Return the most milliseconds from a browser's question to its first paint of the page."""
    app: Any = SimpleNamespace(store=store, reports=Reports(store), pollers={}, generators={})
    readiness: Any = SimpleNamespace(observing=Observing(app))
    page = StatusPage(People(Tokens("")))
    page.board = Board(app, Health(Runner()), readiness)
    page.board.history.run_once()
    page.board.history.run_once()
    server = Server("127.0.0.1:0", application(page.routes))
    serving = threading.Thread(target=server.turn)
    serving.start()
    took = []
    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
            browser(Path(profile)) as found,
        ):
            for _ in range(_RUNS):
                time.sleep(2.1)  # so that the store is asked anew
                found.open(f"http://{server.address}/?still")
                paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
                while (at := found.js(paint)) is None:
                    time.sleep(0.05)
                took.append(float(at))
    finally:
        server.close()
        serving.join()
    return max(took)


def main() -> None:
    """Fill, measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=1_000_000, help="insights")
    options = parser.parse_args()
    with _filled(options.rows) as url, contextlib.closing(Store(url).open()) as store:
        took, paint = statements(store), painted(store)
        asked, counted = status(store)
    goals = [Goal(name, ms, _MOST_MS, "ms", at_least=False) for name, ms in took.items()]
    goals.append(Goal("first paint in Chromium", paint, _PAINT_MS, "ms", at_least=False))
    goals.append(Goal("insights status", asked, _STATUS_S, "s", at_least=False))
    notes = [f"a daemon's count of all rows took {counted:.1f} s"]
    notes += [
        f"{options.rows:,} insights; the greatest of seven, transaction and decoding included"
    ]
    report("Status page", goals, notes, options.json)


if __name__ == "__main__":
    main()
