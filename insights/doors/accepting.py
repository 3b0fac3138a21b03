"""Accepting: what every door does with what was sent. Check, redact, and into the inbox.

Whoever sends at the same moment shares one call of the intake and one transaction: one thread has
redacted what came meanwhile, another stores what was redacted meanwhile, and each submission is
answered by itself. What came back as a ticket is in the store; nothing else is kept here.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError

import msgspec

from insights import errors
from insights.doors.checking import checked
from insights.doors.stages import Stage
from insights.ground import beats, metrics
from insights.model import Answer, Json, Sent, StreamSpec, Submission, Ticket
from insights.ports import Inbox, Intake

_PREPARED = 100  # rows in one call of the intake, unless one submission has more
_TOGETHER = 1_000  # rows in one transaction
_LOOK_S = 0.1  # between two looks for an outcome that somebody waits for
_LONGEST_LOOK_S = 1.0


class Entrance(msgspec.Struct, frozen=True):
    """Where requests for one pipeline go, and the JSON Schema of what comes of them."""

    pipeline: str
    stream: StreamSpec
    keep_s: float
    output_schema: Json = {}


class _Waiting:
    """One submission on its way."""

    def __init__(
        self,
        entrance: Entrance,
        sent: list[Sent],
        client: str,
        key: str | None,
        deadline_s: float | None,
    ) -> None:
        self.entrance = entrance
        self.sent = sent
        self.client = client
        self.idempotency_key = key
        self.deadline_s = deadline_s
        self.prepared: Submission | None = None
        self.done: Future[tuple[Ticket, ...]] = Future()
        self.done.set_running_or_notify_cancel()  # whoever waits no more takes nothing back

    def fail(self, exc: BaseException) -> None:
        with contextlib.suppress(InvalidStateError):  # it has its answer
            self.done.set_exception(exc)

    def succeed(self, tickets: tuple[Ticket, ...]) -> None:
        new = sum(ticket.is_new for ticket in tickets)
        for result, rows in (("new", new), ("known", len(tickets) - new)):
            if rows:
                metrics.ACCEPTED.labels(self.entrance.pipeline, result).inc(rows)
        self.done.set_result(tickets)


class Doors:
    """What doors submit to and ask of; safe for threads.

    Args:
        entrances: By pipeline.
        intake: Redacts.
        inbox: Keeps.
        clock: Monotonic seconds; replaceable for tests.
    """

    def __init__(
        self,
        entrances: Mapping[str, Entrance],
        intake: Intake,
        inbox: Inbox,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.entrances = entrances
        self.intake = intake
        self._inbox = inbox
        self._clock = clock
        self._storing = Stage("accept", _first_prepared, self._store, _fail)
        self._preparing = Stage("redact", _first_sent, self._prepare, _fail)

    def submit(
        self,
        pipeline: str,
        rows: Sequence[object],
        *,
        client: str,
        idempotency_key: str | None = None,
        deadline_s: float | None = None,
    ) -> tuple[Ticket, ...]:
        """Accept rows for a pipeline, all or none; they are in the store when this returns.

        Args:
            pipeline: Its name.
            rows: One object a row: column to text, number, boolean or null.
            client: Who sends, for the audit and for idempotency keys.
            idempotency_key: One used before brings the same tickets again.
            deadline_s: Seconds after which they are not begun any more; None for no such bound.

        Raises:
            errors.RequestRefused: If there is no such pipeline, a row is not as it must be, or the
                idempotency key was used for other rows. Nothing was stored.
            errors.Transient: If it is not known whether they were accepted: send the same again.
        """
        sent = self.send(
            pipeline,
            rows,
            client=client,
            idempotency_key=idempotency_key,
            deadline_s=deadline_s,
        )
        return beats.result(sent)

    def send(
        self,
        pipeline: str,
        rows: Sequence[object],
        *,
        client: str,
        idempotency_key: str | None = None,
        deadline_s: float | None = None,
    ) -> Future[tuple[Ticket, ...]]:
        """Send rows on their way, as `submit` does; what comes of them is the future's to tell.

        Raises:
            errors.RequestRefused: If there is no such pipeline, or a row is not as it must be.
        """
        entrance = self.entrances.get(pipeline)
        if entrance is None:
            raise errors.RequestRefused(
                "there is no such pipeline here",
                where="pipeline",
                fix=f"pipelines: {', '.join(sorted(self.entrances)) or 'none'}",
            )
        sent = checked(entrance.stream, rows)
        mine = _Waiting(entrance, sent, client, idempotency_key, deadline_s)
        self._preparing.put([mine])
        return mine.done

    def outcomes(self, ids: Sequence[str], *, delivers: bool = True) -> dict[str, Answer]:
        """Return how requests stand; unknown ids are left out. See `ports.Inbox`."""
        return self._inbox.outcomes(ids, delivers=delivers)

    def wait(self, ids: Sequence[str], timeout_s: float) -> dict[str, Answer]:
        """Return how requests stand once all are over, or when the time is."""
        until, pause = self._clock() + timeout_s, _LOOK_S
        while True:
            found = self._inbox.outcomes(ids)
            left = until - self._clock()
            if left <= 0 or all(one.is_over for one in found.values()):
                return found
            time.sleep(min(pause, left))
            pause = min(_LONGEST_LOOK_S, 1.3 * pause)

    def cancel(self, id_: str, *, actor: str) -> Answer | None:
        """Cancel a request that is not over; None if it is unknown. See `ports.Inbox`."""
        return self._inbox.cancel(id_, actor=actor)

    def waiting(self, pipeline: str, most: int) -> int:
        """Return how many rows wait for a pipeline, counted up to `most`."""
        return self._inbox.waiting(pipeline, most)

    def _prepare(self, some: Sequence[_Waiting]) -> None:
        """Have submissions redacted together; if that fails, each alone."""
        stream = some[0].entrance.stream
        try:
            made = iter(self.intake.prepare(stream, [row for one in some for row in one.sent]))
        except Exception as exc:  # noqa: BLE001 - each is told its own, and harms no other
            if len(some) == 1:
                some[0].fail(exc)
                return
            for one in some:
                self._prepare([one])
            return
        for one in some:
            one.prepared = Submission(
                pipeline=one.entrance.pipeline,
                rows=tuple(next(made) for _ in one.sent),
                client=one.client,
                idempotency_key=one.idempotency_key,
                keep_s=one.entrance.keep_s,
                deadline_s=one.deadline_s,
            )
        self._storing.put(some)

    def _store(self, some: Sequence[_Waiting]) -> None:
        """Accept submissions of one stream in one transaction; if it fails for one, each alone."""
        stream = some[0].entrance.stream.name
        try:
            sent = [one.prepared for one in some if one.prepared is not None]
            answers = self._inbox.submit(stream, sent)
        except (errors.StoreUnavailable, errors.Overloaded) as exc:
            for one in some:
                one.fail(exc)
        except Exception as exc:  # noqa: BLE001 - each is told its own, and harms no other
            if len(some) == 1:
                some[0].fail(exc)
                return
            for one in some:
                self._store([one])
        else:
            for one, answer in zip(some, answers, strict=True):
                if isinstance(answer, errors.RequestRefused):
                    one.fail(answer)
                else:
                    one.succeed(answer)


def _first_sent(queue: deque[_Waiting]) -> list[_Waiting]:
    """Take what goes into one call of the intake: some of one stream's, in order."""
    some = [queue.popleft()]
    stream, rows = some[0].entrance.stream, len(some[0].sent)
    while queue and queue[0].entrance.stream == stream and rows < _PREPARED:
        some.append(queue.popleft())
        rows += len(some[-1].sent)
    return some


def _first_prepared(queue: deque[_Waiting]) -> list[_Waiting]:
    """Take what goes into one transaction: one stream's, each key once."""
    first = queue.popleft()
    some, keys = [first], {one.key for one in first.sent}
    used = {(first.client, first.idempotency_key)}
    later: list[_Waiting] = []
    while queue and len(keys) < _TOGETHER:
        one = queue.popleft()
        mine = {row.key for row in one.sent}
        named = (one.client, one.idempotency_key)
        same = one.entrance.stream.name == first.entrance.stream.name
        again = one.idempotency_key is not None and named in used
        if not same or again or mine & keys or len(mine) + len(keys) > _TOGETHER:
            later.append(one)
            continue
        some.append(one)
        keys |= mine
        used.add(named)
    queue.extendleft(reversed(later))
    return some


def _fail(some: Sequence[_Waiting], exc: BaseException) -> None:
    for one in some:
        one.fail(exc)
