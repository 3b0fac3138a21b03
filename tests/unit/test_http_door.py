"""The HTTP door: what is answered to good and bad requests; an intake and an inbox in memory."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.doors.accepting import Doors, Entrance
from insights.doors.telling import Webhooks
from insights.site.serve import ServeSettings
from insights.web.asked import Asked
from insights.web.clients import Client, Clients
from insights.web.door import Body, Door
from tests.calling import LINES, ROW, SPEC, TOKENS, Caller, Memory, Provider, problem

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def caller(memory: Memory) -> Caller:
    return Caller(memory)


def test_a_row_is_accepted_and_its_outcome_is_found_where_location_says(
    memory: Memory, caller: Caller
) -> None:
    sent = caller.send(ROW)
    assert sent.status_code == 202
    (accepted,) = sent.json()["requests"]
    assert sent.headers["location"] == accepted["href"]
    assert accepted["is_new"]
    assert caller.ask(accepted["href"]).json()["standing"] == "queued"
    memory.stands(accepted["id"], "done")
    assert caller.ask(accepted["href"], "reader").json()["standing"] == "done"
    several = caller.send([{**ROW, "id": n} for n in range(3)])
    ids = [one["id"] for one in several.json()["requests"]]
    assert "location" not in several.headers
    found = caller.ask("/v1/requests?" + "&".join(f"id={id_}" for id_ in ids)).json()["requests"]
    assert [one["id"] for one in found] == ids


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no valid JSON"),
        (b"", 400, "no valid JSON"),
        (b'{"id": 1, "body": "\xff"}', 400, "no valid JSON in UTF-8"),
        (b'{"id": 1, "body": "\\ud800"}', 400, "no valid JSON"),
        (b'{"id": NaN, "body": "x"}', 400, "no valid JSON"),
        (b"[" * 10_000 + b"]" * 10_000, 400, "nested too deep"),
        (b'{"id": 1, "body": "a\\u0000b"}', 422, "NUL"),
        (b'{"id": 1}', 422, "'body' is missing"),
        (b'{"id": 1, "body": "x", "more": 1}', 422, "no field 'more'"),
        (b'{"id": 1, "body": ["x"]}', 422, "text, number"),
        (b"7", 422, "a row is an object"),
        (b"[]", 422, "0 rows"),
        (b'{"id": 1, "body": "' + b"x" * 10_000_000 + b'"}', 413, "at most 1 MiB"),
        (b'{"id": 1, "body": "' + b"x" * 1_000_001 + b'"}', 422, "1,000,001 characters"),
    ],
)
def test_bad_input_gets_a_clear_answer_and_nothing_is_stored(
    memory: Memory, caller: Caller, body: bytes, status: int, said: str
) -> None:
    told = problem(caller.send(body), status)
    assert said in told["detail"]
    assert memory.answers == {}


def test_a_mistake_in_one_of_many_rows_has_its_place(memory: Memory, caller: Caller) -> None:
    told = problem(caller.send([ROW, {"id": 2, "body": {}}]), 422)
    assert told["pointer"] == "/1/body"
    assert memory.answers == {}


def test_a_body_without_a_length_is_bounded_too(memory: Memory, caller: Caller) -> None:
    def parts() -> Any:  # noqa: ANN401
        for _ in range(20):
            yield b"x" * 100_000

    found = caller.http.post(
        "/v1/pipelines/triage/requests",
        content=parts(),
        headers={
            "Content-Type": "application/json",
            "Authorization": f"Bearer {TOKENS['all']}",
        },
    )
    problem(found, 413)
    assert memory.answers == {}


def test_who_may_do_what(memory: Memory, caller: Caller) -> None:
    for bad in ("", "x" * 40):
        found = problem(caller.send(ROW, bad), 401)
        assert "x" * 40 not in str(found)
        problem(caller.ask("/v1/pipelines", bad), 401)
    problem(caller.send(ROW, "reader"), 403)
    problem(caller.send(ROW, "other"), 403)
    assert memory.answers == {}
    href = caller.send(ROW, "sender").json()["requests"][0]["href"]
    problem(caller.ask(href, "sender"), 403)
    problem(caller.ask(f"{href}/events", "sender"), 403)
    problem(caller.ask(href, "reader", "DELETE"), 403)
    problem(caller.ask(href, "other", "DELETE"), 403)
    assert caller.ask(href, "sender", "DELETE").json()["standing"] == "cancelled"
    basic = caller.http.get("/v1/pipelines", headers={"Authorization": f"Basic {TOKENS['all']}"})
    problem(basic, 401)


def test_what_waits_too_long_is_asked_to_come_back(memory: Memory, caller: Caller) -> None:
    memory.rows_waiting = 4
    assert caller.send(ROW).status_code == 202
    found = caller.send(ROW)  # the count of a moment ago, and what came since
    assert "5 rows wait" in problem(found, 429)["detail"]
    assert found.headers["retry-after"] == "10"
    assert len(memory.answers) == 1


def test_what_is_there_in_time_is_answered_at_once(memory: Memory, caller: Caller) -> None:
    assert caller.send(ROW, Prefer="wait=0").status_code == 202
    assert caller.send(ROW, "sender", Prefer="wait=0").status_code == 202
    memory.then = "done"
    found = caller.send(ROW, Prefer="respond-async, wait=5")
    assert found.status_code == 200
    assert found.headers["preference-applied"] == "wait"
    (answer,) = found.json()["requests"]
    assert answer["standing"] == "done"
    assert memory.delivered == [answer["id"]]
    assert caller.send(ROW, "sender", Prefer="wait=5").status_code == 202  # may not read


def test_a_request_is_cancelled_unless_it_is_over(memory: Memory, caller: Caller) -> None:
    first, second = (caller.send({**ROW, "id": n}).json()["requests"][0] for n in (1, 2))
    memory.stands(second["id"], "done")
    assert caller.ask(first["href"], method="DELETE").json()["standing"] == "cancelled"
    problem(caller.ask(second["href"], method="DELETE"), 409)
    assert memory.delivered == []
    problem(caller.ask("/v1/requests/none", method="DELETE"), 404)


def test_events_tell_each_change_until_the_outcome(memory: Memory, caller: Caller) -> None:
    memory.then = "done"
    href = caller.send(ROW).json()["requests"][0]["href"]
    found = caller.ask(f"{href}/events")
    assert found.headers["content-type"].startswith("text/event-stream")
    event, data, *_ = found.text.splitlines()
    assert event == "event: done"
    assert json.loads(data.removeprefix("data: "))["standing"] == "done"


def test_failures_of_the_server_are_told_without_their_reasons(
    memory: Memory, caller: Caller
) -> None:
    memory.fails = errors.StoreUnavailable("host db.internal is down", where="store")
    found = caller.send(ROW)
    assert "send the same again" in problem(found, 503)["fix"]
    assert found.headers["retry-after"] == "10"
    assert "internal" not in found.text
    memory.fails = ValueError("a text that was sent")
    found = caller.send(ROW)
    problem(found, 500)
    assert "a text" not in found.text


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/requests/", "/docs", "/v1/requests/none"])
def test_what_is_not_there_is_a_problem_too(caller: Caller, path: str) -> None:
    problem(caller.ask(path), 404)


def test_other_methods_and_media_are_problems(caller: Caller) -> None:
    problem(caller.ask("/v1/pipelines", method="PUT"), 405)
    problem(caller.send(ROW, **{"Content-Type": "text/plain"}), 415)
    problem(caller.ask("/v1/requests"), 422)
    unknown = caller.http.post(
        "/v1/pipelines/none/requests",
        json=ROW,
        headers={"Authorization": f"Bearer {TOKENS['all']}"},
    )
    assert "pipelines: triage" in problem(unknown, 404)["fix"]
    problem(caller.send(ROW, **{"Idempotency-Key": "two words"}), 400)


def test_pipelines_say_what_they_take_and_make(caller: Caller) -> None:
    (found,) = caller.ask("/v1/pipelines").json()["pipelines"]
    assert found["name"] == "triage"
    assert found["request"]["required"] == ["id", "body"]
    assert "null" not in found["request"]["properties"]["id"]["type"]
    assert found["output"] == {"a": 1}


def described() -> str:
    found = Caller(Memory()).http.get("/openapi.json").json()
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    """Write docs/openapi.json of this checkout anew."""
    DOCUMENT.write_text(described(), encoding="utf-8")


def test_the_document_in_docs_is_what_the_routes_say() -> None:
    fix = 'python -c "from tests.unit import test_http_door as t; t.write()"'
    assert DOCUMENT.read_text(encoding="utf-8") == described(), fix
    assert '"/v1/pipelines/{name}/requests"' in described()
    assert r"\n  " not in described()  # which Markdown would show as code


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "nobody has a token"),
        ("erp read", "not a name"),
        ("e/p read " + "x" * 40, "other characters"),
        ("erp write " + "x" * 40, "a scope is none"),
        ("erp submit:A " + "x" * 40, "a scope is none"),
        ("erp read short", "fewer than 32"),
    ],
)
def test_a_wrong_line_of_tokens_is_refused_and_not_quoted(line: str, said: str) -> None:
    with pytest.raises(errors.SettingsError, match=said) as caught:
        Clients(line)
    assert "x" * 40 not in str(caught.value)


def test_people_of_an_identity_provider_are_clients_of_their_own(caller: Caller) -> None:
    sent = caller.send(ROW, who="erp.submitter.x")
    assert sent.status_code == 202
    (one,) = sent.json()["requests"]
    assert caller.ask(one["href"], who="erp.submitter.x").status_code == 200
    assert caller.ask(one["href"], who="boss.operator.x").status_code == 200
    problem(caller.send(ROW, who="boss.operator.x"), 403)
    problem(caller.send(ROW, who="anna.analyst.x"), 401)
    problem(caller.send(ROW, who="anna.nobody.x"), 401)
    assert Clients("", Provider()).client("Bearer erp.submitter.x") == Client(
        "jwt:erp", frozenset({"submit:*", "read"})
    )
    assert Clients("", Provider()).client("Basic erp.submitter.x") is None


def test_what_waits_is_counted_once_for_all_that_send_at_once() -> None:
    counted: list[str] = []

    class Slow(Memory):
        def waiting(self, pipeline: str, most: int) -> int:
            time.sleep(0.05)
            counted.append(pipeline)
            return super().waiting(pipeline, most)

    memory = Slow()
    doors = Doors({"triage": Entrance("triage", SPEC, keep_s=60)}, memory, memory)
    door = Door(doors, Clients(LINES), ServeSettings(most_waiting=20), Webhooks({}, memory))  # type: ignore[arg-type]
    client = Client("all", frozenset({"submit:*"}))

    async def send() -> list[int | None]:
        sent = [
            door.submit("triage", Body([{**ROW, "id": n}], short=True), client, Asked())
            for n in range(21)
        ]
        found = await asyncio.gather(*sent, return_exceptions=True)
        return [getattr(one, "status_code", None) for one in found]

    assert sorted(asyncio.run(send()), key=str) == [202] * 20 + [None]  # and what came since
    assert counted == ["triage"]
