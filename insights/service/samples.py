"""What the daemon measures, as rules ask after it: gauges at one moment, and how counters grew."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from insights.ground import metrics

FAILED = 2.0  # of insights_check_status
SHORT_S, LONG_S = 300.0, 600.0  # how far back growth is looked at


class Sample(Protocol):
    """One measured value."""

    @property
    def name(self) -> str:
        """Of the metric."""
        ...

    @property
    def value(self) -> float:
        """In the metric's unit."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Names of the settings."""
        ...


class Look:
    """What was measured at one moment.

    Args:
        samples: All values.
        grown: By how much a counter grew: its name, and seconds back.
    """

    def __init__(
        self, samples: Iterable[Sample], grown: Callable[[str, float], Mapping[str, float]]
    ) -> None:
        self._of: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._of[sample.name].append(sample)
        self.grown = grown

    def worst(self, name: str, by: str = "", /, **labels: str) -> dict[str, float]:
        """Return the greatest value for each value of a label; of all, under "", without one."""
        found: dict[str, float] = {}
        for one in self._of[name]:
            if labels.items() <= one.labels.items():
                key = one.labels.get(by, "")
                found[key] = max(one.value, found.get(key, float("-inf")))
        return found

    def failed(self, *kinds: str) -> bool:
        """Tell whether a check of one of these kinds failed."""
        return any(self.checks(kind, FAILED) for kind in kinds)

    def checks(self, kind: str, at_least: float) -> list[str]:
        """Return the names of a kind's checks that are so bad."""
        found = self.worst("insights_check_status", "name", kind=kind)
        return [name for name, value in found.items() if value >= at_least]

    def open(self, **labels: str) -> bool:
        """Tell whether a breaker is open."""
        return self.worst("insights_breaker_open", **labels).get("", 0.0) >= 1


class Growth:
    """How counters grow: keeps what they were in the last minutes."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[tuple[str, str], float]]] = deque()

    def at(self, now_s: float, totals: Mapping[tuple[str, str], float]) -> None:
        """Take what counters say now, summed by the label that is told."""
        self._past.append((now_s, dict(totals)))
        while self._past[0][0] < now_s - LONG_S:
            self._past.popleft()

    def grown(self, name: str, back_s: float) -> dict[str, float]:
        """Return by how much each grew, of those that did."""
        now_s, now = self._past[-1]
        then = next(past for at, past in self._past if at >= now_s - back_s)
        found = {key[1]: value - then.get(key, 0.0) for key, value in now.items() if key[0] == name}
        return {key: value for key, value in found.items() if value > 0}


_COUNTERS = {
    "insights_published_rows_total": ("sink", {"result": "refused"}),
    "insights_dead_letters_total": ("pipeline", {}),
    "insights_unforeseen_errors_total": ("", {}),
    "insights_child_deaths_total": ("child", {}),
}


def totals() -> dict[tuple[str, str], float]:
    """Return what the daemon has counted, as `summed` gives it."""
    samples = (sample for one in metrics.REGISTRY.collect() for sample in one.samples)
    return summed((sample.name, sample.labels, sample.value) for sample in samples)


def summed(
    samples: Iterable[tuple[str, Mapping[str, str], float]],
) -> dict[tuple[str, str], float]:
    """Return the counters that rules ask after, by name and the label that is told."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    for name, labels, value in samples:
        label, wanted = _COUNTERS.get(name, ("", None))
        if wanted is not None and wanted.items() <= labels.items():
            found[name, labels.get(label, "")] += value
    return dict(found)
