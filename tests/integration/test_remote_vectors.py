"""Embeddings and relevances of a server: real vectors over both protocols, and bad answers."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from insights import errors
from insights.embedding.client import EmbedderClient
from insights.embedding.files import ModelFiles
from insights.inference.breaker import Breaker
from insights.inference.messages import RemoteInit
from insights.inference.vectors_client import RemoteVectorsClient
from insights.inference.vectors_messages import CHECK, VectorsInit
from insights.model import EmbeddingModel
from insights.store.passages import PassageStore
from insights.store.postgres import Store

Embed = Callable[[list[str]], list[list[Any]]]


def letters(texts: list[str]) -> list[list[Any]]:
    """Return vectors of four numbers, different for different texts."""
    return [[1.0, len(text), text.count("e"), text.count("a")] for text in texts]


class Server(ThreadingHTTPServer):
    """Speaks both protocols; `embed` makes the vectors, `refusals` are answered before anything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.embed: Embed = letters
        self.score: Callable[[str], float] = lambda text: text.count("e") / max(len(text), 1)
        self.refusals: list[tuple[int, dict[str, str]]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str | None] = []
        self.at: list[float] = []
        self.longest = 10**9
        self.mangle: Callable[[Any], Any] = lambda answer: answer
        self.open = threading.Event()
        self.open.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        self.server.keys.append(self.headers["Authorization"])
        self.server.at.append(time.monotonic())
        assert self.server.open.wait(20)
        if self.server.refusals:
            status, headers = self.server.refusals.pop(0)
            self._send(status, b"{}", headers)
            return
        texts = body.get("input") or body.get("inputs") or []
        if any(len(text) > self.server.longest for text in texts):
            self._send(413, b"{}", {})
            return
        self._send(200, json.dumps(self.server.mangle(self._answer(body, texts))).encode(), {})

    def _answer(self, body: dict[str, Any], texts: list[str]) -> object:
        if self.path == "/embed":
            return self.server.embed(texts)
        if self.path == "/v1/embeddings":
            vectors = list(enumerate(self.server.embed(texts)))
            return {"data": [{"index": n, "embedding": v} for n, v in reversed(vectors)]}
        judged = list(enumerate(map(self.server.score, body.get("texts") or body["documents"])))
        if self.path == "/rerank":
            return [{"index": n, "score": s} for n, s in reversed(judged)]
        return {"results": [{"index": n, "relevance_score": s} for n, s in reversed(judged)]}

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.open.set()
    made.shutdown()
    made.server_close()


class Pins:
    """Keeps the first check vector of each model, as the store does."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def __call__(self, model: EmbeddingModel, vector: bytes) -> bytes:
        return self.kept.setdefault(model.sha256, vector)


Connect = Callable[..., RemoteVectorsClient]


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    made: list[RemoteVectorsClient] = []

    def open_(
        pin: Callable[[EmbeddingModel, bytes], bytes] | None = None,
        breaker: Breaker | None = None,
        timeout_s: float = 20.0,
        retries: int = 3,
        **changed: Any,  # noqa: ANN401 - fields of VectorsInit
    ) -> RemoteVectorsClient:
        base = server.url if changed.get("protocol") == "tei" else f"{server.url}/v1"
        remote = RemoteInit(
            name="embedder", url=base, model="small", api_key="key-7", timeout_s=timeout_s,
            retries=retries, section="embedding.server",
        )  # fmt: skip
        tokenizer = ModelFiles().tokenizer
        values: dict[str, Any] = {"dimensions": 4, "tokenizer": str(tokenizer)} | changed
        init = VectorsInit(server=remote, **values)
        client = RemoteVectorsClient(init, tokenizer, pin or Pins(), breaker=breaker)
        made.append(client)
        return client

    yield open_
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def local() -> Iterator[EmbedderClient]:
    client = EmbedderClient(ModelFiles(), threads=1)
    yield client
    client.close()


def numbers(vectors: list[bytes]) -> "np.ndarray[Any, Any]":
    return np.array([np.frombuffer(v, ">f2", offset=4) for v in vectors], dtype=np.float32)


@pytest.mark.parametrize("protocol", ["openai", "tei"])
def test_a_server_gives_the_vectors_of_its_model(
    server: Server, connect: Connect, local: EmbedderClient, protocol: str
) -> None:
    server.embed = lambda texts: (3 * numbers(local.embed(texts, "document"))).tolist()
    texts = [f"the printer of room {number} is on fire" for number in range(40)]
    expected = numbers(local.embed(texts, "document"))
    client = connect(protocol=protocol, dimensions=384, timeout_s=120)
    found = numbers(client.embed(texts, "document"))
    assert np.allclose(found, expected, atol=2e-3)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=2e-3)
    assert [len(body.get("input") or body["inputs"]) for _, body in server.asked] == [32, 10]
    assert set(server.keys) == {"Bearer key-7"}


def test_prompts_and_length_are_those_of_the_model(server: Server, connect: Connect) -> None:
    client = connect(query_prompt="query: ", document_prompt="passage: ", max_tokens=40)
    client.embed(["word " * 500], "query")
    client.embed(["fire"], "document")
    assert server.asked[0][1]["input"] == [CHECK, "query: " + "word " * 35 + "word"]
    assert server.asked[1][1]["input"] == [CHECK, "passage: fire"]


def test_a_text_that_the_server_refuses_is_cut_alone(server: Server, connect: Connect) -> None:
    server.longest = 100
    vectors = connect().embed(["e" * 180, "aa"], "query")
    assert vectors == connect().embed(["e" * 90, "aa"], "query")


def test_a_vector_that_is_none_is_refused(server: Server, connect: Connect) -> None:
    client = connect()
    nothing: list[Any] = [
        [1.0] * 3, [1.0] * 5, [math.nan, 1, 1, 1], [math.inf, 1, 1, 1], [0.0] * 4, ["1", 1, 1, 1],
        [True, 1, 1, 1], None,
    ]  # fmt: skip
    for vector in nothing:
        server.embed = lambda texts, wrong=vector: [*[[1.0] * 4] * (len(texts) - 1), wrong]  # type: ignore[misc]
        with pytest.raises(errors.ModelError, match="the server answered with a vector"):
            client.embed(["fire"], "query")


@pytest.mark.parametrize("protocol", ["openai", "tei"])
def test_a_short_list_is_refused(server: Server, connect: Connect, protocol: str) -> None:
    server.embed = lambda texts: letters(texts)[:-1]
    with pytest.raises(errors.ModelError, match="no list of 2"):
        connect(protocol=protocol).embed(["fire"], "query")


def test_another_shape_is_refused(server: Server, connect: Connect) -> None:
    client = connect()
    answers: list[object] = [{}, [], "text", {"data": 5}, {"data": [5, 6]}, None]
    for answer in answers:
        server.mangle = lambda _, wrong=answer: wrong  # type: ignore[misc]
        with pytest.raises(errors.ModelError, match="no list of 2"):
            client.embed(["fire"], "query")


def test_a_busy_server_is_asked_again_when_it_says(server: Server, connect: Connect) -> None:
    server.refusals = [(429, {"Retry-After": "1"}), (503, {})]
    assert len(connect().embed(["fire"], "query")) == 1
    assert len(server.at) == 3
    assert server.at[1] - server.at[0] >= 1


def test_a_silent_server_is_an_outage(server: Server, connect: Connect) -> None:
    server.open.clear()
    client = connect(timeout_s=0.5, retries=0)
    began = time.monotonic()
    with pytest.raises(errors.ProviderUnavailable):
        client.embed(["fire"], "query")
    assert time.monotonic() - began < 20


def test_an_outage_opens_the_breaker(server: Server, connect: Connect) -> None:
    server.refusals = [(503, {})] * 3
    client = connect(retries=0, breaker=Breaker(2))
    for _ in range(3):
        with pytest.raises(errors.ProviderUnavailable):
            client.embed(["fire"], "query")
    assert len(server.asked) == 2


def test_a_redirect_is_not_followed(server: Server, connect: Connect) -> None:
    server.refusals = [(307, {"Location": f"{server.url}/elsewhere"})]
    with pytest.raises(errors.SettingsError, match="307"):
        connect(retries=0).embed(["fire"], "query")
    assert [path for path, _ in server.asked] == ["/v1/embeddings"]


def test_a_refused_key_is_told_as_the_setting_it_is(server: Server, connect: Connect) -> None:
    server.refusals = [(401, {})]
    with pytest.raises(errors.SettingsError, match=r"embedding\.server\.api_key"):
        connect().embed(["fire"], "query")


def test_another_model_under_the_same_name_gives_no_vector(
    server: Server, connect: Connect
) -> None:
    pins = Pins()
    connect(pin=pins).embed(["fire"], "document")
    client = connect(pin=pins)
    client.embed(["fire"], "document")
    server.embed = lambda texts: [[len(text), 1.0, 5.0, -9.0] for text in texts]
    for again in (client, connect(pin=pins)):  # while it runs, and at the next start
        with pytest.raises(errors.ModelError, match="another model answers"):
            again.embed(["fire"], "document")


def test_the_store_keeps_the_first_check_vector(connect: Connect, store_url: str) -> None:
    store = Store(store_url, connections=2).open()
    try:
        passages = PassageStore(store)
        client = connect(pin=passages.pin)
        check = client.embed([CHECK], "document")[0]
        assert passages.pin(client.model, bytes([0, 4, 0, 0]) + bytes(8)) == check
        client.embed(["fire"], "query")
    finally:
        store.close()


@pytest.mark.parametrize("protocol", ["openai", "tei"])
def test_relevances_come_in_the_order_of_the_texts(connect: Connect, protocol: str) -> None:
    texts = ["e" * (number % 10) + "xxxxxxxxxx"[number % 10 :] for number in range(40)]
    found = connect(protocol=protocol).rerank("fire", texts)
    assert found == [number % 10 / 10 for number in range(40)]


def test_relevances_that_are_logits_have_to_be_called_that(
    server: Server, connect: Connect
) -> None:
    server.score = lambda text: 1000.0 if "e" in text else -3.0
    with pytest.raises(errors.SettingsError, match="logits"):
        connect().rerank("fire", ["e", "x"])
    assert connect(logits=True).rerank("fire", ["e", "x"]) == pytest.approx([1, 0.0474], abs=1e-3)
    server.score = lambda _: math.nan
    with pytest.raises(errors.ModelError, match="no number"):
        connect().rerank("fire", ["e"])
