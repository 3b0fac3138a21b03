"""Requests through every door while everything is killed, and the same through a tutorial's glue.

The rig, its senders and what kills are those of the tests (tests/killing.py, tests/senders.py).
"""

import os
import shutil
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence

import psycopg
import redis

from demo.report import Goal, report
from tests import servers
from tests.hooks import Hook
from tests.killing import Killing, Rig, serving_model
from tests.senders import Amqp, Files, Found, Http, Peer, Streams, kept

_PAUSE_S = (1.0, 5.0)  # between two kills of all of ours; of fewer victims each falls as often
_DRAIN_S = 1_200.0
_OURS = {
    "daemon": 3.0, "serve": 3.0, "listen": 3.0, "postgresql": 2.0, "redis": 2.0, "rabbitmq": 1.5,
    "child of daemon": 1.0, "child of serve": 1.0, "child of listen": 1.0,
}  # fmt: skip
_TABLE = "CREATE TABLE public.result (key text NOT NULL, category text NOT NULL)"
_HEADER = [
    "", "accepted", "outcomes", "lost", "duplicated", "told twice under one id", "sent again",
]  # fmt: skip


def main(count: int, seconds: float, *, as_json: bool) -> None:
    """Measure and report."""
    began, goals, table, notes = time.monotonic(), [], [_HEADER], []
    found, told, line = _doors(count, seconds)
    for name, one in found.items():
        goals += [
            Goal(f"{name}: accepted without outcome", one.lost, 0, "requests", at_least=False),
            Goal(f"{name}: more than one outcome", one.doubled, 0, "requests", at_least=False),
        ]
    for name, value in told.items():
        goals.append(Goal(f"store: {name}", value, 0, "", at_least=False))
    table += [_row(f"insights, {name}", one) for name, one in found.items()]
    notes.append(line)
    for way in ("background", "queue"):
        found_there, line = _tutorial(way, count, seconds)
        table.append(_row(f"tutorial, {way}", found_there))
        notes.append(line)
    notes.append(
        f"{(time.monotonic() - began) / 60:.0f} minutes in all; load {os.getloadavg()[0]:.1f}"
    )
    report(f"{count:,} requests through each door, everything killed", goals, notes, as_json, table)


def _row(name: str, one: Found) -> list[str]:
    figures = (len(one.accepted), len(one.told), one.lost, one.doubled, one.repeated, one.again)
    return [name, *(f"{figure:,}" for figure in figures)]


def _sent(peers: Sequence[Peer]) -> None:
    failed: list[BaseException] = []

    def send(peer: Peer) -> None:
        try:
            peer.send()
        except BaseException as exc:  # noqa: BLE001 - raised by whoever waits
            failed.append(exc)

    threads = [threading.Thread(target=send, args=(peer,)) for peer in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _doors(count: int, seconds: float) -> tuple[dict[str, Found], dict[str, int], str]:
    folder, hook = servers.scratch(), Hook()
    with serving_model() as model:
        rig = Rig(folder, model.url)
        try:
            rig.install(hook.url)
            peers: list[Peer] = [
                Http(rig, count, seconds, hook), Amqp(rig, count, seconds),
                Streams(rig, count, seconds), Files(rig, count, seconds),
            ]  # fmt: skip
            with Killing(rig, _OURS, _PAUSE_S):
                _sent(peers)
                _progress(rig, 4 * count, seconds)
            rig.wait_up()
            until = time.monotonic() + _DRAIN_S
            found = {one.name: one.outcomes(max(1.0, until - time.monotonic())) for one in peers}
            told = kept(rig)
            standings: Counter[str] = sum((one.standings for one in found.values()), Counter())
            line = (
                f"doors: killed {_kills(rig)}; {dict(standings)}; {told.pop('rows'):,} rows,"
                f" {model.asked:,} generations for them"
            )
            return found, told, line
        finally:
            rig.end()
            hook.close()
            shutil.rmtree(folder, ignore_errors=True)


def _progress(rig: Rig, rows: int, seconds: float) -> None:
    """Let kills go on until half of all is done, or for as long again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(1)
        try:
            if rig.query("SELECT count(*) FROM store.insight")[0][0] * 2 >= rows:
                return
        except psycopg.Error:
            continue


def _tutorial(way: str, count: int, seconds: float) -> tuple[Found, str]:
    folder = servers.scratch()
    with serving_model() as model:
        rig = Rig(folder, model.url, rabbit=False)
        rig.more = {"MODEL": model.url, "STORE": rig.store_url, "REDIS": rig.redis.url}
        try:
            rig.store.create_database("store")
            with psycopg.connect(rig.store_url) as link:
                link.execute(_TABLE)
            run = [sys.executable, "-m", "benchmarks._tutorial"]
            rig.serve("web", [*run, way, str(rig.port)], port=rig.port)
            victims = {"web": 3.0, "postgresql": 2.0}
            if way == "queue":
                rig.serve("worker", [*run, "worker"], up="ready")
                victims |= {"worker": 3.0, "redis": 2.0}
            rig.wait_up()
            peer = Http(rig, count, seconds)
            peer.sent_again.add(500)  # Redis was away
            slower = sum(_OURS.values()) / sum(victims.values())
            pause = (slower * _PAUSE_S[0], slower * _PAUSE_S[1])
            with Killing(rig, victims, pause):
                _sent([peer])
            rig.wait_up()
            found = _settled(rig, peer, way)
            return found, f"tutorial, {way}: killed {_kills(rig)}"
        finally:
            rig.end()
            shutil.rmtree(folder, ignore_errors=True)


def _settled(rig: Rig, peer: Http, way: str) -> Found:
    """Wait until nothing more is written for a while; return what there is."""

    def left() -> int:
        if way != "queue":
            return 0
        return int(str(redis.Redis.from_url(rig.redis.url).llen("tasks")))

    still, last = 0, -1
    while still < 10:
        time.sleep(1)
        now = int(rig.query("SELECT count(*) FROM public.result")[0][0])
        still, last = (still + 1, last) if now == last and not left() else (0, now)
    found = Found(peer.accepted, defaultdict(set), Counter(), again=peer.again)
    for number, (key,) in enumerate(rig.query("SELECT key FROM public.result")):
        found.told[key].add(str(number))
    return found


def _kills(rig: Rig) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(rig.kills.items()))
