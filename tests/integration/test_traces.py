"""Traces reach a collector, one a row from claim to publish; without one nothing stops."""

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.helpdesk import Helpdesk
from tests.site import Site

STEPS = {"read", "retrieve", "generate", "write"}


class Collector:
    """A server that takes spans, or refuses them, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[bytes] = []
        self.keys: set[str | None] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers["content-length"])))
                outer.keys.add(self.headers["authorization"])
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Span]:
        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    started = Collector()
    yield started
    started.server.shutdown()
    started.server.server_close()


def _told(span: Span) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


def test_each_row_has_one_trace_from_claim_to_publish_without_its_text(
    site: Site, collector: Collector
) -> None:
    texts = Helpdesk.of(site.folder / "legacy.sqlite").execute("SELECT subject, body FROM ticket")
    site.extra += (
        f'[traces]\nendpoint = "{collector.endpoint}"\nshare = 1.0\napi_key = "${{collector}}"\n'
    )
    site.write().run_once(INSIGHTS_CREDENTIAL_COLLECTOR="let me in")
    traces: dict[bytes, dict[str, Span]] = defaultdict(dict)
    for span in collector.spans():
        assert span.name not in traces[span.trace_id]
        traces[span.trace_id][span.name] = span
    assert len(traces) == 40
    for spans in traces.values():
        assert {*spans} == {"enrich", "publish", *STEPS}
        whole = spans["enrich"]
        assert all(spans[name].parent_span_id == whole.span_id for name in STEPS)
        assert not whole.parent_span_id
        assert not spans["publish"].parent_span_id
        assert whole.start_time_unix_nano == spans["read"].start_time_unix_nano
        assert whole.end_time_unix_nano <= spans["publish"].end_time_unix_nano
        assert _told(whole)["insights.pipeline"] == "triage"
        assert _told(whole)["insights.status"] in {"ok", "withheld", "abstained"}
    assert collector.keys == {"Bearer let me in"}
    for text in (str(value).encode() for row in texts for value in row if value):
        assert not any(text in body for body in collector.bodies)


def test_a_collector_that_takes_nothing_costs_its_spans_alone_and_is_said_once(
    site: Site, collector: Collector
) -> None:
    collector.status = 400
    site.extra += f'[traces]\nendpoint = "{collector.endpoint}"\nshare = 1.0\n'
    done = site.write().insights("run", "--once", "--json")
    assert json.loads(done.stdout)["insights"] == 40
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines if "trace" in line["event"]] == [
        "traces are lost: the collector takes none"
    ]
    told = {one["place"]: one for one in json.loads(site.insights("doctor", "--json").stdout)}
    assert told["traces"]["level"] == "warning"
    collector.status = 200
    told = {one["place"]: one for one in json.loads(site.insights("doctor", "--json").stdout)}
    assert told["traces"]["level"] == "ok"


def test_spans_do_not_cross_a_network_as_plain_text(site: Site) -> None:
    site.extra += '[traces]\nendpoint = "http://collector.example:4318/v1/traces"\n'
    refused = site.write().insights("status", code=78)
    assert "spans would cross the network as plain text" in refused.stderr
