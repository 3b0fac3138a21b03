"""The one door to `redis`: a Redis stream read by a consumer group.

An entry has its request as JSON in the field `body`, or its fields are the row themselves; with
`reply_to` and `correlation_id` beside it. What a consumer that is gone had taken is taken over
after a minute. A reply is added once: a key beside it remembers it for a day.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from insights import errors
from insights.model import QueueMessage, Reply

GROUP = "insights"
_TIMEOUT_S = 10.0
_TAKEN_OVER_MS = 60_000
_REMEMBERED_S = 86_400
_OWN = ("reply_to", "correlation_id", "message_id")
_ONCE = """
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
  redis.call('SET', KEYS[2], '1', 'EX', ARGV[1])
end
return 1
"""


class RedisBroker:
    """Implements `ports.Broker` over one connection.

    Args:
        url: Its address, such as `rediss://user:password@host:6380/0`.
        queue: The stream.
        dead: The stream of entries that are no request; "" is the queue's name and `.dead`.
        prefetch: Most entries taken at once.
        consumer: This process's name in the group.
        taken_over_ms: After so long without a word another consumer's entries are taken over.
        files: Of TLS, as the library names them.

    Raises:
        errors.BrokerUnavailable: If it cannot be reached, or refuses.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        *,
        dead: str,
        prefetch: int,
        consumer: str,
        taken_over_ms: int = _TAKEN_OVER_MS,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self._queue = queue
        self._dead = dead or f"{queue}.dead"
        self._prefetch = prefetch
        self._consumer = consumer
        self._taken_over_ms = taken_over_ms
        self._began = False
        self._redis = redis.Redis.from_url(
            url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, **(files or {})
        )
        with _translated(queue):
            self._redis.ping()

    def waiting(self) -> int:
        """Return how many entries the stream has, done ones too."""
        with _translated(self._queue):
            return int(self._redis.xlen(self._queue))

    def receive(self, timeout_s: float) -> list[QueueMessage]:
        """Return what came, first what was taken before and not acknowledged."""
        with _translated(self._queue):
            if not self._began:  # what this consumer took before it was restarted
                self._make_group()
                own: Any = self._redis.xreadgroup(
                    GROUP, self._consumer, {self._queue: "0"}, count=self._prefetch
                )
                if found := _entries(own, again=True):
                    return found
                self._began = True
            over: Any = self._redis.xautoclaim(
                self._queue, GROUP, self._consumer, self._taken_over_ms, count=self._prefetch
            )
            if found := [_message(*one, again=True) for one in over[1] if one[1]]:
                return found
            new: Any = self._redis.xreadgroup(
                GROUP, self._consumer, {self._queue: ">"}, count=self._prefetch,
                block=max(1, int(timeout_s * 1000)),
            )  # fmt: skip
            return _entries(new)

    def _make_group(self) -> None:
        try:
            self._redis.xgroup_create(self._queue, GROUP, id="0", mkstream=True)
        except redis.ResponseError as exc:
            if "BUSYGROUP" not in str(exc):
                raise

    def accept(self, message: QueueMessage) -> None:
        """Acknowledge an entry."""
        with _translated(self._queue):
            self._redis.xack(self._queue, GROUP, message.handle)

    def refuse(self, message: QueueMessage, reason: str) -> None:
        """Add an entry to the dead ones and acknowledge it, together."""
        with _translated(self._queue), self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(self._dead, {"body": message.body, "reason": reason[:1_000],
                                   "entry": message.handle})  # fmt: skip
            pipe.xack(self._queue, GROUP, message.handle)
            pipe.execute()

    def reply(self, reply: Reply, body: bytes) -> None:
        """Add an outcome to a stream, once."""
        fields: list[str | bytes] = ["body", body, "message_id", reply.request_id]
        if reply.correlation is not None:
            fields += ["correlation_id", reply.correlation]
        once = f"{self._queue}:replied:{reply.number}"
        with _translated(self._queue):
            try:
                self._redis.eval(_ONCE, 2, reply.address, once, _REMEMBERED_S, *fields)
            except redis.ResponseError as exc:
                if "WRONGTYPE" not in str(exc):
                    raise
                raise errors.RequestRefused(
                    f"{reply.address!r} is no stream", where=self._queue, fix="name another"
                ) from None

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._redis.close()


def _entries(found: Any, *, again: bool = False) -> list[QueueMessage]:  # noqa: ANN401 - as above
    return [_message(*one, again=again) for _, entries in found or () for one in entries if one[1]]


def _message(id_: bytes, fields: dict[bytes, bytes], *, again: bool = False) -> QueueMessage:
    told = {name: fields.get(name.encode()) for name in _OWN}
    body = fields.get(b"body")
    if body is None:
        row = {
            name.decode("utf-8", "replace"): value.decode("utf-8", "surrogateescape")
            for name, value in fields.items()
            if name.decode("utf-8", "replace") not in _OWN
        }
        body = json.dumps(row).encode()
    return QueueMessage(
        id=_text(told["message_id"]) or id_.decode(),
        body=body,
        handle=id_.decode(),
        reply_to=_text(told["reply_to"]),
        correlation=_text(told["correlation_id"]),
        is_redelivered=again,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


@contextlib.contextmanager
def _translated(queue: str) -> Iterator[None]:
    """Say what redis' errors mean; their texts may hold the address with its password."""
    try:
        yield
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        raise errors.BrokerUnavailable(
            "the broker refused the user, the password or the right", where=f"queue {queue}"
        ) from None
    except (redis.RedisError, OSError) as exc:
        raise errors.BrokerUnavailable(
            f"the broker does not answer ({type(exc).__name__})", where=f"queue {queue}"
        ) from None
