"""Sends spans to a collector as OTLP over HTTP, in batches, from a thread of its own.

A collector that does not answer costs its spans and nothing else: it is said once, and once more
when it answers again.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import NamedTuple

import requests
import structlog
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from insights.ground.environment import reveal
from insights.ground.spans import SPANS, Span
from insights.site.settings import Settings

log = structlog.get_logger(__name__)

_TIMEOUT_S = 5.0
_EVERY_MS = 2_000.0
_NS = 1_000_000_000
_CLOSING_S = 2.0  # for what is left when the daemon ends


class Collector(NamedTuple):
    """Where spans are sent, with a bearer token and a private authority's certificates, if any."""

    endpoint: str
    key: str
    ca_file: str | None

    @classmethod
    def of(cls, settings: Settings) -> "Collector":
        """Return what `[traces]` names.

        Raises:
            errors.SettingsError: If its credential is not there.
        """
        found = settings.traces
        return cls(
            endpoint=found.endpoint,
            key=reveal(found.api_key, "traces.api_key") if found.api_key else "",
            ca_file=None if found.ca_file is None else str(settings.resolve(found.ca_file)),
        )

    def takes(self) -> bool:
        """Tell whether it takes spans: a request without any is sent to it."""
        exporter = self.exporter()
        try:
            return exporter.export([]) is SpanExportResult.SUCCESS
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]

    def exporter(self) -> OTLPSpanExporter:
        """Return what sends to it."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # `_Told` says it, once
        session = requests.Session()
        session.trust_env = False  # no proxy, no password of a .netrc
        return OTLPSpanExporter(
            self.endpoint,
            certificate_file=self.ca_file,
            headers={"authorization": f"Bearer {self.key}"} if self.key else {},
            timeout=_TIMEOUT_S,
            session=session,
        )


@contextmanager
def sending(collector: Collector, share: float, *, instance: str) -> Iterator[None]:
    """Send this process's spans to a collector for as long as it is entered.

    Args:
        collector: Where.
        share: Of the rows, 0 to 1.
        instance: This daemon's name.
    """
    sender = _Sender(collector, instance)
    SPANS.follow(sender, share)
    try:
        yield
    finally:
        SPANS.follow(None)
        sender.close()


class _Told(SpanExporter):
    """Says when a collector stops taking spans, and when it takes them again."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter, self._endpoint = exporter, endpoint
        self._takes = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        takes = result is SpanExportResult.SUCCESS
        if takes != self._takes:
            self._takes = takes
            if takes:
                log.info("traces are taken again", endpoint=self._endpoint)
            else:
                log.warning("traces are lost: the collector takes none", endpoint=self._endpoint)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Ids(RandomIdGenerator):
    """Gives the next span the ids that it is to have."""

    trace = 0
    span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span or super().generate_span_id()


class _Sender:
    """Implements `spans.Taker`."""

    def __init__(self, collector: Collector, instance: str) -> None:
        self._ids = _Ids()
        self._lock = threading.Lock()  # from an id to the span that gets it
        resource = Resource(
            {
                "service.name": "insights",
                "service.version": version("legacy-insights"),
                "service.instance.id": instance,
            }
        )
        self._provider = TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        told = _Told(collector.exporter(), collector.endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(told, schedule_delay_millis=_EVERY_MS))
        self._tracer = self._provider.get_tracer("insights")

    def take(self, span: Span) -> None:
        trace_id = int(span.trace, 16)
        context = Context()
        if span.parent:
            above = otel.SpanContext(
                trace_id, span.parent, is_remote=False, trace_flags=otel.TraceFlags(1)
            )
            context = otel.set_span_in_context(otel.NonRecordingSpan(above), context)
        with self._lock:
            self._ids.trace, self._ids.span = trace_id, span.own
            made = self._tracer.start_span(
                span.name, context, attributes=span.attributes, start_time=int(span.began * _NS)
            )
        if span.failed:
            made.set_status(otel.Status(otel.StatusCode.ERROR, span.failed))
        made.end(int(span.ended * _NS))

    def close(self) -> None:
        """Send what is left, for as long as it may take."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_CLOSING_S)
