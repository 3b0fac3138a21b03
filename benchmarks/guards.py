"""Guards in simulated rollouts: false alarms of equally good versions, rows until worse ones go."""

import argparse
import random
import statistics

from demo.report import Goal, report
from insights.enriching import guards
from insights.site.guards import GuardSettings

_SETTINGS = GuardSettings(
    abstained=0.1, slow=0.05, slower_than=1, costly="live", tokens=9, differs=0.2
)
_GOOD = {
    "failed": 0.01, "withheld": 0.05, "abstained": 0.1, "slow": 0.05, "costly": 0.3, "differs": 0.2,
}  # fmt: skip
_WORSE: dict[str, dict[str, float]] = {
    "each row withheld": {"withheld": 1.0},
    "half of the rows withheld": {"withheld": 0.5},
    "a fifth withheld, of a twentieth": {"withheld": 0.2},
    "each answer another": {"differs": 1.0},
    "half of the answers others": {"differs": 0.5},
    "a tenth dead letters, of a hundredth": {"failed": 0.1},
    "a fifth slow, where a twentieth may": {"slow": 0.2},
}


def rollout(chance: random.Random, shares: dict[str, float], rows: int) -> int | None:
    """Return after how many rows of it a version is withdrawn; None: it is not.

    It is looked at after every row. The live version is as often so as `_GOOD` says.
    """
    counts = dict.fromkeys(("made", "compared"), 0)
    for row in range(1, rows + 1):
        counts["compared"] = row
        for guard, share in shares.items():
            own, live = chance.random() < share, chance.random() < _GOOD[guard]
            if guard == "differs":
                live = own  # there is no pair of pairs
            told = ((guard, own), (f"{guard}_alone", own > live), (f"{guard}_live", live > own))
            for name, so in told:
                counts[name] = counts.get(name, 0) + so
        counts["made"] = row - counts["failed"]
        if guards.breach(guards.standings(_SETTINGS, counts)) is not None:
            return row
    return None


def main() -> None:
    """Simulate and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guards", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rollouts", type=int, default=200, help="of each kind")
    parser.add_argument("--rows", type=int, default=1_000, help="of an equally good version")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311 - a simulation
    ended = [rollout(chance, _GOOD, options.rows) for _ in range(options.rollouts)]
    alarms = sum(row is not None for row in ended) / options.rollouts
    goals = [Goal("false alarms, equally good", alarms, 0.05, "", at_least=False)]
    table = [["version", "rows until it goes: median", "p95"]]
    for name, worse in _WORSE.items():
        shares = {**_GOOD, **worse}
        found = sorted(
            rollout(chance, shares, options.rows) or options.rows
            for _ in range(max(20, options.rollouts // 10))
        )
        late = found[int(0.95 * (len(found) - 1))]
        table.append([name, f"{statistics.median(found):.0f}", f"{late}"])
        if max(worse.values()) == 1:
            goals.append(Goal(f"p95, {name}", late, 200, "rows", at_least=False))
    notes = [f"{options.rollouts:,} rollouts of {options.rows:,} rows, a look after every row"]
    report("Guards of a rollout", goals, notes, json=options.json, table=table)


if __name__ == "__main__":
    main()
