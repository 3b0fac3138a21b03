"""Webhooks: outcomes of requests are posted to addresses, at least once each.

What is to be told is in the store before a request counts as taken. Whatever is killed between
telling and noting it, the same is told again under the same name: whoever takes it drops what it
has. Each webhook has a thread of its own, so that one that hangs holds up no other.
"""

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
import structlog

from insights import errors
from insights.doors.accepting import Doors
from insights.ground import beats, failpoints, metrics
from insights.model import Answer, Reply
from insights.ports import Hook, Replies

log = structlog.get_logger(__name__)

_AT_ONCE = 16  # deliveries of a webhook that are under way
_WINDOW = 2_000  # open ones that one round looks at
_IN_HAND_S = 60.0  # longer than a delivery may take
_MOST_ATTEMPTS = 80  # with pauses up to an hour: three days
_LONGEST_S = 3_600.0
_LOOK_S = 0.2


class Told(msgspec.Struct, frozen=True):
    """Who may be told: of which pipeline all requests, and which addresses one may ask for."""

    name: str
    pipeline: str | None
    origin: tuple[str, str, int]

    @property
    def door(self) -> str:
        """What the store calls it."""
        return f"webhook {self.name}"


class Webhooks:
    """Remembers who is to be told of requests.

    Args:
        told: All webhooks, by name.
        replies: Where it is remembered.
    """

    def __init__(self, told: Mapping[str, Told], replies: Replies) -> None:
        self._told = told
        self._replies = replies

    def chosen(self, pipeline: str, name: str | None, origin: object) -> list[str]:
        """Return the doors that tell of a request.

        Args:
            pipeline: Whose.
            name: What the request asks for: a webhook, or an address; None for nothing of its own.
            origin: Scheme, host and port, if that is an address.

        Raises:
            errors.RequestRefused: If no webhook has that name or may go there.
        """
        if name is None:
            return [one.door for one in self._told.values() if one.pipeline == pipeline]
        fitting = [
            one.door
            for one in self._told.values()
            if one.pipeline in (None, pipeline) and (one.name == name or one.origin == origin)
        ]
        if not fitting:
            raise errors.RequestRefused(
                "no webhook of this name or with this scheme, host and port is allowed",
                where="Insights-Webhook",
                fix="ask whoever runs it for a [webhook.<name>]",
            )
        return fitting[:1]

    def keep(self, doors: Sequence[str], ids: Sequence[str], address: str) -> None:
        """Remember it: from now on they will be told."""
        for door in doors:
            self._replies.keep(door, ids, address)


class Telling:
    """One webhook: what a thread of its own does again and again.

    Args:
        told: Which.
        hook: Takes outcomes.
        doors: What knows them.
        replies: What is to be told.
    """

    def __init__(self, told: Told, hook: Hook, doors: Doors, replies: Replies) -> None:
        self.name = told.door
        self._webhook = told.name
        self._hook = hook
        self._doors = doors
        self._replies = replies
        self._after = 0

    def turn(self) -> float:
        """Tell what is over; return the seconds to wait before the next round.

        Raises:
            errors.ReceiverUnavailable: If nobody was there for any of it: the next round waits.
            errors.Transient: If the store does not answer.
        """
        due, last = self._replies.due(
            self.name, self._after, _WINDOW, _AT_ONCE, in_hand_s=_IN_HAND_S
        )
        if len(due) < _AT_ONCE:  # else there may be more in this window
            self._after = last
        answers = self._doors.outcomes([one.request_id for one in due], delivers=False)
        over = [(one, answers[one.request_id]) for one in due if one.request_id in answers]
        missed: errors.ReceiverUnavailable | None = None
        taken = 0
        for one, failed in self._posted([pair for pair in over if pair[1].is_over]):
            if failed is None:
                taken += 1
                continue
            log.warning("an outcome was not told", door=self.name, request=one.request_id)
            if isinstance(failed, errors.ReceiverUnavailable):
                missed = failed
            elif not isinstance(failed, errors.RequestRefused):
                raise failed
        if missed is not None and not taken:
            raise missed
        return 0.0 if len(due) == _AT_ONCE else _LOOK_S

    def _posted(
        self, some: Sequence[tuple[Reply, Answer]]
    ) -> Iterator[tuple[Reply, Exception | None]]:
        """Post outcomes at once, and note each as soon as it is known how it went."""
        came: queue.SimpleQueue[tuple[Reply, bool | Exception]] = queue.SimpleQueue()
        for reply, answer in some:
            work = partial(self._post, reply, answer, came)
            threading.Thread(target=work, name=self.name, daemon=True).start()
        left = len(some)
        while left:
            batch = [came.get()]
            with suppress(queue.Empty):  # what came meanwhile is noted together
                while True:
                    batch.append(came.get_nowait())
            left -= len(batch)
            beats.beat()
            if taken := [reply for reply, found in batch if found is True]:
                failpoints.reach("after-reply")
                self._replies.sent([reply.number for reply in taken])
                self._doors.outcomes([reply.request_id for reply in taken])  # fields may go
            for reply, found in batch:
                result = "taken" if found is True else "failed" if found else "gone"
                metrics.POSTS.labels(self._webhook, result).inc()
                if isinstance(found, Exception):
                    self._replies.failed(
                        reply.number, _reason(found), most=_MOST_ATTEMPTS, longest_s=_LONGEST_S
                    )
                elif not found:
                    self._replies.failed(reply.number, "it is gone for good (410)", most=0)
                yield reply, found if isinstance(found, Exception) else None

    def _post(
        self,
        reply: Reply,
        answer: Answer,
        came: "queue.SimpleQueue[tuple[Reply, bool | Exception]]",
    ) -> None:
        try:
            came.put((reply, self._hook.post(reply.address, answer.id, _body(answer))))
        except Exception as exc:  # noqa: BLE001 - whoever waits is told
            came.put((reply, exc))


def _body(answer: Answer) -> bytes:
    return msgspec.json.encode(
        {
            "type": f"request.{answer.standing}",
            "timestamp": answer.finished_at or answer.accepted_at,
            "data": answer,
        }
    )


def _reason(exc: Exception) -> str:
    return str(exc) if isinstance(exc, errors.InsightsError) else type(exc).__name__
