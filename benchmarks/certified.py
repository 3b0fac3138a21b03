"""Whether a certified error holds: on real labelled rows, drawn again and again.

    python -m benchmarks.certified [--resamplings 200] [--k 5] [--seed 7] [--json]

Rows of banking77 (INSIGHTS_EVAL_DATA, default ../shared/data) and of the excavator work orders get
the nearest label (`model = "nearest"`), as sure as its neighbours agree. Half of the rows, drawn at
random, certify a target; the other half says what was then wrong among the rows that are shown.
"""

import argparse
import random

from benchmarks._retrieval import Remembered
from benchmarks.examples import Task, banking, neighbours, orders
from demo.report import Goal, report
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles
from insights.enriching.recipe import agreement
from insights.steps.certifying import certified, counted

_TARGETS = (0.01, 0.02, 0.05, 0.1)
_HELD = 0.95  # of the resamplings


def judged(task: Task, embedder: Remembered, k: int) -> list[tuple[float, bool]]:
    """Return (confidence, right) of each asked row."""
    return [
        (agreement(some)["label"], some[0].output["label"] == case.label)
        for case, some in zip(task.asked, neighbours(task, embedder, k), strict=True)
        if some
    ]


def held(
    rows: list[tuple[float, bool]], target: float, resamplings: int, draw: random.Random
) -> tuple[int, int, float]:
    """Return how many resamplings certified, how many of these held, and the mean share shown."""
    certificates = kept = 0
    shown = 0.0
    for _ in range(resamplings):
        some = draw.sample(rows, len(rows))
        half = len(some) // 2
        found = certified(counted(some[:half]), target)
        if found is None:
            continue
        certificates += 1
        after = [right for sure, right in some[half:] if sure >= found.threshold]
        shown += len(after) / (len(some) - half)
        kept += not after or 1 - sum(after) / len(after) <= target
    return certificates, kept, shown / max(1, certificates)


def main() -> None:
    """Run and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resamplings", type=int, default=200)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    embedder = EmbedderClient(ModelFiles(), threads=2)
    table = [["rows", "accuracy", "target", "certified", "held", "shown"]]
    goals = []
    for make, many in ((banking, 3_080), (orders, 900)):
        draw = random.Random(options.seed)  # noqa: S311 - a sample
        task = make(many, 10_003, draw)
        rows = judged(task, Remembered(embedder), options.k)
        right = sum(right for _, right in rows) / len(rows)
        for target in _TARGETS:
            made, kept, shown = held(rows, target, options.resamplings, draw)
            share = kept / made if made else 1.0
            goals.append(Goal(f"{task.name}: held at {target:.0%}", share, _HELD, ""))
            table.append(
                [f"{task.name}, {len(rows):,}", f"{right:.3f}", f"{target:.0%}",
                 f"{made} of {options.resamplings}", f"{kept}", f"{shown:.0%}"]
            )  # fmt: skip
    embedder.close()
    notes = [f"all-MiniLM-L6-v2, k = {options.k}, seed {options.seed}; half certify, half check"]
    report("Certified errors", goals, notes, json=options.json, table=table)


if __name__ == "__main__":
    main()
