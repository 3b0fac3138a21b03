"""Whether a certified error holds: on real labelled rows, drawn again and again.

    python -m benchmarks.certified [--resamplings 200] [--k 5] [--seed 7] [--json]

Rows of banking77 (INSIGHTS_EVAL_DATA, default ../shared/data) and of the excavator work orders get
the nearest label (`model = "nearest"`), as sure as its neighbours agree. Half of the rows, drawn at
random, certify a target; the other half says what was then wrong among the rows that are shown.

Then two models, certified together: one that knows an eighth of the labelled rows, and one that
knows them all and is asked about what the first is not sure of; once as sure as its neighbours
agree, and once without a word on how sure it is, as a server's.
"""

import argparse
import random

import msgspec

from benchmarks._retrieval import Remembered
from benchmarks.examples import Task, banking, neighbours, orders
from demo.report import Goal, report
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles
from insights.enriching.recipe import agreement
from insights.steps import cascading
from insights.steps.cascading import Said
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


def _told(first: list[Said]) -> list[tuple[float, bool]]:
    return [(one.sure or 0.0, one.right) for one in first if one.shown]


def answers(task: Task, embedder: Remembered, k: int) -> list[Said]:
    """Return the answer to each asked row; none is as unsure as can be, and wrong."""
    return [
        Said(agreement(some)["label"], True, some[0].output["label"] == case.label)  # noqa: FBT003
        if some
        else Said(0.0, False, False)  # noqa: FBT003
        for case, some in zip(task.asked, neighbours(task, embedder, k), strict=True)
    ]


def held_by_both(
    rows: list[tuple[Said, Said]], target: float, resamplings: int, draw: random.Random
) -> tuple[int, int, float, float]:
    """Return as `held`, of two models; at last the mean share that the larger one was asked."""
    certificates = kept = 0
    shown = asked = 0.0
    for _ in range(resamplings):
        some = draw.sample(rows, len(rows))
        half = len(some) // 2
        found = cascading.certified(cascading.counted(some[:half]), target)
        if found is None:
            continue
        certificates += 1
        after, on = [], 0
        for first, larger in some[half:]:
            goes_on = first.sure is None or first.sure < found.first
            on += goes_on
            one = larger if goes_on else first
            enough = not goes_on or found.larger == cascading.ALWAYS
            if one.shown and (enough or (one.sure is not None and one.sure >= found.larger)):
                after.append(one.right)
        shown += len(after) / (len(some) - half)
        asked += on / (len(some) - half)
        kept += not after or 1 - sum(after) / len(after) <= target
    return certificates, kept, shown / max(1, certificates), asked / max(1, certificates)


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
        remembered = Remembered(embedder)
        rows = judged(task, remembered, options.k)
        right = sum(right for _, right in rows) / len(rows)
        for target in _TARGETS:
            made, kept, shown = held(rows, target, options.resamplings, draw)
            share = kept / made if made else 1.0
            goals.append(Goal(f"{task.name}: held at {target:.0%}", share, _HELD, ""))
            table.append(
                [f"{task.name}, {len(rows):,}", f"{right:.3f}", f"{target:.0%}",
                 f"{made} of {options.resamplings}", f"{kept}", f"{shown:.0%}"]
            )  # fmt: skip
        few = task._replace(labelled=draw.sample(task.labelled, len(task.labelled) // 8))
        if few.labelled[0].day is not None:
            few = few._replace(labelled=sorted(few.labelled, key=lambda case: str(case.day)))
        first = answers(few, remembered, options.k)
        larger = answers(task, remembered, options.k)
        silent = [msgspec.structs.replace(one, sure=None) for one in larger]
        for name, after in (("two models", larger), ("two, the larger silent", silent)):
            pairs = list(zip(first, after, strict=True))
            right = sum(one.right for one in first) / len(first)
            for target in _TARGETS:
                made, kept, shown, asked = held_by_both(pairs, target, options.resamplings, draw)
                share = kept / made if made else 1.0
                goals.append(Goal(f"{task.name}, {name}: held at {target:.0%}", share, _HELD, ""))
                alone = held(_told(first), target, options.resamplings, draw)
                table.append(
                    [f"{task.name}, {name}", f"{right:.3f}", f"{target:.0%}",
                     f"{made} of {options.resamplings}", f"{kept}",
                     (f"{shown:.0%}, {asked:.0%} of the rows asked further; the first alone"
                     f" {alone[2]:.0%} in {alone[0]}")]
                )  # fmt: skip
    embedder.close()
    notes = [f"all-MiniLM-L6-v2, k = {options.k}, seed {options.seed}; half certify, half check"]
    report("Certified errors", goals, notes, json=options.json, table=table)


if __name__ == "__main__":
    main()
