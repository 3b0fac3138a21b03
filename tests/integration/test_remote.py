"""The remote child against a real HTTP server that speaks the chat completions protocol."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from insights import errors
from insights.inference.messages import RemoteInit
from insights.inference.remote_client import RemoteGenerator
from insights.model import GenerateRequest, Generation, Message, Segment

SCHEMA = {
    "type": "object",
    "properties": {"problem": {"type": "string", "x-quote": "row.body"}},
    "required": ["problem"],
}
REQUEST = GenerateRequest(
    messages=(
        Message(role="user", segments=(Segment(text="printer is on fire", is_template=False),)),
    ),
    output_schema=SCHEMA,
    abstain=("none",),
    row={"body": "printer is on fire"},
)


class Provider(ThreadingHTTPServer):
    """Answers from a list of (status, text), the last one for ever; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, str]] = [(200, '{"problem":"on fire"}')]
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.location = ""  # where a status of 3xx sends the caller
        self.open = threading.Event()
        self.open.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.asked.append(json.loads(self.rfile.read(length)))
        self.server.keys.append(self.headers["Authorization"])
        assert self.server.open.wait(10)
        answers = self.server.answers
        status, text = answers.pop(0) if len(answers) > 1 else answers[0]
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "big",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
        raw = json.dumps(body if status == 200 else {"error": {"message": text}}).encode()
        self.send_response(status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def connect(provider: Provider) -> Iterator[Callable[..., RemoteGenerator]]:
    made: list[RemoteGenerator] = []

    def to(url: str = "", retries: int = 0, parallel: int = 16) -> RemoteGenerator:
        init = RemoteInit(
            name="big",
            url=url or provider.url,
            model="big",
            api_key="secret",
            retries=retries,
            timeout_s=5,
            parallel=parallel,
        )
        made.append(RemoteGenerator(init))
        return made[-1]

    yield to
    for generator in made:
        generator.close()


def test_a_request_given_up_before_its_turn_is_never_sent(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    generator = connect(parallel=1)
    provider.open.clear()
    first, second, third = (generator.submit(REQUEST) for _ in range(3))
    assert second.cancel()
    provider.open.set()
    assert first.result(30).text == third.result(30).text
    assert len(provider.asked) == 2


def test_a_request_of_more_weight_is_asked_before_a_backlog_and_the_backlog_goes_on(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    generator = connect(parallel=1)
    provider.open.clear()

    def submit(text: str, weight: int) -> Future[Generation]:
        said = Segment(text=text, is_template=False)
        messages = (Message(role="user", segments=(said,)),)
        changed = msgspec.structs.replace(REQUEST, messages=messages, weight=weight)
        return generator.submit(changed)

    asked = [submit(f"backlog {n}", 1) for n in range(4)]
    until = time.monotonic() + 20
    while not provider.asked and time.monotonic() < until:
        time.sleep(0.01)
    asked += [submit(f"person {n}", 4) for n in range(6)]
    time.sleep(0.5)  # all of them are with the child
    provider.open.set()
    for one in asked:
        one.result(30)
    order = [body["messages"][0]["content"].split()[0] for body in provider.asked]
    assert order[0] == "backlog"  # it was asked already
    assert order[1] == "person"
    assert "backlog" in order[2:7]
    assert sorted(order) == ["backlog"] * 4 + ["person"] * 6


def test_a_generation_says_where_it_came_from_and_its_quotes_were_checked(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    made = connect().submit(REQUEST).result(30)
    assert made.text == '{"problem":"on fire"}'
    assert (made.route, made.quotes_by, made.model) == ("remote:big", "check", "big")
    (span,) = made.quotes
    assert (span.field, span.source, span.start, span.end) == ("/problem", "row.body", 11, 18)
    sent = provider.asked[0]["response_format"]["json_schema"]["schema"]
    assert "x-quote" not in json.dumps(sent)
    assert sent["anyOf"][1]["properties"]["abstain"]["enum"] == ["none"]
    assert provider.keys == ["Bearer secret"]


def test_a_quote_of_another_kind_or_heading_is_asked_for_once_more(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    kind = {"x-quote": "row.body", "x-quote-pattern": "^Replace"}
    heading = {"x-quote": "passages", "x-quote-heading": "^Steps$"}
    texts = {1: "Turn it off.", 2: "It was built long ago."}
    for part, good, bad in (
        (kind, "Replace the seal.", "The seal leaks."),
        (heading, texts[1], texts[2]),
    ):
        part = {"type": "string", "x-quote-unit": "sentence", **part}  # noqa: PLW2901
        request = msgspec.structs.replace(
            REQUEST,
            output_schema={"type": "object", "properties": {"step": part}, "required": ["step"]},
            row={"body": "The seal leaks. Replace the seal."},
            passages=texts,
            headings={1: "Steps", 2: "History"},
        )
        provider.asked.clear()
        provider.answers = [(200, json.dumps({"step": said})) for said in (bad, good)]
        made = connect().submit(request).result(30)
        assert json.loads(made.text) == {"step": good}
        assert [span.field for span in made.quotes] == ["/step"]
        assert len(provider.asked) == 2
        sent = json.dumps(provider.asked[0]["response_format"])
        assert "x-quote" not in sent
        provider.answers = [(200, json.dumps({"step": bad}))]
        assert connect().submit(request).result(30).quotes == ()  # validation withholds it


def test_what_a_server_names_twice_is_left_out_and_no_server_is_asked_not_to(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    tags = {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True}
    schema = {"type": "object", "properties": {"tags": tags}, "required": ["tags"]}
    provider.answers = [(200, '{"tags":["b","a","b"]}')]
    asked = msgspec.structs.replace(REQUEST, output_schema=schema)
    assert connect().submit(asked).result(30).text == '{"tags":["b","a"]}'
    assert "uniqueItems" not in json.dumps(provider.asked[0])


def test_a_quote_that_is_not_literal_is_asked_for_once_more(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    provider.answers = [(200, '{"problem":"in flames"}'), (200, '{"problem":"on fire"}')]
    assert connect().submit(REQUEST).result(30).text == '{"problem":"on fire"}'
    assert len(provider.asked) == 2
    provider.asked.clear()
    provider.answers = [(200, '{"problem":"in flames"}')]
    made = connect().submit(REQUEST).result(30)
    assert len(provider.asked) == 2
    assert made.quotes == ()


def test_a_busy_server_is_asked_again(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    provider.answers = [(503, "busy"), (429, "slow down"), (200, '{"problem":"on fire"}')]
    assert connect(retries=3).submit(REQUEST).result(60).finish == "stop"


def test_tries_and_queue_end_with_the_one_deadline_of_the_request(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    """Four requests, one at a time, to a server that is always busy: nobody waits longer."""
    provider.answers = [(503, "busy")]
    generator = connect(retries=50, parallel=1)
    given_up = generator.submit(REQUEST)  # for minutes, before all others
    while not provider.asked:
        time.sleep(0.05)
    given_up.cancel()
    hurried = msgspec.structs.replace(REQUEST, deadline_s=2.0)
    began = time.monotonic()
    asked = [generator.submit(hurried) for _ in range(4)]
    for future in asked:
        with pytest.raises(errors.ProviderUnavailable):
            future.result(60)
    assert time.monotonic() - began < 20  # 50 tries of each would take minutes
    assert len(provider.asked) < 20


def test_a_child_that_ends_is_an_outage_and_no_death(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    generator = connect()
    generator.submit(REQUEST).result(30)
    provider.open.clear()
    future = generator.submit(REQUEST)
    pid = generator.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(errors.ProviderUnavailable, match="signal 9"):
        future.result(30)
    provider.open.set()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, errors.ProviderUnavailable),
        (429, errors.ProviderUnavailable),
        (401, errors.SettingsError),
        (404, errors.SettingsError),
        (400, errors.RowError),
        (422, errors.RowError),
    ],
)
def test_each_refusal_is_an_outage_a_setting_or_the_row(
    provider: Provider,
    connect: Callable[..., RemoteGenerator],
    status: int,
    kind: type[errors.InsightsError],
) -> None:
    provider.answers = [(status, "printer is on fire")]
    with pytest.raises(kind) as caught:
        connect().submit(REQUEST).result(30)
    assert "fire" not in str(caught.value), "a server may echo the row"


def test_an_outage_opens_the_breaker_and_blames_no_row(
    connect: Callable[..., RemoteGenerator],
) -> None:
    generator = connect("http://127.0.0.1:9/v1")
    for _ in range(7):
        with pytest.raises(errors.ProviderUnavailable):
            generator.submit(REQUEST).result(30)
    assert not generator.breaker.works
    with pytest.raises(errors.ProviderUnavailable, match="after a pause"):
        generator.submit(REQUEST).result(30)


def test_a_redirect_is_not_followed(
    provider: Provider, connect: Callable[..., RemoteGenerator]
) -> None:
    elsewhere = Provider()
    thread = threading.Thread(target=elsewhere.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        provider.location, provider.answers = f"{elsewhere.url}/chat/completions", [(307, "there")]
        with pytest.raises(errors.InsightsError):
            connect().submit(REQUEST).result(30)
        assert provider.asked
        assert elsewhere.asked == []
    finally:
        elsewhere.shutdown()
        thread.join()
        elsewhere.server_close()


def test_no_proxy_is_taken_from_the_environment(
    provider: Provider, connect: Callable[..., RemoteGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nobody listens
    assert connect().submit(REQUEST).result(30).text
    assert provider.asked
