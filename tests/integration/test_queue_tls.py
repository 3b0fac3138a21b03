"""Brokers behind a private authority that want a certificate of ours: listened to, and examined."""

import json
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
import redis

from insights import errors
from tests import certificates
from tests.servers import brokers
from tests.servers.process import scratch
from tests.site import Site

Broker = brokers.Redis | brokers.RabbitMQ


@pytest.fixture(scope="module")
def signed() -> Iterator[Path]:
    folder = scratch()
    authority = certificates.made(folder, "ca", None, days=300)
    certificates.made(folder, "server", authority, days=20)
    certificates.made(folder, "client", authority, days=200)
    certificates.made(folder, "stranger", None, days=200)
    for file in folder.iterdir():
        file.chmod(0o644)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=[brokers.Redis, brokers.RabbitMQ])
def server(request: pytest.FixtureRequest, signed: Path) -> Iterator[Broker]:
    if brokers.REDIS is None or not brokers.RABBITMQ.exists():
        pytest.skip("needs Debian's redis-server and rabbitmq-server")
    made: Broker = request.param(scratch(), signed).start()
    yield made
    made.remove()


@pytest.fixture
def site(tmp_path: Path, store_url: str, stand_in: Path, server: Broker, signed: Path) -> Site:
    made = Site(tmp_path, store_url, "", stand_in, source="inbox", stream='key = ["id"]')
    made.sink = False
    made.extra = (
        f'[queue.desk]\nurl = "{server.url}"\npipeline = "triage"\nqueue = "requests"\n'
        f'ca_file = "{signed}/ca.pem"\nclient_cert = "{signed}/client.pem"\n'
    )
    made.write().insights("migrate")
    made.run_once()
    return made


def send(server: Broker, signed: Path) -> None:
    body = json.dumps({"id": 1, "subject": "printer", "body": "It does not print."})
    shown = str(signed / "client.pem")
    if isinstance(server, brokers.Redis):
        link = redis.Redis.from_url(
            server.url, ssl_ca_certs=str(signed / "ca.pem"), ssl_certfile=shown, ssl_keyfile=shown
        )
        fields: dict[Any, Any] = {"body": body}
        link.xadd("requests", fields)
        return
    tls = ssl.create_default_context(cafile=str(signed / "ca.pem"))
    tls.load_cert_chain(shown)
    parameters = pika.URLParameters(server.url)
    parameters.ssl_options = pika.SSLOptions(tls, "127.0.0.1")
    with pika.BlockingConnection(parameters) as link:
        channel = link.channel()
        channel.queue_declare("requests", durable=True)
        channel.basic_publish("", "requests", body)


def doctor(site: Site, code: int = 0) -> dict[str, list[tuple[str, str]]]:
    told: dict[str, list[tuple[str, str]]] = {}
    for one in json.loads(site.insights("doctor", "--json", code=code).stdout):
        told.setdefault(one["place"], []).append((one["level"], one["what"]))
    return told


def test_it_is_listened_to_and_the_days_of_certificates_are_told(
    site: Site, server: Broker, signed: Path
) -> None:
    send(server, signed)
    told = doctor(site)
    assert told["queue.desk.ca_file"][0][0] == "ok"
    assert told["queue.desk.client_cert"][0][0] == "ok"
    (broker, answers) = told["queue desk"]
    assert broker[0] == "warning"
    assert "19 days from now" in broker[1]
    assert answers == ("ok", "requests answers; 1 in it")
    process = subprocess.Popen(site.command("listen"), env=site.env(), stderr=subprocess.PIPE)
    end = time.monotonic() + 90
    while site.query("SELECT count(*) FROM store.inbox") != [(1,)]:
        assert time.monotonic() < end
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    site.extra = site.extra.replace("ca.pem", "stranger.pem")
    site.write()
    told = doctor(site, errors.BrokerUnavailable.exit_code)
    assert "its certificate is not taken" in told["queue desk"][0][1]
