"""Ten daemons under a budget of 1,000 rows, killed at random: what is overshot, and what is kept.

    python -m benchmarks.budgets [--json] [--runs 20] [--rows 1000] [--daemons 10]

The daemons are claimers and writers in processes of their own (`tests/claiming.py`), on one durable
store. A run ends when the budget is used up and nothing is in hand: `overshoot` is what was written
beyond it, `false blocks` what was never written although the budget had room for it. Then the cost
of a claim and of a write, beside a store without budgets.
"""

import argparse
import shutil
import statistics
import time
from typing import Any

from demo.report import Goal, report
from insights.model import Share
from insights.store import migrate
from insights.store.budgets import Budget, Budgets
from insights.store.insights import InsightStore
from insights.store.postgres import Store
from tests import claiming, servers

BATCH = 32
ROUNDS = 100


def put(url: str, bounds: list[float]) -> None:
    """Put version 1 under budgets of rows."""
    store = Store(url).open()
    made = [
        Budget(f"b{at}", "everything", None, "rows", "day", "UTC", None, hard, {1: 1.0})
        for at, hard in enumerate(bounds)
    ]
    Budgets(store, "benchmark").put(made, [1])
    store.close()


def killed(server: servers.Postgres, run: int, *, rows: int, daemons: int) -> tuple[int, int]:
    """Return the rows overshot and the rows blocked falsely of one run."""
    name = f"killed{run}"
    server.create_database(name)
    url = server.url(name)
    migrate.upgrade(url)
    claiming.fill(url, 2 * rows)
    put(url, [rows])
    came = claiming.run(url, rows, count=daemons, kills=daemons, patience_s=300)
    server.drop_database(name)
    return max(0, came.written - rows), max(0, rows - came.written)


def costs(server: servers.Postgres) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of a claim and a write of a batch, by how many budgets."""
    spent: dict[str, tuple[list[float], list[float]]] = {}
    work = {}
    for many in (0, 1, 3):
        name = f"cost{many}"
        server.create_database(name)
        url = server.url(name)
        migrate.upgrade(url)
        claiming.fill(url, BATCH * ROUNDS)
        put(url, [1e6] * many)
        store = Store(url).open()
        work[str(many)] = (claiming.queue(store, "d", [1]), InsightStore(store, "d"), store)
        spent[str(many)] = ([], [])
    for _ in range(ROUNDS):
        for many_, (queue, insights, _) in work.items():
            began = time.perf_counter()
            claims = queue.claim([Share(pipeline_version_id=1, rows=BATCH)])
            claimed = time.perf_counter()
            insights.write([claiming.finished(claim) for claim in claims])
            spent[many_][0].append(1e3 * (claimed - began))
            spent[many_][1].append(1e3 * (time.perf_counter() - claimed))
    for _, _, store in work.values():
        store.close()
    return {
        many_: {"claim_ms": statistics.median(claim), "write_ms": statistics.median(write)}
        for many_, (claim, write) in spent.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--daemons", type=int, default=10)
    given = parser.parse_args()
    folder = servers.scratch()
    try:
        with servers.running(servers.Postgres(folder / "store").create()) as server:
            runs = [
                killed(server, run, rows=given.rows, daemons=given.daemons)
                for run in range(given.runs)
            ]
            result: dict[str, Any] = {"runs": len(runs), "costs": costs(server)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result["overshoot"] = sum(over for over, _ in runs)
    result["false_blocks"] = sum(blocked for _, blocked in runs)
    none, one = result["costs"]["0"], result["costs"]["1"]
    notes = [
        f"{many} budgets: {cost['claim_ms']:.2f} ms a claim and {cost['write_ms']:.2f} ms a write "
        f"of {BATCH} rows"
        for many, cost in result["costs"].items()
    ]
    more = sum(one.values()) / sum(none.values())
    goals = [
        Goal("rows written beyond the budget", result["overshoot"], 0, "rows", at_least=False),
        Goal("rows that a dead daemon kept", result["false_blocks"], 0, "rows", at_least=False),
        Goal("claim and write, against none", more, 1.1, "x", at_least=False),
    ]
    title = f"{given.runs} runs: {given.daemons} daemons, a budget of {given.rows} rows, kill -9"
    report(title, goals, notes, given.json)


if __name__ == "__main__":
    main()
