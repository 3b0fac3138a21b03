"""Asks the HTTP door as a client; its intake and inbox are in memory."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from starlette.testclient import TestClient

from insights import errors
from insights.doors.accepting import Doors, Entrance
from insights.doors.telling import Told, Webhooks
from insights.governance.access import WebRole
from insights.model import Answer, Prepared, Sent, Standing, StreamSpec, Submission, Ticket
from insights.site.serve import ServeSettings
from insights.web.clients import Clients
from insights.web.door import application
from insights.web.guard import Person

SPEC = StreamSpec(
    name="ticket", source="inbox", key=("id",), inputs=("body",), max_text_chars=1_000_000
)
TOKENS = {"all": "a" * 40, "sender": "b" * 40, "other": "c" * 40, "reader": "d" * 40}
LINES = f"""
# who sends
all submit:*,read,operate {TOKENS["all"]}
sender submit:triage {TOKENS["sender"]}
other submit:summary,read {TOKENS["other"]}
reader read {TOKENS["reader"]}
"""
ROW = {"id": 1, "body": "text"}


class Memory:
    """Implements `Intake` and `Inbox`."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.delivered: list[str] = []
        self.fails: Exception | None = None
        self.rows_waiting = 0
        self.deadlines: list[float | None] = []
        self.then: Standing = "queued"

    def prepare(self, _stream: StreamSpec, rows: Sequence[Sent]) -> list[Prepared]:
        return [Prepared(key=row.key, values={}, digests={}) for row in rows]

    def submit(
        self, stream: str, submissions: Sequence[Submission]
    ) -> list[tuple[Ticket, ...] | errors.RequestRefused]:
        if self.fails is not None:
            raise self.fails
        made = []
        for sent in submissions:
            tickets = []
            for row in sent.rows:
                id_ = f"00000000-0000-4000-8000-{len(self.answers):012}"
                self.answers[id_] = Answer(
                    id=id_,
                    pipeline=sent.pipeline,
                    stream=stream,
                    key=row.key,
                    standing=self.then,
                    accepted_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
                )
                self.deadlines.append(sent.deadline_s)
                tickets.append(Ticket(id=id_, key=row.key, is_new=True))
            made.append(tuple(tickets))
        return list(made)

    def outcomes(self, ids: Sequence[str], *, delivers: bool = False) -> dict[str, Answer]:
        if delivers:
            self.delivered += ids
        return {id_: self.answers[id_] for id_ in ids if id_ in self.answers}

    def cancel(self, id_: str, *, actor: str) -> Answer | None:
        assert actor
        if not self.answers[id_].is_over:
            self.stands(id_, "cancelled")
        return self.answers[id_]

    def stands(self, id_: str, standing: Standing) -> None:
        self.answers[id_] = msgspec.structs.replace(self.answers[id_], standing=standing)

    def forget(self) -> int:
        return 0

    def waiting(self, _pipeline: str, most: int) -> int:
        return min(most, self.rows_waiting)


class Provider:
    """Knows people by tokens that say who they are; those of the credential are not asked for."""

    def person(self, token: str) -> Person | None:
        assert token not in TOKENS.values()
        name, role, _ = token.split(".")
        return Person(name, frozenset(_roles(role)), 60.0) if role != "nobody" else None


def _roles(name: str) -> list[WebRole]:
    return [role for role in get_args(WebRole) if role == name]


class Caller:
    """Asks as one client."""

    def __init__(self, memory: Memory, **settings_: Any) -> None:  # noqa: ANN401
        entrance = Entrance(pipeline="triage", stream=SPEC, keep_s=60, output_schema={"a": 1})
        settings = ServeSettings(body_mib=1, most_waiting=5, **settings_)
        doors = Doors({"triage": entrance}, memory, memory)
        told = {
            "desk": Told("desk", None, ("https", "desk.example.com", 443)),
            "audit": Told("audit", "triage", ("https", "audit.example.com", 8443)),
        }
        self.kept: list[tuple[str, int, str]] = []
        app = application(doors, Clients(LINES, Provider()), settings, Webhooks(told, self))  # type: ignore[arg-type]
        self.http = TestClient(app, raise_server_exceptions=False)

    def keep(self, door: str, request_ids: Sequence[str], address: str, **_: Any) -> None:  # noqa: ANN401
        self.kept.append((door, len(request_ids), address))

    def send(self, body: Any, who: str = "all", **headers: str) -> Any:  # noqa: ANN401
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(
            "/v1/pipelines/triage/requests",
            content=raw,
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {TOKENS.get(who, who)}",
                **headers,
            },
        )

    def ask(self, path: str, who: str = "all", method: str = "GET") -> Any:  # noqa: ANN401
        return self.http.request(
            method, path, headers={"Authorization": f"Bearer {TOKENS.get(who, who)}"}
        )


def problem(found: Any, status: int) -> dict[str, Any]:  # noqa: ANN401
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = found.json()
    assert told["status"] == status
    assert told["title"]
    return told
