"""The HTTP door: how long accepting takes, and how many it accepts, against a plain handler.

    python -m benchmarks.doors [--json] [--seconds 10]
    python -m benchmarks.doors --kills 5000 [--seconds 240] [--json]
    python -m benchmarks.doors --replies 300 [--seconds 15] [--json]

`insights serve` and the same handler that writes what it is sent straight into a table (redacted
too, and nothing more comes of it) stand side by side, each a process of its own, on one PostgreSQL
with fsync. Clients keep their connections.
Latency is from when a request was to be sent (200 a second), so that a stall counts for all that
wait behind it. Throughput is of 16 clients that send one row after another, in turns.

With `--kills` so many requests go through each door (HTTP, RabbitMQ, Redis, a folder) within
`--seconds` while processes, brokers and PostgreSQL are killed, and as many through the glue that
tutorials show (benchmarks/_tutorial.py): see benchmarks/_door_kills.py. With `--replies` it is the
time from the model's last token to webhook and reply: see benchmarks/_door_replies.py.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import _door_kills, _door_replies
from demo.report import Goal, report
from insights.store import migrate
from insights.wiring.app import open_app
from tests import servers

TOKEN = "t" * 64
CLIENTS = 16
RATE = 200
PAIRS = 3  # ours and the other in turn: what else runs on the machine meets both
SETTINGS = """
    state_dir = "state"
    [log]
    level = "info"
    format = "json"
    [store]
    url = "{store}"
    [stream.ticket]
    source = "inbox"
    key = ["id"]
    redact.columns = ["name"]
    [serve]
    listen = "127.0.0.1:{port}"
    most_waiting = 1000000
    [model.null]
    url = "http://localhost"
"""
PIPELINE = """
    stream = "ticket"
    model = "null"
    prompt = "prompt.j2"
    schema = "schema.json"
"""
SCHEMA = {
    "type": "object",
    "properties": {"category": {"enum": ["a", "b"]}},
    "required": ["category"],
    "additionalProperties": False,
}
BODY = "The pump of line 4 stops under load. Anna Muster, anna.muster@example.com. " * 5


def site(folder: Path, store: servers.Postgres, port: int) -> Path:
    """Write the settings, and make their pipeline live."""
    (folder / "pipelines").mkdir(parents=True)
    url = store.url("bench").replace(store.password, "${store_password}")
    config = folder / "insights.toml"
    config.write_text(textwrap.dedent(SETTINGS.format(store=url, port=port)))
    (folder / "pipelines" / "category.toml").write_text(textwrap.dedent(PIPELINE))
    (folder / "pipelines" / "prompt.j2").write_text("Which?\n{{ row.title }}\n{{ row.body }}\n")
    (folder / "pipelines" / "schema.json").write_text(json.dumps(SCHEMA))
    with open_app(config, begin=True) as app:
        app.register(app.definition("category"))
    return config


@contextmanager
def running(command: list[str], env: dict[str, str], port: int) -> Iterator[None]:
    """Run a server until it answers, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env={**os.environ, **env}, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


class Sender:
    """One client with a connection of its own."""

    def __init__(self, port: int) -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def send(self, number: int) -> None:
        """Send one row, and see it accepted."""
        row = {"id": number, "title": f"order {number}", "body": BODY, "name": "Anna Muster"}
        self._link.request(
            "POST",
            "/v1/pipelines/category/requests",
            json.dumps(row),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        answer = self._link.getresponse()
        said = answer.read()
        if answer.status != 202:
            raise RuntimeError(f"{answer.status} {said[:200]!r}")


def many(port: int, seconds: float, first: int, each: Callable[[Sender, int, float], Any]) -> Any:  # noqa: ANN401
    """Have all clients send at once; return what each of their sends gave."""
    begin = time.perf_counter() + 0.2

    def work(client: int) -> list[Any]:
        sender, found, number = Sender(port), [], client
        while (time.perf_counter() - begin) < seconds:
            found.append(each(sender, first + number, begin + number / RATE))
            number += CLIENTS
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [one for some in pool.map(work, range(CLIENTS)) for one in some]


def timed(sender: Sender, number: int, at: float) -> float:
    """Send when it is time; return the milliseconds from then to the answer."""
    time.sleep(max(0.0, at - time.perf_counter()))
    sender.send(number)
    return (time.perf_counter() - at) * 1_000


def at_once(sender: Sender, number: int, _at: float) -> int:
    """Send now."""
    sender.send(number)
    return 1


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.doors", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kills", type=int, default=0, help="requests through each door")
    parser.add_argument("--replies", type=int, default=0, help="requests that are told")
    options = parser.parse_args()
    if options.replies:
        _door_replies.main(options.replies, options.seconds, as_json=options.json)
        return
    if options.kills:
        _door_kills.main(options.kills, options.seconds, as_json=options.json)
        return
    folder, ours, other = servers.scratch(), servers.free_port(), servers.free_port()
    try:
        with servers.running(servers.Postgres(folder / "pg", durable=True).create()) as store:
            store.create_database("bench")
            url = store.url("bench")
            migrate.upgrade(url)
            env = {
                "INSIGHTS_CREDENTIAL_HASH_KEY": "benchmark",
                "INSIGHTS_CREDENTIAL_STORE_PASSWORD": store.password,
                "INSIGHTS_CREDENTIAL_DOOR_TOKENS": f"bench submit:*,read {TOKEN}",
            }
            os.environ.update(env)
            config = site(folder / "site", store, ours)
            rates: dict[int, list[float]] = {ours: [], other: []}
            with (
                running(["insights", "-c", str(config), "serve"], env, ours),
                running(["benchmarks._doors", str(config), str(other)], env, other),
            ):
                for port in rates:
                    many(port, 2.0, 10_000_000 + port, at_once)
                waits = {port: many(port, options.seconds, port * 100_000, timed) for port in rates}
                for turn in range(PAIRS):
                    for port, found in rates.items():
                        sent = many(port, options.seconds / 2, (turn + 1) * 1_000_000, at_once)
                        found.append(2 * len(sent) / options.seconds)
            with psycopg.connect(url) as link:
                kept = link.execute(
                    "SELECT count(*), count(*) FILTER (WHERE b::text ~* 'muster')"
                    " FROM store.inbox b"
                ).fetchone()
                lost = link.execute(
                    "SELECT count(*) FROM store.inbox b WHERE NOT EXISTS"
                    " (SELECT FROM store.work w WHERE w.row_id = b.row_id)"
                ).fetchone()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert kept is not None
    assert lost is not None
    quantiles = {port: statistics.quantiles(found, n=100) for port, found in waits.items()}
    rate = {port: statistics.median(found) for port, found in rates.items()}
    goals = [
        Goal(f"submit p99 at {RATE}/s", quantiles[ours][98], 50, "ms", at_least=False),
        Goal("submitted/s, against straight into a table", rate[ours] / rate[other], 0.7, "x"),
        Goal("accepted requests without work", lost[0], 0, "requests", at_least=False),
        Goal("personal data in the inbox", kept[1], 0, "requests", at_least=False),
    ]
    table = [["", "p50 ms", "p99 ms", "submitted/s"]]
    table += [
        [name, f"{quantiles[p][49]:.1f}", f"{quantiles[p][98]:.1f}", f"{rate[p]:,.0f}"]
        for name, p in (("insights serve", ours), ("straight into a table", other))
    ]
    notes = [
        f"{kept[0]:,} requests of {len(BODY):,} characters, {CLIENTS} clients, fsync",
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end",
    ]
    report("The HTTP door", goals, notes, options.json, table)


if __name__ == "__main__":
    main()
