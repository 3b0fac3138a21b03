"""Health and metrics on, against off: what a row costs with a generator that answers at once.

    python -m benchmarks.watching [--json] [--rows 40000]

One run that watches itself in turns of a second and a half (`_watching.py`): rows counted, the
store looked at every ten seconds, health probed every ten and metrics scraped every fifteen, all of
it twenty times over; and nothing of it. A twentieth of the difference is what watching costs. Each
turn is held against the one beside it, and the median of these pairs counts. The supervisor's
processor time a row is the figure: the clock also measures the machine.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys

from benchmarks._watching import OFTEN
from benchmarks.pipeline import environment, prepared
from demo.report import Goal, report
from tests import servers

ROWS = 40_000
MOST = 2.0

Pairs = list[tuple[tuple[int, float, float], tuple[int, float, float]]]


def run(rows: int) -> Pairs:
    """Return watched and unwatched slices: rows, processor seconds, seconds."""
    folder = servers.scratch()
    try:
        with (
            servers.running(servers.MariaDbPair(folder / "mariadb", durable=True)) as pair,
            servers.running(servers.Postgres(folder / "store", durable=True).create()) as store,
            prepared(folder / "turns", pair, store, rows),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks._watching", str(folder / "turns")],
                env=environment(store),
                stdout=subprocess.PIPE,
                check=True,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found: Pairs = json.loads(done.stdout)
    return found


def _cost(pairs: Pairs, which: int) -> tuple[float, float]:
    """Return the per cent that watching adds to a row, and half its 95 % interval."""
    found = [((on[which] / on[0]) / (off[which] / off[0]) - 1) / OFTEN * 100 for on, off in pairs]
    # 1.253: the standard error of a median against that of a mean, of a normal distribution.
    return statistics.median(found), 1.96 * 1.253 * statistics.stdev(found) / len(found) ** 0.5


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    pairs = run(options.rows)
    cpu, error = _cost(pairs, 1)
    clock, clock_error = _cost(pairs, 2)
    each = sum(off[1] for _, off in pairs) / sum(off[0] for _, off in pairs)
    goals = [
        Goal("supervisor's processor time a row, more", cpu, MOST, "%", at_least=False),
        Goal("clock a row, more", clock, MOST, "%", at_least=False),
    ]
    notes = [
        f"{len(pairs)} pairs; processor time ±{error:.2f}, clock ±{clock_error:.2f} (95 %)",
        f"a row takes {each * 1e6:,.0f} us of the supervisor's processor time unwatched",
    ]
    report(f"Health and metrics: {options.rows:,} rows", goals, notes, options.json)


if __name__ == "__main__":
    main()
