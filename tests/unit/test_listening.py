"""The queue door: what holds up no others, and what comes again."""

import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from insights import errors
from insights.doors.listening import Listening
from insights.model import QueueMessage, Reply, Ticket


class Queue:
    """Gives what is not acknowledged, again and again, as a broker does."""

    def __init__(self, *messages: QueueMessage) -> None:
        self.messages = list(messages)
        self.dead: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.opened = 0

    def open(self) -> "Queue":
        self.opened += 1
        return self

    def waiting(self) -> int:
        return len(self.messages)

    def receive(self, _: float) -> list[QueueMessage]:
        return list(self.messages)

    def accept(self, message: QueueMessage) -> None:
        self.messages.remove(message)

    def refuse(self, message: QueueMessage, reason: str) -> None:
        self.dead.append((message.handle, reason))
        self.messages.remove(message)

    def reply(self, reply: Reply, _: bytes) -> None:
        self.told.append(reply.request_id)

    def close(self) -> None:
        pass


class Desk:
    """Accepts rows; a deadly one ends the intake, a bad one is refused."""

    def __init__(self) -> None:
        self.accepted: list[Any] = []

    def submit(self, _: str, rows: Sequence[Any], *, client: str) -> tuple[Ticket, ...]:
        assert client == "queue desk"
        for row in rows:
            if row == "deadly":
                raise errors.WorkerDied("the intake ended")
            if row == "bad":
                raise errors.RequestRefused("it is bad")
        self.accepted += rows
        return tuple(Ticket(id=str(row), key=str(row), is_new=True) for row in rows)

    def outcomes(self, _: Sequence[str], *, delivers: bool = True) -> dict[str, Any]:
        del delivers
        return {}


class Kept:
    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []
        self.asked: list[int] = []
        self.last = 0

    def keep(
        self,
        _: str,
        ids: Sequence[str],
        address: str,
        *,
        message: str = "",
        correlation: str | None = None,
    ) -> None:
        del correlation
        self.kept += [(message, id_) for id_ in ids]
        assert address == "out"

    def due(
        self, _: str, after: int, window: int, most: int, *, in_hand_s: float = 0.0
    ) -> tuple[list[Reply], int]:
        del in_hand_s
        assert window > most
        self.asked.append(after)
        return [], self.last

    def sent(self, numbers: Sequence[int]) -> None: ...
    def failed(self, number: int, reason: str, **_: float) -> None: ...


def message(body: Any, number: int, **names: Any) -> QueueMessage:  # noqa: ANN401 - what brokers give
    made = {"id": f"m{number}", "handle": str(number), **names}
    return QueueMessage(body=msgspec.json.encode(body), **made)


def listening(queue: Queue, desk: Desk, kept: Kept) -> Listening:
    return Listening("desk", "triage", queue.open, desk, kept, reply_to="out")  # type: ignore[arg-type]


def test_a_message_that_ends_the_intake_twice_alone_is_refused_and_others_go_on() -> None:
    queue = Queue(message("deadly", 1), message("a", 2), message("bad", 3), message(["b", "c"], 4))
    desk, kept = Desk(), Kept()
    door = listening(queue, desk, kept)
    with pytest.raises(errors.WorkerDied):
        door.run_once()
    assert desk.accepted == ["a", "b", "c"]
    assert kept.kept == [("m2", "a"), ("m4", "b"), ("m4", "c")]
    assert [one.handle for one in queue.messages] == ["1"]
    assert door.run_once()
    assert queue.opened == 2  # the connection was opened anew, so that it came again
    assert [handle for handle, _ in queue.dead] == ["3", "1"]
    assert "the intake ended" in queue.dead[1][1]
    assert not door.run_once()


@pytest.mark.parametrize("name", [b"\xff", "a\0b", "x" * 256])
@pytest.mark.parametrize("what", ["id", "reply_to", "correlation"])
def test_names_that_the_store_cannot_keep_are_refused(what: str, name: object) -> None:
    queue = Queue(message("a", 1, **{what: name}), message("b", 2))
    desk = Desk()
    listening(queue, desk, Kept()).run_once()
    assert desk.accepted == ["b"]
    ((handle, reason),) = queue.dead
    assert (handle, what in reason) == ("1", True)


def test_open_replies_are_looked_at_a_window_after_the_other() -> None:
    kept = Kept()
    door = listening(Queue(), Desk(), kept)
    for last in (2_000, 3_500, 0, 0):
        kept.last = last
        door.run_once()
    assert kept.asked == [0, 2_000, 3_500, 0]


def test_a_connection_is_not_closed_while_a_round_uses_it() -> None:
    class Slow(Queue):
        def __init__(self) -> None:
            super().__init__()
            self.waits, self.came, self.seen = threading.Event(), threading.Event(), list[str]()

        def receive(self, _: float) -> list[QueueMessage]:
            self.waits.set()
            self.came.wait(60)
            self.seen.append("received")
            return []

        def close(self) -> None:
            self.seen.append("closed")

    queue = Slow()
    door = listening(queue, Desk(), Kept())
    rounds = threading.Thread(target=door.run_once)
    rounds.start()
    assert queue.waits.wait(60)
    ends = threading.Thread(target=door.close)
    ends.start()
    ends.join(0.2)
    queue.came.set()
    ends.join(60)
    rounds.join(60)
    assert queue.seen == ["received", "closed"]
    assert not door.run_once()
    assert queue.opened == 1
