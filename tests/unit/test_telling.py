"""Webhooks: what is told, what is tried again, and what holds up no others."""

import datetime as dt
import json
import threading
import time
from collections.abc import Sequence

import pytest

from insights import errors
from insights.doors.telling import Telling, Told
from insights.model import Answer, Reply, Standing

DESK = Told("desk", None, ("https", "desk.example.com", 443))


class Store:
    """Implements what a webhook asks of store and doors."""

    def __init__(self, *standings: Standing) -> None:
        self.answers = {
            str(n): Answer(
                id=str(n),
                pipeline="triage",
                stream="ticket",
                key=str(n),
                standing=standing,
                accepted_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            )
            for n, standing in enumerate(standings)
        }
        self.told: list[int] = []
        self.delivered: list[str] = []
        self.failures: dict[int, tuple[str, int]] = {}

    def due(
        self, door: str, after: int, window: int, most: int, *, in_hand_s: float = 0.0
    ) -> tuple[list[Reply], int]:
        assert door == "webhook desk"
        assert after == 0
        assert window > most
        assert in_hand_s >= 30  # longer than a delivery may take
        return [Reply(number=int(id_), request_id=id_, address="") for id_ in self.answers], 0

    def outcomes(self, ids: Sequence[str], *, delivers: bool = True) -> dict[str, Answer]:
        if delivers:
            self.delivered += ids
        return {id_: self.answers[id_] for id_ in ids}

    def sent(self, numbers: Sequence[int]) -> None:
        self.told += numbers

    def failed(self, number: int, reason: str, *, most: int, longest_s: float = 0.0) -> None:
        del longest_s
        self.failures[number] = reason, most


class Server:
    """A hook that takes everything, except what it was told of."""

    def __init__(self, **others: bool | Exception | threading.Event) -> None:
        self.others = {name.removeprefix("r"): what for name, what in others.items()}
        self.bodies: dict[str, bytes] = {}

    def post(self, address: str, made: str, body: bytes) -> bool:
        assert address == ""
        self.bodies[made] = body
        what = self.others.get(made, True)
        if isinstance(what, threading.Event):
            what.wait(30)
            return True
        if isinstance(what, Exception):
            raise what
        return what


def telling(server: Server, store: Store) -> Telling:
    return Telling(DESK, server, store, store)  # type: ignore[arg-type]


def test_only_what_is_over_is_told_with_its_state_as_its_type() -> None:
    store, server = Store("done", "queued", "failed", "started"), Server()
    assert telling(server, store).turn() > 0
    assert sorted(store.told) == [0, 2]
    assert sorted(store.delivered) == ["0", "2"]
    body = json.loads(server.bodies["2"])
    assert body["type"] == "request.failed"
    assert body["timestamp"] == "2026-01-01T00:00:00Z"
    assert body["data"]["standing"] == "failed"


def test_one_that_hangs_holds_up_none_beside_it() -> None:
    hangs = threading.Event()
    store = Store("done", "done", "done")
    thread = threading.Thread(target=telling(Server(r0=hangs), store).turn)
    thread.start()
    until = time.monotonic() + 20
    while len(store.told) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert sorted(store.told) == [1, 2]
    hangs.set()
    thread.join(20)
    assert sorted(store.told) == [0, 1, 2]


def test_where_nobody_is_there_the_next_round_waits_and_each_is_tried_again() -> None:
    away = errors.ReceiverUnavailable("it is away")
    store = Store("done", "done")
    with pytest.raises(errors.ReceiverUnavailable):
        telling(Server(r0=away, r1=away), store).turn()
    assert {n: most > 50 for n, (_, most) in store.failures.items()} == {0: True, 1: True}
    assert store.told == []
    assert store.delivered == []
    some = Store("done", "done")
    telling(Server(r0=away), some).turn()
    assert some.told == [1]


def test_one_that_is_refused_stops_no_others_and_one_that_is_gone_is_given_up() -> None:
    refused = errors.RequestRefused("desk answered 400")
    store = Store("done", "done", "done")
    telling(Server(r0=refused, r1=False), store).turn()
    assert store.told == [2]
    assert store.failures[0][1] > 50
    assert store.failures[1][1] == 0
    assert "410" in store.failures[1][0]


def test_what_nobody_foresaw_is_noted_and_raised() -> None:
    store = Store("done", "done")
    with pytest.raises(ZeroDivisionError):
        telling(Server(r0=ZeroDivisionError("a field")), store).turn()
    assert store.failures[0][0] == "ZeroDivisionError"
