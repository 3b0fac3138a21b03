"""The queue door on real brokers: accepted once, replied, whatever is killed."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pika
import pytest
import redis

from insights import errors
from insights.site.queues import QueueSettings
from insights.site.settings import Settings
from insights.wiring.queues import broker
from tests.servers import brokers
from tests.servers.process import scratch
from tests.site import Site

WITHIN_S = 90.0


class Peer(Protocol):
    """The legacy application's side of a queue."""

    once: bool

    @property
    def server(self) -> brokers.Redis | brokers.RabbitMQ: ...

    def send(self, body: bytes, **names: str) -> None: ...
    def open(self) -> int: ...
    def taken(self, queue: str) -> list[dict[str, Any]]: ...
    def spoil(self, queue: str) -> None: ...
    def clear(self) -> None: ...


class Streams:
    """Redis."""

    once = True

    def __init__(self, server: brokers.Redis) -> None:
        self._server = server

    @property
    def server(self) -> brokers.Redis:
        return self._server

    @property
    def _redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.server.url)

    def send(self, body: bytes, **names: str) -> None:
        fields: dict[Any, Any] = {"body": body, **names}
        self._redis.xadd("requests", fields)

    def spoil(self, queue: str) -> None:
        self._redis.set(queue, "no stream")

    def clear(self) -> None:
        self._redis.flushall()

    def open(self) -> int:
        (group,) = self._redis.xinfo_groups("requests")
        return int(group["pending"]) + int(group["lag"] or 0)

    def taken(self, queue: str) -> list[dict[str, Any]]:
        entries: Any = self._redis.xrange(queue)
        return [{name.decode(): value for name, value in fields.items()} for _, fields in entries]


class Amqp:
    """RabbitMQ."""

    once = False

    def __init__(self, server: brokers.RabbitMQ) -> None:
        self._server = server
        with self._connection() as connection:
            for name in ("requests", "out", "dead"):
                connection.channel().queue_declare(name, durable=True)
        self._kept: dict[str, list[dict[str, Any]]] = {}

    @property
    def server(self) -> brokers.RabbitMQ:
        return self._server

    def _connection(self) -> Any:  # noqa: ANN401 - pika has no types
        return pika.BlockingConnection(pika.URLParameters(self.server.url))

    def send(self, body: bytes, **names: str) -> None:
        told = pika.BasicProperties(delivery_mode=2, **names)
        with self._connection() as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish("", "requests", body, told)

    def spoil(self, queue: str) -> None:
        """There is no such queue here as it is."""

    def clear(self) -> None:
        with self._connection() as connection:
            for name in ("requests", "out", "dead"):
                connection.channel().queue_purge(name)

    def open(self) -> int:
        with self._connection() as connection:
            found = connection.channel().queue_declare("requests", passive=True)
            return int(found.method.message_count)

    def taken(self, queue: str) -> list[dict[str, Any]]:
        kept = self._kept.setdefault(queue, [])
        with self._connection() as connection:
            channel = connection.channel()
            while (came := channel.basic_get(queue, auto_ack=True))[0] is not None:
                _, told, body = came
                names = ("message_id", "correlation_id")
                values = {name: (getattr(told, name) or "").encode() for name in names}
                reason = str((told.headers or {}).get("x-reason", "")).encode()
                kept.append({"body": body, "reason": reason, **values})
        return kept


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, brokers.Redis | brokers.RabbitMQ]]:
    if brokers.REDIS is None or not brokers.RABBITMQ.exists():
        pytest.skip("needs Debian's redis-server and rabbitmq-server")
    made: dict[str, brokers.Redis | brokers.RabbitMQ] = {
        "redis": brokers.Redis(scratch()),
        "amqp": brokers.RabbitMQ(scratch()),
    }
    yield made
    for one in made.values():
        one.remove()


@pytest.fixture(params=["redis", "amqp"])
def peer(
    request: pytest.FixtureRequest, servers: dict[str, brokers.Redis | brokers.RabbitMQ]
) -> Peer:
    server = servers[request.param]
    if server.process is None:
        server.start()
    made: Peer = Streams(server) if isinstance(server, brokers.Redis) else Amqp(server)
    made.clear()
    return made


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, peer: Peer) -> Site:
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    made.sink = False
    made.extra = (
        f'[queue.desk]\nurl = "{peer.server.url}"\npipeline = "triage"\nqueue = "requests"\n'
        'dead = "dead"\nreplies = "out"\n'
    )
    made.write()
    made.insights("migrate")
    made.run_once()  # its version is live
    return made


def row(number: int) -> dict[str, Any]:
    return {"id": number, "subject": f"printer {number}", "body": "It does not print."}


def listening(site: Site, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        site.command("listen"), env=site.env(**env), stderr=subprocess.PIPE, text=True
    )


def killed(site: Site, failpoint: str) -> None:
    process = listening(site, INSIGHTS_FAILPOINT=failpoint)
    _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == -signal.SIGKILL, said


def ended(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGTERM)
    try:
        _, said = process.communicate(timeout=WITHIN_S)
    finally:
        process.kill()
    return said


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_what_was_accepted_is_replied_once_whatever_is_killed(site: Site, peer: Peer) -> None:
    for number in range(1, 6):
        peer.send(
            json.dumps(row(number)).encode(), message_id=f"m{number}", correlation_id=f"c{number}"
        )
    peer.send(json.dumps([row(6), row(7)]).encode(), message_id="m6")
    peer.send(json.dumps(row(1)).encode(), message_id="m1", correlation_id="c1")  # sent twice
    peer.send(b"{not json", message_id="m8")
    peer.send(json.dumps({"id": 9}).encode(), message_id="m9")
    peer.send(json.dumps({**row(10), "body": "a\0b"}).encode(), message_id="m10")
    killed(site, "before-messages-accepted")  # accepted, and not acknowledged
    peer.server.stop()
    peer.server.start()
    process = listening(site)
    until(lambda: len(peer.taken("dead")) >= 3 and peer.open() == 0)
    until(lambda: site.query("SELECT count(*) FROM store.inbox") == [(7,)])
    ended(process)
    assert site.query("SELECT count(*) FROM store.inbox") == [(7,)]
    site.run_once()
    killed(site, "after-reply")  # one is told, and nobody noted it
    site.query("UPDATE store.reply SET not_before = now() RETURNING 1")
    process = listening(site)
    until(lambda: site.query("SELECT count(*) FROM store.reply WHERE sent_at IS NULL") == [(0,)])
    ended(process)
    told = peer.taken("out")
    requests = {id_ for (id_,) in site.query("SELECT request_id::text FROM store.inbox")}
    assert {one["message_id"].decode() for one in told} == requests
    assert len(told) == (7 if peer.once else 8)
    answers = {json.loads(one["body"])["key"]: one for one in told}
    assert set(answers) == {str(number) for number in range(1, 8)}
    for number in range(1, 6):
        assert answers[str(number)]["correlation_id"].decode() == f"c{number}"
    assert {json.loads(one["body"])["standing"] for one in told} == {"done"}
    reasons = sorted(one["reason"].decode() for one in peer.taken("dead"))
    assert len(reasons) == 3
    assert "no valid JSON" in " ".join(reasons)
    assert "missing" in " ".join(reasons)
    assert "NUL" in " ".join(reasons)


def test_a_reply_that_nobody_can_get_keeps_no_other_waiting(site: Site, peer: Peer) -> None:
    peer.spoil("nowhere")
    peer.send(json.dumps(row(1)).encode(), message_id="m1", reply_to="nowhere")
    peer.send(json.dumps(row(2)).encode(), message_id="m2")
    found = json.loads(site.insights("doctor", "--json").stdout)
    said = [one["what"] for one in found if one["place"] == "queue desk"]
    assert len(said) == 1
    assert "requests answers; " in said[0]
    process = listening(site)
    until(lambda: site.query("SELECT count(*) FROM store.inbox") == [(2,)])
    site.run_once()
    until(
        lambda: site.query("SELECT count(*) FROM store.reply WHERE sent_at IS NOT NULL") == [(1,)]
    )
    until(lambda: site.query("SELECT count(*) FROM store.reply WHERE attempts > 0") == [(1,)])
    log = ended(process)
    assert "category" not in log  # what the broker gave back is not quoted
    assert len(peer.taken("out")) == 1
    ((address, reason),) = site.query(
        "SELECT address, reason FROM store.reply WHERE sent_at IS NULL"
    )
    assert (address, "'nowhere'" in reason) == ("nowhere", True)


def test_a_broker_that_is_away_is_said_and_waited_for(site: Site, peer: Peer) -> None:
    peer.server.stop()
    log = site.folder / "listen.log"
    with log.open("w") as out:
        process = subprocess.Popen(site.command("listen"), env=site.env(), stderr=out)
    until(lambda: "the broker does not answer" in log.read_text())
    peer.server.start()
    peer.send(json.dumps(row(1)).encode(), message_id="m1")
    until(lambda: site.query("SELECT count(*) FROM store.inbox") == [(1,)])
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    assert "guest:guest" not in log.read_text()


def test_a_queue_for_a_pipeline_that_takes_no_requests_is_refused(site: Site) -> None:
    site.extra = site.extra.replace('"triage"', '"other"')
    site.write()
    refused = site.insights("listen", code=errors.SettingsError.exit_code)
    assert "queue.desk.pipeline" in refused.stderr
    site.extra = '[queue.desk]\nurl = "amqp://mq1/"\npipeline = "triage"\nqueue = "q"\n'
    site.write()
    refused = site.insights("listen", code=errors.SettingsError.exit_code)
    assert "cross the network as plain text" in refused.stderr
    site.extra = ""
    site.write()
    refused = site.insights("listen", code=errors.SettingsError.exit_code)
    assert "there is no queue to listen to" in refused.stderr


@pytest.mark.parametrize("url", ["redis://127.0.0.1:9/0", "amqp://guest:guest@127.0.0.1:9/%2F"])
def test_a_broker_that_is_not_there_is_no_mystery(url: str) -> None:
    found = QueueSettings(url=url, pipeline="triage", queue="requests")
    with pytest.raises(errors.BrokerUnavailable, match="does not answer") as caught:
        broker(Settings(queue={"desk": found}), "desk")
    assert "guest" not in str(caught.value)
