"""What a version with a share of the keys may not do too often, and whether it does.

Pure: from counts of what it and the live version made to a breach with its reason, or none.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from insights.enriching.evidence import EVEN, log_evidence, needed
from insights.site.guards import LIVE, OFF, GuardSettings

_SAYS = {
    "failed": "ended as dead letters, or had no answer of a model",
    "withheld": "were withheld",
    "abstained": "abstained",
    "slow": "took longer than they may",
    "costly": "took more tokens than they may",
    "differs": "differ from the live version's",
    "wrong": "were said to be wrong",
}


class Standing(NamedTuple):
    """How one guard stands.

    Attributes:
        guard: What it watches.
        bad: Rows that are so; beside the live version, of those on which the two differ.
        rows: Rows that were looked at; beside the live version, those on which the two differ.
        limit: The share that may be so.
        beside: Whether it is watched beside the live version.
        part: How much of the evidence that is an alarm there is: 1 and more is one.
    """

    guard: str
    bad: int
    rows: int
    limit: float
    beside: bool
    part: float

    @property
    def says(self) -> str:
        """The guard in words."""
        what = _SAYS[self.guard]
        if self.beside:
            return (
                f"on {self.rows:,} rows it and the live version differ in that they {what}: "
                f"{self.bad:,} of these are its"
            )
        return f"{self.bad:,} of {self.rows:,} rows {what}; at most {self.limit:.4g} of them may"


def standings(settings: GuardSettings, counts: Mapping[str, int]) -> list[Standing]:
    """Return how the guards stand, the nearest to an alarm first.

    Args:
        settings: What is watched.
        counts: Of a guard `g`: `g` rows are so of `made` (of `compared` for `differs`), `g_alone`
            are so and the live version's are not, `g_live` the other way round.
    """
    watched = settings.watched
    enough = needed(settings.false_alarms, len(watched)) if watched else 0.0
    found = [
        Standing(*one, part=log_evidence(*one[1:4]) / enough) for one in _asked(watched, counts)
    ]
    return sorted(found, key=lambda one: -one.part)


def breach(found: list[Standing]) -> str | None:
    """Return why a version may not go on, or None."""
    return found[0].says if found and found[0].part >= 1 else None


def _asked(
    watched: Mapping[str, float | str], counts: Mapping[str, int]
) -> Iterator[tuple[str, int, int, float, bool]]:
    made = counts.get("made", 0) + counts.get("dead", 0)
    for guard, limit in watched.items():
        assert limit != OFF  # noqa: S101 - it is not watched then
        if limit == LIVE:
            alone, live = counts.get(f"{guard}_alone", 0), counts.get(f"{guard}_live", 0)
            yield guard, alone, alone + live, EVEN, True
        else:
            rows = counts.get("compared", 0) if guard == "differs" else made
            yield guard, counts.get(guard, 0), rows, float(limit), False
