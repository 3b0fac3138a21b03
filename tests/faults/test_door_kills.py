"""Requests through every door while each process, broker and the store is killed: none is lost.

The large form of it is `python -m benchmarks.doors --kills 5000`; here each victim falls once or
twice, in another order each time, and all that is asserted is what came out.
"""

import random
import shutil
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.hooks import Hook
from tests.killing import Model, Rig, serving_model
from tests.senders import Amqp, Files, Found, Http, Peer, Streams, kept
from tests.servers import brokers

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ROWS = 40
SECONDS = 15.0
WITHIN_S = 240.0
VICTIMS = [
    "daemon", "daemon", "serve", "serve", "listen", "postgresql", "redis", "rabbitmq",
    "child of daemon", "child of serve", "child of listen",
]  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    if brokers.REDIS is None or not brokers.RABBITMQ.exists():
        pytest.skip("needs Debian's redis-server and rabbitmq-server")
    made = servers.scratch()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def model() -> Iterator[Model]:
    with serving_model() as made:
        yield made


def test_what_any_door_took_has_one_outcome_whatever_is_killed(folder: Path, model: Model) -> None:
    hook, rng = Hook(), random.Random()
    rig = Rig(folder, model.url)
    try:
        rig.install(hook.url)
        peers: list[Peer] = [
            Http(rig, ROWS, SECONDS, hook), Amqp(rig, ROWS, SECONDS), Streams(rig, ROWS, SECONDS),
            Files(rig, ROWS, SECONDS),
        ]  # fmt: skip
        sending = [threading.Thread(target=peer.send, daemon=True) for peer in peers]
        for thread in sending:
            thread.start()
        for victim in rng.sample(VICTIMS, len(VICTIMS)):
            rig.kill(victim, rng)
        for thread in sending:
            thread.join(WITHIN_S)
            assert not thread.is_alive(), rig.said()
        rig.wait_up()
        for peer in peers:
            found = peer.outcomes(WITHIN_S)
            assert len(found.accepted) == ROWS
            assert (peer.name, found.lost, found.doubled) == (peer.name, 0, 0), rig.said()
            assert found.standings["done"] == ROWS
        told = kept(rig)
        assert told == {"rows": len(peers) * ROWS, "requests": 0, "insights": 0, "open": 0}
    finally:
        rig.end()
        hook.close()


def test_the_same_senders_see_what_a_tutorials_glue_loses(folder: Path, model: Model) -> None:
    rig = Rig(folder, model.url, rabbit=False)
    try:
        rig.store.create_database("store")
        with psycopg.connect(rig.store_url) as link:
            link.execute("CREATE TABLE public.result (key text NOT NULL, category text NOT NULL)")
        rig.more = {"MODEL": model.url, "STORE": rig.store_url, "REDIS": rig.redis.url}
        run = [sys.executable, "-m", "benchmarks._tutorial", "background", str(rig.port)]
        rig.serve("web", run, port=rig.port)
        rig.wait_up()
        model.answers.clear()  # all of it is under way, as the model takes its time
        peer = Http(rig, 5, 0.0)
        peer.send()
        rig.kill("web", random.Random())
        model.answers.set()
        rig.wait_up()
        found = Found(peer.accepted, defaultdict(set), Counter())
        for (key,) in rig.query("SELECT key FROM public.result"):
            found.told[key].add(key)
        assert (len(found.accepted), found.lost) == (5, 5)
    finally:
        rig.end()
