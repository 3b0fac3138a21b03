"""Histograms say to Prometheus what its own client library says, and lose nothing to threads."""

import random
import threading

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from insights.ground.histograms import Histogram

BOUNDS = (0.01, 0.5, 1, 2.5, 64)


def _told(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_values_are_told_as_the_client_library_tells_them() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("s_seconds", "Time", ["model", "kind"], buckets=BOUNDS, registry=ours)
    other = prometheus_client.Histogram(
        "s_seconds", "Time", ["model", "kind"], buckets=BOUNDS, registry=theirs
    )
    rng = random.Random(1)
    for model in ("a", 'b "quoted"'):
        values = [*BOUNDS, 0.0, 1e9, *(rng.choice([0.25, 1.5, 8.0]) for _ in range(50))]
        mine.labels(model, "k").observe(*values)
        for value in values:
            other.labels(model, "k").observe(value)
    mine.labels("none", "k").observe()
    other.labels("none", "k")
    assert _told(ours) == _told(theirs)
    assert len(_told(ours)) == 2 + 3 * (len(BOUNDS) + 3)


def test_threads_lose_no_value_and_a_wrong_label_is_no_new_one() -> None:
    registry = CollectorRegistry()
    found = Histogram("n", "N", ["model"], buckets=BOUNDS, registry=registry)

    def count() -> None:
        for _ in range(500):
            found.labels("a").observe(1, 2)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.get_sample_value("n_count", {"model": "a"}) == 8_000
    assert registry.get_sample_value("n_sum", {"model": "a"}) == 12_000
    with pytest.raises(ValueError, match="has the labels model"):
        found.labels("a", "b")
