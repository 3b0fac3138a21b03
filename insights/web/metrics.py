"""`/metrics`: what was counted, and gauges as they are now, in Prometheus' text."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from insights.ground import metrics

SAYS = {
    "insights_live": "Whether the main loop turns and every thread was heard of",
    "insights_ready": "Whether all that this daemon's roles need is there",
    "insights_check_status": "A check of readiness: 0 ok, 1 warning, 2 failed",
    "insights_store_seen_seconds": "Time since the store answered",
    "insights_daemon_silent_seconds": "Time since a daemon of the store was heard of",
    "insights_stream_paused": "Whether a person paused the stream",
    "insights_stream_stopped": "Whether the stream stopped until a person acts",
    "insights_replica_lag_seconds": "How far the replica is behind its primary",
    "insights_since_poll_seconds": "Time since a poll of the stream ended",
    "insights_pending_rows": "Rows that wait to be enriched",
    "insights_oldest_pending_seconds": "Time since the oldest waiting row was found",
    "insights_stranded": "Whether rows wait for a version that no daemon serves",
    "insights_version_held": "Whether a guard has ended a rollout of the pipeline",
    "insights_budget_used": "What was used of a budget in this window, in its unit",
    "insights_budget_reserved": "What rows in hand have reserved of a budget",
    "insights_budget_bound": "The soft and the hard bound of a budget",
    "insights_budget_reached": "Whether a budget slows or stops what is under it",
    "insights_dead_letter_rows": "Dead letters that stand",
    "insights_outbox_rows": "Rows that a sink still has to be told",
    "insights_outbox_oldest_seconds": "Time since the oldest of them was made",
    "insights_sink_stopped": "Whether nothing can be published to the sink",
    "insights_replies_waiting": "Replies of a door whose outcome is not told yet",
    "insights_replies_failing": "Of those, how many were tried and not taken",
    "insights_replies_given_up": "Replies that were tried too often, in the last seven days",
    "insights_replies_late_seconds": "How long the oldest outcome that is there waits to be told",
    "insights_folder_waiting_files": "Files that a folder had at the last look",
    "insights_folder_oldest_seconds": "Time since the oldest of them was written",
    "insights_in_flight_rows": "Rows between claim and write",
    "insights_breaker_open": "Parts that are stopped, and tried after pauses",
    "insights_model_in_flight_rows": "Generations that are asked of a model now",
    "insights_engine_rows_total": "Rows that the engine finished",
    "insights_engine_steps_total": "Batches that the engine decoded",
    "insights_engine_busy_seconds_total": "Time that the engine worked",
    "insights_kv_cache_cells": "Tokens that the KV cache has room for",
    "insights_kv_cache_used_cells": "Tokens that the KV cache holds, of rows that are done too",
    "insights_engine_peak_memory_bytes": "Most memory of the generator's process so far",
    "insights_engine_tokens_total": "Tokens of the engine, by what became of them",
    "insights_child_resident_memory_bytes": "Memory of a child process",
}


class Value(Protocol):
    """One value of a gauge or of a total."""

    @property
    def name(self) -> str:
        """Of the metric."""
        ...

    @property
    def value(self) -> float:
        """In the metric's unit."""
        ...

    @property
    def labels(self) -> dict[str, str]:
        """Few, and of the settings."""
        ...

    @property
    def counts(self) -> bool:
        """Whether it only grows."""
        ...


Read = Callable[[], Iterable[Value]]


class Page:
    """The page; `read` is set once there is something to read."""

    def __init__(self) -> None:
        self.read: Read = list
        registry = CollectorRegistry()
        registry.register(metrics.REGISTRY)
        registry.register(_Gauges(self))
        ProcessCollector(registry=registry)
        self._registry = registry

    @property
    def route(self) -> Route:
        """The route that answers it."""

        async def answer(_: Request) -> Response:
            text = generate_latest(self._registry)
            return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

        return Route("/metrics", answer)


class _Gauges(Collector):
    def __init__(self, page: Page) -> None:
        self._page = page

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for one in self._page.read():
            if one.name not in found:
                kind = CounterMetricFamily if one.counts else GaugeMetricFamily
                found[one.name] = kind(one.name, SAYS[one.name])
            found[one.name].add_sample(one.name, one.labels, float(one.value))
        yield from found.values()
