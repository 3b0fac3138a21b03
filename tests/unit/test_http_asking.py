"""The HTTP door: how fast a client may send, and who is told of what it sent."""

import json

import pytest

from tests.calling import ROW, Caller, Memory, problem


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def caller(memory: Memory) -> Caller:
    return Caller(memory)


def test_whoever_sends_too_fast_is_told_how_long_to_wait_and_others_are_not(
    memory: Memory,
) -> None:
    caller = Caller(memory, rows_per_minute=3, rates={"all": 2})
    found = caller.send(ROW)
    assert found.headers["ratelimit-policy"] == '"rows";q=2;w=60'
    assert found.headers["ratelimit"] == '"rows";r=1;t=30'
    assert caller.send(ROW).status_code == 202
    refused = caller.send(ROW)
    assert "more than 2 rows in a minute" in problem(refused, 429)["detail"]
    assert refused.headers["retry-after"] == "30"
    assert refused.headers["ratelimit"] == '"rows";r=0;t=60'
    assert len(memory.answers) == 2
    assert caller.send(ROW, "sender").headers["ratelimit"] == '"rows";r=2;t=20'
    assert "ratelimit" not in Caller(memory).send(ROW).headers


def test_what_found_no_room_does_not_count_as_sent(memory: Memory) -> None:
    caller = Caller(memory, rows_per_minute=2)
    memory.rows_waiting = 5
    for _ in range(5):
        assert "rows wait already" in problem(caller.send(ROW), 429)["detail"]
    memory.rows_waiting = 0
    fresh = Caller(memory, rows_per_minute=2)
    assert (
        fresh.send([{**ROW, "id": n} for n in range(4)])
        .headers["ratelimit"]
        .startswith('"rows";r=0')
    )
    assert "in a minute" in problem(fresh.send(ROW), 429)["detail"]


def test_who_is_told_is_remembered_before_a_request_counts_as_taken(memory: Memory) -> None:
    caller = Caller(memory)
    caller.send([ROW, {**ROW, "id": 2}])
    caller.send(ROW, **{"Insights-Webhook": "desk"})
    address = "https://desk.example.com/tickets/7?x=1"
    caller.send(ROW, **{"Insights-Webhook": address})
    caller.send(ROW, **{"Insights-Webhook": "https://audit.example.com:8443/here"})
    assert caller.kept == [
        ("webhook audit", 2, ""),
        ("webhook desk", 1, ""),
        ("webhook desk", 1, address),
        ("webhook audit", 1, "https://audit.example.com:8443/here"),
    ]


@pytest.mark.parametrize(
    ("webhook", "status"),
    [
        ("nobody", 422),
        ("https://evil.example.com/", 422),
        ("http://desk.example.com/", 422),
        ("https://desk.example.com:8443/", 422),
        ("https://desk.example.com@evil.example.com/", 400),
        ("https://evil.example.com#@desk.example.com/", 400),
        ("https://desk.example.com\\@evil.example.com/", 400),
        ("https://desk.example.com/a b", 400),
        ("https://desk.example.com:99999/", 400),
        ("https://[::1/", 400),
        ("ftp://desk.example.com/", 400),
        ("https:///x", 400),
        ("https://desk.example.com/" + "x" * 3_000, 400),
    ],
)
def test_nobody_is_told_whom_the_settings_do_not_name(
    memory: Memory, caller: Caller, webhook: str, status: int
) -> None:
    told = problem(caller.send(ROW, **{"Insights-Webhook": webhook}), status)
    assert "evil" not in json.dumps(told)
    assert memory.answers == {}
    assert caller.kept == []


def test_who_may_not_read_names_nobody_who_is_told(memory: Memory, caller: Caller) -> None:
    problem(caller.send(ROW, "sender", **{"Insights-Webhook": "desk"}), 403)
    assert memory.answers == {}
    assert caller.send(ROW, "sender").status_code == 202
    assert caller.kept == [("webhook audit", 1, "")]


def test_a_deadline_is_a_number_of_seconds(memory: Memory, caller: Caller) -> None:
    for n, given in enumerate(("30", "2.5", "0")):
        sent = caller.send({**ROW, "id": n}, **{"Insights-Deadline": given})
        assert sent.status_code == 202
    caller.send({**ROW, "id": 9})
    assert memory.deadlines == [30.0, 2.5, 0.0, None]
    for bad in ("", "soon", "-1", "1e9", "nan", "inf", "99999999", "1,5", "2026-01-01T00:00:00Z"):
        told = problem(caller.send(ROW, **{"Insights-Deadline": bad}), 400)
        assert "Insights-Deadline" in told["detail"]
    assert len(memory.answers) == 4
