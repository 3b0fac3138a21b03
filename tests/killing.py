"""Everything between a sender and its outcome, and what kills it: processes, brokers, PostgreSQL.

A process that ended is begun again at once, as systemd does it. Kills are of whole processes
(SIGKILL), one after the other; each victim is let come up before it may be killed again, as nothing
would be proved of what never works. Whatever was acknowledged is on disk: fsync in PostgreSQL, the
append-only file in Redis, durable queues and persistent messages in RabbitMQ.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

from tests import servers
from tests.servers import brokers

TOKEN = "t" * 40
UP_S = 600.0  # a busy machine takes minutes
SETTINGS = """
    state_dir = "state"
    [daemon]
    name = "killed"
    lease = "5s"
    batch = 50
    in_flight = 100
    [health]
    listen = "127.0.0.1:0"
    [stream.ticket]
    source = "inbox"
    key = ["id"]
    [serve]
    listen = "127.0.0.1:{port}"
    most_waiting = 1000000
    [queue.rabbit]
    url = "{rabbit}"
    pipeline = "triage"
    queue = "requests"
    replies = "out"
    dead = "dead"
    [queue.redis]
    url = "{redis}"
    pipeline = "triage"
    queue = "requests"
    replies = "out"
    dead = "dead"
    [door.files]
    folder = "{folder}"
    pipeline = "triage"
    complete = "renamed"
    [webhook.desk]
    url = "{hook}"
    secret = "${{desk_webhook}}"
    pipeline = "triage"
    [model.big]
    url = "{model}"
    parallel = 32
"""
PIPELINE = """
    stream = "ticket"
    model = "big"
    prompt = "../prompt.j2"
    schema = "../schema.json"
"""
SCHEMA = (
    '{"type": "object", "properties": {"category": {"enum": ["other", "problem"]}},'
    ' "required": ["category"], "additionalProperties": false}'
)
ANSWER = '{"category":"problem"}'


class Model(ThreadingHTTPServer):
    """A server of chat completions that answers at once, and counts; `at` has when, by prompt."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Completions)
        self.asked = 0
        self.at: dict[str, float] = {}
        self.answers = threading.Event()
        self.answers.set()  # until somebody clears it

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, *_: object) -> None:
        """Whoever asked was killed."""


class _Completions(BaseHTTPRequestHandler):
    server: Model
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.answers.wait(60)
        message = {"role": "assistant", "content": ANSWER}
        raw = json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 0,
                "model": "big",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            }
        ).encode()
        self.server.asked += 1
        self.server.at[str(asked["messages"][-1]["content"])] = time.monotonic()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving_model() -> Iterator[Model]:
    """Run a model's server."""
    server = Model()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Service:
    """A process that is begun again whenever it ends, until `end`.

    `up` is a word of its log that says it works; where there is none, its port does.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    up: str = ""
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    begun: int = 0
    _ending: bool = False
    _at: int = 0

    def keep(self) -> None:
        """Begin it if it does not run."""
        if self._ending or (self.process is not None and self.process.poll() is None):
            return
        with self.log.open("ab") as log:
            self._at = log.tell()
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                env=dict(self.env), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.begun += 1

    def works(self) -> bool:
        """Tell whether it has come up since it was begun."""
        if self.process is None or self.process.poll() is not None:
            return False
        if self.port:
            return answers(self.port)
        with self.log.open("rb") as log:
            log.seek(self._at)
            return self.up.encode() in log.read()

    def pids(self) -> list[int]:
        """Return its children, and itself first."""
        if self.process is None:
            return []
        with contextlib.suppress(psutil.Error):
            return [
                self.process.pid,
                *(one.pid for one in psutil.Process(self.process.pid).children()),
            ]
        return []

    def end(self) -> None:
        """End it for good."""
        self._ending = True
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


def answers(port: int) -> bool:
    """Tell whether somebody takes connections at a port of this host."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


class Rig:
    """A store, brokers, a model's server and whatever `services` are kept running.

    Args:
        folder: Where all of it lives.
        model: The address of a server of chat completions.
        more: Variables of the environment of all services.
        rabbit: Whether RabbitMQ runs as well.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        *,
        more: Mapping[str, str] | None = None,
        rabbit: bool = True,
    ) -> None:
        self.folder = folder
        self.model = model
        self.more = dict(more or {})
        self.port = servers.free_port()
        self.store = servers.Postgres(folder / "pg", durable=True).create().start()
        self.redis = brokers.Redis(folder / "redis").start()
        self.rabbit = brokers.RabbitMQ(folder / "rabbit")
        if rabbit:
            self.rabbit.start()
        self.exports = folder / "exports"
        self.exports.mkdir()
        self.services: dict[str, Service] = {}
        self.kills: Counter[str] = Counter()
        self._ends = threading.Event()
        # Children end with the thread that began them (PR_SET_PDEATHSIG): these live as long as it.
        self._starter = ThreadPoolExecutor(1)
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    # --- what is installed ---------------------------------------------------------------------

    @property
    def store_url(self) -> str:
        return self.store.url("store")

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "INSIGHTS_STORE__URL": self.store_url,
            "INSIGHTS_CREDENTIAL_HASH_KEY": "a key for kills",
            "INSIGHTS_CREDENTIAL_DOOR_TOKENS": f"erp submit:triage,read {TOKEN}",
            "INSIGHTS_CREDENTIAL_DESK_WEBHOOK": f"whsec_{'A' * 44}",
            "INSIGHTS_LOG__FORMAT": "json",
            **self.more,
        }

    def insights(self, *arguments: str) -> list[str]:
        config = str(self.folder / "site" / "insights.toml")
        return [sys.executable, "-m", "insights", "-c", config, *arguments]

    def install(self, hook: str) -> None:
        """Write the settings, make the store, and begin daemon, HTTP door and listener."""
        site = self.folder / "site"
        (site / "pipelines").mkdir(parents=True)
        text = SETTINGS.format(
            port=self.port, rabbit=self.rabbit.url, redis=self.redis.url,
            folder=self.exports, model=self.model, hook=hook,
        )  # fmt: skip
        (site / "insights.toml").write_text(textwrap.dedent(text))
        (site / "pipelines" / "triage.toml").write_text(textwrap.dedent(PIPELINE))
        (site / "prompt.j2").write_text("{{ row.subject }}\n{{ row.body }}\n")
        (site / "schema.json").write_text(SCHEMA)
        self.store.create_database("store")
        for command in (["migrate"], ["run", "--once"]):
            subprocess.run(self.insights(*command), env=self.env(), check=True, capture_output=True)
        self.serve("daemon", self.insights("run"), up='"event": "running"')
        self.serve("serve", self.insights("serve"), port=self.port)
        self.serve("listen", self.insights("listen"), up='"event": "queues are listened to"')
        self.wait_up()

    def serve(self, name: str, command: Sequence[str], *, up: str = "", port: int = 0) -> None:
        """Keep a process running from now on."""
        log = self.folder / f"{name}.log"
        self.services[name] = Service(name, command, self.env(), log, up, port)

    def wait_up(self) -> None:
        """Wait until every service works."""
        self.until(lambda: all(one.works() for one in list(self.services.values())), UP_S)

    def until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds.

        Raises:
            TimeoutError: With the ends of all logs.
        """
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(self.said())
            time.sleep(0.2)

    def said(self) -> str:
        """Return the end of every service's log."""
        found = []
        for one in self.services.values():
            tail = one.log.read_text(errors="replace")[-2_000:] if one.log.exists() else ""
            found.append(f"--- {one.name}\n{tail}")
        return "\n".join(found)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the store."""
        with psycopg.connect(self.store_url) as link:
            return link.execute(statement.encode()).fetchall()

    # --- what kills ----------------------------------------------------------------------------

    def kill(self, victim: str, rng: random.Random) -> None:
        """Kill one: a service, "CHILD of SERVICE", or a server, which is begun again."""
        server: dict[str, servers.Postgres | brokers.Redis | brokers.RabbitMQ] = {
            "postgresql": self.store, "redis": self.redis, "rabbitmq": self.rabbit,
        }  # fmt: skip
        if victim in server:
            server[victim].stop(signal.SIGKILL)
            self.kills[victim] += 1
            time.sleep(rng.uniform(0, 1))
            self._starter.submit(server[victim].start).result()
            return
        children = victim.startswith("child of ")
        one = self.services[victim.removeprefix("child of ")]
        self.until(one.works, UP_S)
        pids = one.pids()[1:] if children else one.pids()[:1]
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(pids), signal.SIGKILL)
                self.kills[victim] += 1

    def end(self) -> None:
        """End everything, and delete what it held."""
        for one in self.services.values():
            one.end()
        self._ends.set()
        self._keeper.join(10)
        self._starter.shutdown()
        for server in (self.store, self.redis, self.rabbit):
            server.remove()

    def _keep(self) -> None:
        while not self._ends.wait(0.1):
            for one in list(self.services.values()):
                one.keep()


@dataclass
class Killing:
    """Kills at random while something goes on.

    Args:
        rig: Whose.
        victims: Whom, and how often each is drawn beside the others.
        pause_s: The least and the most seconds between two.
        seed: Of what is random.
    """

    rig: Rig
    victims: Mapping[str, float]
    pause_s: tuple[float, float]
    seed: int = 7
    failed: list[Exception] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(2 * UP_S)
        if self.failed:
            raise self.failed[0]

    def _run(self) -> None:
        rng = random.Random(self.seed)
        names, weights = list(self.victims), list(self.victims.values())
        while not self._ends.wait(rng.uniform(*self.pause_s)):
            (victim,) = rng.choices(names, weights)
            try:
                self.rig.kill(victim, rng)
            except Exception as exc:  # noqa: BLE001 - told by the thread that waits
                self.failed.append(exc)
                return
