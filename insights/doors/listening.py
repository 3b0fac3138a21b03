"""The queue door: messages become requests, and their outcomes replies.

A message is acknowledged after what it asks for is in the store, and where its outcome is to go.
Whatever is killed before that, it comes again and finds the same requests; whatever is killed
after it, the store knows what is still to be replied. A reply that was sent and not recorded is
sent again with the same id: whoever takes it drops what it has seen.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec
import structlog

from insights import errors
from insights.doors.accepting import Doors
from insights.doors.checking import MOST_ROWS
from insights.ground import failpoints, metrics
from insights.model import QueueMessage
from insights.ports import Broker, Replies

log = structlog.get_logger(__name__)

_AT_ONCE = 200  # replies in one round
_WAIT_S = 0.2  # for a message, so that replies are not kept waiting
_WINDOW = 2_000  # open replies that one round looks at
_MOST_BYTES = 8 * 1024 * 1024
_MOST_NAME = 255  # characters, AMQP's own bound
_LONGEST_S = 20.0  # for the round under way when it ends; a broker's own bound is 10 s
_DEATHS = 2  # of the intake over one message alone, before that is refused


class Listening:
    """One queue: a job of the runner.

    Args:
        door: Its name in the settings.
        pipeline: What its messages are for.
        connect: Opens the broker's queue; called again after it failed.
        doors: Where requests go.
        replies: What is to be replied.
        reply_to: Where outcomes go whose message does not say; "" for nowhere.
        answers: Whether a message may say where its outcome goes.
    """

    every_s = 0.1

    def __init__(
        self,
        door: str,
        pipeline: str,
        connect: Callable[[], Broker],
        doors: Doors,
        replies: Replies,
        *,
        reply_to: str = "",
        answers: bool = True,
    ) -> None:
        self.name = f"queue {door}"
        self._door = door
        self._pipeline = pipeline
        self._connect = connect
        self._doors = doors
        self._replies = replies
        self._reply_to = reply_to
        self._answers = answers
        self._broker: Broker | None = None
        self._deaths: Counter[bytes] = Counter()
        self._trouble: errors.WorkerDied | None = None
        self._after = 0
        self._round = threading.Lock()
        self._closed = False

    def run_once(self) -> bool:
        """Take what came, reply what is over; True where there may be more at once.

        Raises:
            errors.Transient: If broker or store do not answer. The connection is opened anew.
        """
        with self._round:
            if self._closed:
                return False
            try:
                if self._broker is None:
                    self._broker = self._connect()
                taken = self._take(self._broker)
                told = self._tell(self._broker)
            except BaseException:
                self._disconnect()
                raise
            return taken or told

    def close(self) -> None:
        """End the connection, once the round under way is over; there is none after it.

        A connection is one thread's: closed under the feet of a round, both wait for ever.
        """
        self._closed = True
        if self._round.acquire(timeout=_LONGEST_S):
            try:
                self._disconnect()
            finally:
                self._round.release()

    def _disconnect(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()

    def _take(self, broker: Broker) -> bool:
        came, self._trouble = broker.receive(_WAIT_S), None
        valid: list[tuple[QueueMessage, list[object]]] = []
        metrics.REDELIVERED.labels(self._door).inc(sum(one.is_redelivered for one in came))
        for message in came:
            try:
                _check_names(message)
                valid.append((message, _rows(message.body)))
            except errors.RequestRefused as exc:
                self._refuse(broker, message, exc)
        for some in _batches(valid):
            self._accept(broker, some)
        if self._trouble is not None:
            raise self._trouble
        return bool(came)

    def _accept(self, broker: Broker, some: Sequence[tuple[QueueMessage, list[object]]]) -> None:
        """Accept messages in one transaction; where one of them is refused, each alone."""
        try:
            every = [row for _, rows in some for row in rows]
            tickets = iter(self._doors.submit(self._pipeline, every, client=self.name))
        except (errors.RequestRefused, errors.RowError, errors.WorkerDied) as exc:
            if len(some) > 1:
                for one in some:
                    self._accept(broker, [one])
            elif isinstance(exc, errors.WorkerDied):
                self._died(broker, some[0][0], exc)
            else:
                self._refuse(broker, some[0][0], exc)
            return
        for message, rows in some:
            ids = [ticket.id for ticket in islice(tickets, len(rows))]
            address = (message.reply_to if self._answers else None) or self._reply_to
            if address:
                self._replies.keep(
                    self._door,
                    ids,
                    address,
                    message=message.id,
                    correlation=message.correlation,
                )
        failpoints.reach("before-messages-accepted")
        for message, _ in some:
            broker.accept(message)
            metrics.MESSAGES.labels(self._door, "accepted").inc()

    def _died(self, broker: Broker, message: QueueMessage, exc: errors.WorkerDied) -> None:
        """Let a message that ended the intake come once more; then it holds up no others."""
        name = hashlib.sha256(message.body).digest()
        self._deaths[name] += 1
        if self._deaths[name] < _DEATHS:
            self._trouble = exc
            return
        del self._deaths[name]
        self._refuse(broker, message, exc)

    def _refuse(self, broker: Broker, message: QueueMessage, why: errors.InsightsError) -> None:
        log.warning("a message is no request", door=self._door, reason=str(why))
        broker.refuse(message, str(why))
        metrics.MESSAGES.labels(self._door, "refused").inc()

    def _tell(self, broker: Broker) -> bool:
        due, last = self._replies.due(self._door, self._after, _WINDOW, _AT_ONCE)
        if len(due) < _AT_ONCE:  # else there may be more in this window
            self._after = last
        answers = self._doors.outcomes([one.request_id for one in due], delivers=False)
        sent = []
        for one in due:
            answer = answers.get(one.request_id)
            if answer is None or not answer.is_over:
                continue
            try:
                broker.reply(one, msgspec.json.encode(answer))
            except errors.RequestRefused as exc:
                self._replies.failed(one.number, str(exc))
                metrics.REPLIES.labels(self._door, "failed").inc()
                continue
            failpoints.reach("after-reply")
            metrics.REPLIES.labels(self._door, "sent").inc()
            sent.append(one)
        if sent:
            self._replies.sent([one.number for one in sent])
            self._doors.outcomes([one.request_id for one in sent])  # delivered: fields may go
        return len(sent) == _AT_ONCE


def _batches(
    valid: Sequence[tuple[QueueMessage, list[object]]],
) -> Iterator[list[tuple[QueueMessage, list[object]]]]:
    """Yield messages that together have no more rows than are accepted at once."""
    some: list[tuple[QueueMessage, list[object]]] = []
    rows = 0
    for one in valid:
        if some and rows + len(one[1]) > MOST_ROWS:
            yield some
            some, rows = [], 0
        some.append(one)
        rows += len(one[1])
    if some:
        yield some


def _check_names(message: QueueMessage) -> None:
    """Refuse names that the store cannot keep: a broker may give bytes that are no text.

    Raises:
        errors.RequestRefused: Naming which.
    """
    for what in ("id", "reply_to", "correlation"):
        name: object = getattr(message, what)
        if name is None:
            continue
        if not isinstance(name, str) or "\0" in name or len(name) > _MOST_NAME:
            raise errors.RequestRefused(
                f"its {what} is no text of at most {_MOST_NAME} characters", where=""
            )


def _rows(body: bytes) -> list[object]:
    """Return a message's rows: a JSON object, or an array of them.

    Raises:
        errors.RequestRefused: If it is none.
    """
    if len(body) > _MOST_BYTES:
        raise errors.RequestRefused("the message has more than 8 MiB", where="")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise errors.RequestRefused("the message is no valid JSON in UTF-8", where="") from None
    except RecursionError:
        raise errors.RequestRefused("the message is nested too deep", where="") from None
    return value if isinstance(value, list) else [value]
