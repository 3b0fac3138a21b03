"""How long an outcome takes from the model's last token to whoever is told: webhook and queues.

The model's server notes when it answered each row, and whoever is told when it came; both are this
process, so that there is one clock. Nothing is killed.
"""

import contextlib
import json
import os
import re
import shutil
import statistics
import threading
import time
from collections.abc import Iterable
from typing import Any

import pika
import pika.exceptions
import redis

from demo.report import Goal, report
from tests import servers
from tests.hooks import Hook
from tests.killing import Model, Rig, serving_model
from tests.senders import Amqp, Http, Peer, Streams

_WITHIN_S = 120.0
_KEY = re.compile(r"printer (\w+-\d+)")


class _Stamped(list[tuple[dict[str, str], bytes]]):
    """What a webhook was told, and when."""

    def __init__(self, at: dict[str, float]) -> None:
        super().__init__()
        self._at = at

    def append(self, told: tuple[dict[str, str], bytes], /) -> None:
        self._at[json.loads(told[1])["data"]["key"]] = time.monotonic()
        super().append(told)


def main(count: int, seconds: float, *, as_json: bool) -> None:
    """Measure and report."""
    folder, hook, at = servers.scratch(), Hook(), dict[str, float]()
    hook.taken = _Stamped(at)
    with serving_model() as model:
        rig = Rig(folder, model.url)
        try:
            rig.install(hook.url)
            peers: list[Peer] = [
                Http(rig, count, seconds, hook), Amqp(rig, count, seconds),
                Streams(rig, count, seconds),
            ]  # fmt: skip
            for listening in (_rabbit, _redis):
                threading.Thread(target=listening, args=(rig, at), daemon=True).start()
            sending = [threading.Thread(target=peer.send) for peer in peers]
            for thread in sending:
                thread.start()
            for thread in sending:
                thread.join()
            rig.until(lambda: len(at) == len(peers) * count, _WITHIN_S)
            took = {peer.name: _took(peer.keys, model, at) for peer in peers}
        finally:
            rig.end()
            hook.close()
            shutil.rmtree(folder, ignore_errors=True)
    names = {"http": "webhook", "amqp": "RabbitMQ", "redis": "Redis"}
    goals = [
        Goal(f"last token to {names[name]}, p95", _p95(found), 1.0, "s", at_least=False)
        for name, found in took.items()
    ]
    table = [["", "p50 s", "p95 s"]]
    for name, found in took.items():
        table.append([names[name], f"{statistics.median(found):.2f}", f"{_p95(found):.2f}"])
    notes = [
        f"{count:,} requests through each within {seconds:.0f} s",
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end",
    ]
    report("From the last token to the reply", goals, notes, as_json, table)


def _took(keys: Iterable[str], model: Model, at: dict[str, float]) -> list[float]:
    answered: dict[str, float] = {}
    for prompt, when in model.at.items():
        if found := _KEY.search(prompt):
            answered[found[1]] = when
    return [at[key] - answered[key] for key in keys]


def _p95(found: list[float]) -> float:
    return statistics.quantiles(found, n=20)[-1]


def _rabbit(rig: Rig, at: dict[str, float]) -> None:
    channel: Any = pika.BlockingConnection(pika.URLParameters(rig.rabbit.url)).channel()
    with contextlib.suppress(pika.exceptions.AMQPError):  # it ends
        for _, told, _ in channel.consume("out", auto_ack=True):
            at[told.correlation_id] = time.monotonic()


def _redis(rig: Rig, at: dict[str, float]) -> None:
    link, last = redis.Redis.from_url(rig.redis.url), "0"
    with contextlib.suppress(redis.RedisError):  # it ends
        while True:
            found: Any = link.xread({"out": last}, block=1_000)
            for _, entries in found or ():
                for id_, fields in entries:
                    at[fields[b"correlation_id"].decode()] = time.monotonic()
                    last = id_.decode()
