"""The old system's side of each door: it sends rows until each is taken, and asks after them.

What a door did not acknowledge is sent again as it was; what it did is `accepted`. Outcomes are
looked for when nothing is killed any more.
"""

import contextlib
import csv
import http.client
import io
import json
import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pika
import pika.exceptions
import redis

from tests.hooks import Hook
from tests.killing import TOKEN, Rig

_AGAIN_S = 0.2
_HTTP_CLIENTS = 4
_PER_FILE = 25


@dataclass
class Found:
    """What came of what one door took: of each key the requests that told an outcome."""

    accepted: set[str]
    told: dict[str, set[str]]
    standings: Counter[str]
    repeated: int = 0
    """Answers that came once more under the same name, as doors say they may."""
    again: int = 0
    """Rows that were sent again as nobody said that they are taken."""

    @property
    def lost(self) -> int:
        return len(self.accepted - self.told.keys())

    @property
    def doubled(self) -> int:
        return sum(len(requests) - 1 for requests in self.told.values())


class Peer(ABC):
    """One door's sender.

    Args:
        rig: Whose door.
        count: Rows.
        seconds: In which they are sent, if nothing stands in the way.
    """

    name = ""

    def __init__(self, rig: Rig, count: int, seconds: float) -> None:
        self.rig = rig
        self.keys = [f"{self.name}-{number}" for number in range(count)]
        self.seconds = seconds
        self.accepted: set[str] = set()
        self.again = 0

    def row(self, key: str) -> dict[str, str]:
        return {"id": key, "subject": f"printer {key}", "body": "It does not print."}

    @abstractmethod
    def send(self) -> None:
        """Send every row until it is taken."""

    @abstractmethod
    def look(self, found: Found) -> None:
        """Add what has come since."""

    def outcomes(self, within_s: float) -> Found:
        """Return what came, once it is all, or when the time is over."""
        until = time.monotonic() + within_s
        found = Found(self.accepted, defaultdict(set), Counter(), again=self.again)
        while True:
            self.look(found)
            if not found.lost or time.monotonic() > until:
                return found
            time.sleep(0.5)

    def paced(self, keys: Sequence[str]) -> Any:  # noqa: ANN401
        """Yield keys, each when it is time."""
        begin, each = time.monotonic(), self.seconds / max(1, len(keys))
        for number, key in enumerate(keys):
            time.sleep(max(0.0, begin + number * each - time.monotonic()))
            yield key


class Http(Peer):
    """HTTP: accepted is a 202. An outcome is there when GET has it, and the webhook was told.

    Args:
        rig: Whose door.
        count: Rows.
        seconds: In which they are sent.
        hook: Who is told; nobody.
    """

    name = "http"

    def __init__(self, rig: Rig, count: int, seconds: float, hook: Hook | None = None) -> None:
        super().__init__(rig, count, seconds)
        self._hook = hook
        self.sent_again = {0, 429, 503}  # statuses; 0 is no answer
        self.ids: dict[str, str] = {}
        self.refused: Counter[int] = Counter()

    def send(self) -> None:
        with ThreadPoolExecutor(_HTTP_CLIENTS) as pool:
            list(
                pool.map(self._some, (self.keys[at::_HTTP_CLIENTS] for at in range(_HTTP_CLIENTS)))
            )

    def _some(self, keys: Sequence[str]) -> None:
        for key in self.paced(keys):
            while True:
                try:
                    status, told = self.ask("POST", "/v1/pipelines/triage/requests", self.row(key))
                except (OSError, http.client.HTTPException):
                    status, told = 0, None
                if status == 202:
                    self.accepted.add(key)
                    self.ids[key] = told["requests"][0]["id"]
                    break
                assert status in self.sent_again, f"{status} {told}"
                self.refused[status] += 1
                self.again += 1
                time.sleep(_AGAIN_S)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        link = http.client.HTTPConnection("127.0.0.1", self.rig.port, timeout=30)
        try:
            given = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            link.request(method, path, None if body is None else json.dumps(body), given)
            answer = link.getresponse()
            told = answer.read()
            is_json = "json" in answer.headers.get("content-type", "")
            return answer.status, json.loads(told) if is_json else told
        finally:
            link.close()

    def look(self, found: Found) -> None:
        taken = [] if self._hook is None else [*self._hook.taken]
        told_of = Counter(headers["webhook-id"] for headers, _ in taken)
        found.repeated = sum(told_of.values()) - len(told_of)
        missing = [key for key, id_ in self.ids.items() if key not in found.told and id_ in told_of]
        for at in range(0, len(missing), 50):
            some = {self.ids[key]: key for key in missing[at : at + 50]}
            try:
                status, told = self.ask("GET", "/v1/requests?id=" + "&id=".join(some))
            except (OSError, http.client.HTTPException):
                return
            assert status in (200, 503), told
            for one in told["requests"] if status == 200 else ():
                if one["finished_at"]:
                    found.told[some[one["id"]]].add(one["id"])
                    found.standings[one["standing"]] += 1


class Amqp(Peer):
    """RabbitMQ: accepted is a confirm."""

    name = "amqp"

    def __init__(self, rig: Rig, count: int, seconds: float) -> None:
        super().__init__(rig, count, seconds)
        with self._connection() as link:
            for queue in ("requests", "out", "dead"):
                link.channel().queue_declare(queue, durable=True)

    def _connection(self) -> Any:  # noqa: ANN401 - pika has no types
        return pika.BlockingConnection(pika.URLParameters(self.rig.rabbit.url))

    def send(self) -> None:
        link: Any = None
        for key in self.paced(self.keys):
            told = pika.BasicProperties(delivery_mode=2, message_id=key, correlation_id=key)
            while True:
                try:
                    if link is None:
                        link = self._connection()
                        channel = link.channel()
                        channel.confirm_delivery()
                    channel.basic_publish(
                        "", "requests", json.dumps(self.row(key)), told, mandatory=True
                    )
                except (pika.exceptions.AMQPError, OSError):
                    _closed(link)
                    link = None
                    self.again += 1
                    time.sleep(_AGAIN_S)
                else:
                    self.accepted.add(key)
                    break
        _closed(link)

    def look(self, found: Found) -> None:
        for queue in ("out", "dead"):
            with self._connection() as link:
                channel = link.channel()
                while (came := channel.basic_get(queue, auto_ack=True))[0] is not None:
                    _told(found, came[1].correlation_id, came[1].message_id, came[2], queue)


class Streams(Peer):
    """Redis: accepted is an entry's id."""

    name = "redis"

    def __init__(self, rig: Rig, count: int, seconds: float) -> None:
        super().__init__(rig, count, seconds)
        self._seen = "-"

    def send(self) -> None:
        link = redis.Redis.from_url(self.rig.redis.url, socket_timeout=10)
        for key in self.paced(self.keys):
            fields: dict[Any, Any] = {
                "body": json.dumps(self.row(key)), "message_id": key, "correlation_id": key,
            }  # fmt: skip
            while True:
                try:
                    link.xadd("requests", fields)
                except redis.RedisError:
                    self.again += 1
                    time.sleep(_AGAIN_S)
                else:
                    self.accepted.add(key)
                    break
        link.close()

    def look(self, found: Found) -> None:
        link = redis.Redis.from_url(self.rig.redis.url, socket_timeout=10)
        entries: Any = link.xrange("out", min=self._seen)
        for id_, fields in entries:
            key, request = fields[b"correlation_id"].decode(), fields[b"message_id"].decode()
            _told(found, key, request, fields[b"body"], "out")
            self._seen = f"({id_.decode()}"
        found.standings["dead"] = int(str(link.xlen("dead")))
        link.close()


class Files(Peer):
    """A folder: accepted is a file that was renamed into place."""

    name = "folder"

    def send(self) -> None:
        folder = self.rig.exports
        files = [self.keys[at : at + _PER_FILE] for at in range(0, len(self.keys), _PER_FILE)]
        for number in self.paced([str(at) for at in range(len(files))]):
            keys = files[int(number)]
            text = io.StringIO(newline="")
            rows = csv.DictWriter(text, ("id", "subject", "body"))
            rows.writeheader()
            rows.writerows(self.row(key) for key in keys)
            part = folder / f".{number}.part"
            part.write_text(text.getvalue())
            part.rename(folder / f"{number}.csv")
            self.accepted.update(keys)

    def look(self, found: Found) -> None:
        out = self.rig.exports / "out"
        found.told.clear()
        found.standings.clear()
        for file in sorted(out.glob("*.csv")) if out.is_dir() else ():
            for row in csv.DictReader(file.read_text().splitlines()):
                if row["request"] in found.told[row["id"]]:
                    found.repeated += 1
                found.told[row["id"]].add(row["request"])
                found.standings[row["standing"]] += 1


def _closed(link: Any) -> None:  # noqa: ANN401 - pika has no types
    """Close a connection, whatever became of its broker."""
    if link is not None:
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            link.close()


def _told(found: Found, key: str, request: str, body: bytes, queue: str) -> None:
    """Note a reply."""
    if queue == "dead":
        found.standings["dead"] += 1
        return
    if request in found.told[key]:
        found.repeated += 1
        return
    found.told[key].add(request)
    found.standings[json.loads(body)["standing"]] += 1


def kept(rig: Rig) -> dict[str, int]:
    """Return what the store says of it all: keys with other than one request or one insight."""
    ((requests,),) = rig.query(
        "SELECT count(*) FROM (SELECT l.row_key FROM store.ledger l JOIN store.inbox b"
        " USING (row_id) GROUP BY 1 HAVING count(*) <> 1) odd"
    )
    ((insights,),) = rig.query(
        "SELECT count(*) FROM (SELECT l.row_key FROM store.ledger l LEFT JOIN store.insight i"
        " USING (row_id) GROUP BY 1 HAVING count(i.*) <> 1) odd"
    )
    ((rows,),) = rig.query("SELECT count(*) FROM store.ledger")
    ((open_,),) = rig.query(
        "SELECT count(*) FROM store.work WHERE state NOT IN ('done', 'superseded', 'cancelled')"
    )
    return {"rows": rows, "requests": requests, "insights": insights, "open": open_}
