"""Gauges: the daemon's memory as it is now, the store as it was seconds ago."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from insights.inference.client import LocalGenerator
from insights.service.health import Check, Health, worst
from insights.store.reports import BudgetReport
from insights.wiring.app import App
from insights.wiring.health import Readiness

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATUS = {"ok": 0, "warning": 1, "failed": 2}


class Measure(NamedTuple):
    """One value of one gauge, or of one total that only grows (`counts`)."""

    name: str
    value: float
    labels: dict[str, str]
    counts: bool = False


def living(health: Health) -> list[Measure]:
    """Return the gauges of a process that is a door and no daemon."""
    alive, ready = health.alive(), health.ready()
    return [
        Measure("insights_live", worst(alive) != "failed", {}),
        Measure("insights_ready", worst(ready) != "failed", {}),
    ]


class Measures:
    """Reads gauges; asks nobody, waits for nobody.

    Args:
        app: What is open.
        health: Its checks.
        readiness: What looked at the store.
    """

    def __init__(self, app: App, health: Health, readiness: Readiness) -> None:
        self._app = app
        self._health = health
        self._readiness = readiness

    def __call__(self) -> Iterator[Measure]:
        """Return all values."""
        yield from living(self._health)
        yield from _checks(self._health.ready())
        yield from self._store()
        yield from _budgets(self._readiness.observing.budgets)
        yield from self._doors()
        yield from self._models()
        yield from self._children()
        if (pipeline := self._readiness.pipeline) is not None:
            yield Measure("insights_in_flight_rows", pipeline.held, {})
            for part, name, is_open in pipeline.parts:
                yield Measure("insights_breaker_open", is_open, {"part": part, "name": name})

    def _store(self) -> Iterator[Measure]:
        seen = self._readiness.observing
        yield Measure("insights_store_seen_seconds", seen.age_s, {})
        for daemon in seen.daemons:
            labels = {"daemon": daemon.holder}
            yield Measure("insights_daemon_silent_seconds", daemon.silent_s, labels)
        for stream in seen.streams.values():
            labels = {"stream": stream.stream}
            yield Measure("insights_stream_paused", stream.paused, labels)
            yield Measure("insights_stream_stopped", stream.stopped_reason is not None, labels)
            if stream.lag_s is not None:
                yield Measure("insights_replica_lag_seconds", stream.lag_s, labels)
            if stream.polled_s is not None:
                age_s = stream.polled_s + seen.age_s
                yield Measure("insights_since_poll_seconds", age_s, labels)
        for backlog in seen.backlog:
            labels = {"stream": backlog.stream, "pipeline": backlog.pipeline}
            stranded = backlog.pending > 0 and not backlog.served
            yield Measure("insights_pending_rows", backlog.pending, labels)
            yield Measure("insights_oldest_pending_seconds", backlog.oldest_s or 0.0, labels)
            yield Measure("insights_stranded", stranded, labels)
            yield Measure("insights_version_held", backlog.held, labels)
        for dead in seen.dead:
            yield Measure("insights_dead_letter_rows", dead.rows, {"stream": dead.stream})
        for outbox in seen.outboxes:
            labels = {"sink": outbox.sink}
            yield Measure("insights_outbox_rows", outbox.due, labels)
            yield Measure("insights_outbox_oldest_seconds", outbox.oldest_s or 0.0, labels)
            yield Measure("insights_sink_stopped", outbox.stopped_reason is not None, labels)

    def _doors(self) -> Iterator[Measure]:
        seen = self._readiness.observing
        for one in seen.replies:
            labels = {"door": one.door}
            yield Measure("insights_replies_waiting", one.waiting, labels)
            yield Measure("insights_replies_failing", one.failing, labels)
            yield Measure("insights_replies_given_up", one.given_up, labels)
        for door, late_s in seen.late.items():
            yield Measure("insights_replies_late_seconds", late_s, {"door": door})
        for folder in self._readiness.folders:
            labels = {"door": folder.name.removeprefix("door ")}
            files, oldest_s = folder.waiting
            yield Measure("insights_folder_waiting_files", files, labels)
            yield Measure("insights_folder_oldest_seconds", oldest_s, labels)

    def _models(self) -> Iterator[Measure]:
        for name, generator in list(self._app.generators.items()):
            if not isinstance(generator, LocalGenerator):
                continue
            labels, done = {"model": name}, generator.engine
            yield Measure("insights_model_in_flight_rows", generator.in_flight, labels)
            yield Measure("insights_engine_rows_total", done.rows, labels, counts=True)
            yield Measure("insights_engine_steps_total", done.steps, labels, counts=True)
            yield Measure("insights_engine_busy_seconds_total", done.busy_s, labels, counts=True)
            yield Measure("insights_kv_cache_cells", done.cells, labels)
            yield Measure("insights_kv_cache_used_cells", done.cells_used, labels)
            yield Measure("insights_engine_peak_memory_bytes", done.peak_memory_mb * 1e6, labels)
            for kind in ("evaluated_prompt", "reused", "forced", "sampled", "accepted"):
                tokens = getattr(done, f"{kind}_tokens")
                found = {**labels, "kind": kind}
                yield Measure("insights_engine_tokens_total", tokens, found, counts=True)

    def _children(self) -> Iterator[Measure]:
        app = self._app
        found: list[tuple[str, object]] = [
            *((f"reader {name}", one) for name, one in app.sources.items()),
            *app.sinks.items(),
            *((f"generator {name}", one) for name, one in app.generators.items()),
            *((f"embedder {at}", one) for at, one in enumerate(app.opened_embedders)),
            *((f"recognizer {name}", one) for name, one in app.recognizer.workers.items()),
        ]
        for name, child in found:
            pid = getattr(child, "pid", None)
            with contextlib.suppress(OSError, ValueError, IndexError):  # it has just ended
                pages = int(Path(f"/proc/{int(pid or 0)}/statm").read_text("ascii").split()[1])
                bytes_ = pages * _PAGE_BYTES
                yield Measure("insights_child_resident_memory_bytes", bytes_, {"child": name})


def _budgets(budgets: Iterable[BudgetReport]) -> Iterator[Measure]:
    for budget in budgets:
        labels = {"budget": budget.name, "unit": budget.unit}
        yield Measure("insights_budget_used", budget.used, labels)
        yield Measure("insights_budget_reserved", budget.reserved, labels)
        for kind, bound in (("soft", budget.soft), ("hard", budget.hard)):
            if bound is not None:
                yield Measure("insights_budget_bound", bound, {**labels, "kind": kind})
        for state in ("slowed", "stopped"):
            reached = budget.state == state
            yield Measure("insights_budget_reached", reached, {**labels, "state": state})


def _checks(checks: list[Check]) -> Iterator[Measure]:
    for check in checks:
        kind, _, name = check.name.partition(" ")
        labels = {"kind": kind, "name": name}
        yield Measure("insights_check_status", _STATUS[check.status], labels)
