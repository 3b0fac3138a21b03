"""The HTTP door: requests for pipelines, how they stand, and their outcomes.

The event loop only reads and answers; whatever may block, the store and the intake, is done in
threads. What a client sent is in memory until it is accepted, and nowhere else.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Annotated

import msgspec
import structlog
from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from insights import errors
from insights.doors.accepting import Doors
from insights.doors.checking import MOST_ROWS, fields_of
from insights.doors.telling import Webhooks
from insights.model import Answer, Json, Ticket
from insights.site.serve import ServeSettings
from insights.web import openapi
from insights.web.asked import Asked
from insights.web.clients import Client, Clients
from insights.web.counted import Counted
from insights.web.problems import ProblemError, problem
from insights.web.rates import Rates

log = structlog.get_logger(__name__)

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.1, 1.0  # between two looks for an outcome
_EVENTS_AT_ONCE = 32  # each asks the store again and again
_ALIVE_S = 15.0  # a comment, so that proxies keep the connection
_COUNTED_S = 1.0  # a count of what waits is good for so long; the next starts at half of it
_SHORT, _FEW = 65_536, 16  # bytes and rows that are looked through sooner than a thread is woken
_NO_STORE = {"Cache-Control": "no-store"}


class Body(msgspec.Struct, frozen=True):
    """What was sent, decoded: rows as they came; `short` if looking through them takes no time."""

    rows: list[object]
    short: bool


class Door:
    """What answers.

    Args:
        doors: Where requests go.
        clients: Who may send and read.
        settings: Sizes and times.
        webhooks: Who is told of outcomes.
    """

    def __init__(
        self, doors: Doors, clients: Clients, settings: ServeSettings, webhooks: Webhooks
    ) -> None:
        self._doors = doors
        self._clients = clients
        self._settings = settings
        self._webhooks = webhooks
        self._rates = Rates(settings.rows_per_minute, settings.rates)
        self._counted: dict[str, tuple[float, int]] = {}
        self._counting: dict[str, asyncio.Task[None]] = {}
        self._listening = 0

    # --- what is asked -------------------------------------------------------------------------

    async def client(self, request: Request) -> Client:
        """Return who asks."""
        given = request.headers.get("authorization", "")
        found = self._clients.known(given)
        if found is None and self._clients.may_ask(given):
            found = await run_in_threadpool(self._clients.client, given)
        if found is None:
            raise ProblemError(
                401, "a token is needed", headers={"WWW-Authenticate": 'Bearer realm="insights"'}
            )
        return found

    async def body(self, request: Request) -> Body:
        """Return what was sent, decoded; nothing larger than allowed is read."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
        if kind != "application/json":
            raise ProblemError(415, "send application/json")
        most = self._settings.body_mib * 1024**2
        too_large = ProblemError(413, f"a request has at most {self._settings.body_mib} MiB")
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise too_large
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise too_large
            parts.append(part)
        whole = b"".join(parts)
        found = _decoded(whole) if size <= _SHORT else await run_in_threadpool(_decoded, whole)
        rows = found if isinstance(found, list) else [found]
        return Body(rows, short=size <= _SHORT and len(rows) <= _FEW)

    async def submit(self, pipeline: str, body: Body, client: Client, asked: Asked) -> Response:
        """Accept one row or several; wait for the outcomes if asked to."""
        asked.check()
        if not client.submits(pipeline):
            raise ProblemError(403, f"this token has no scope submit:{pipeline}")
        told = self._told_of(pipeline, asked, client)
        headers = dict(_NO_STORE)
        if pipeline in self._doors.entrances:
            headers |= await self._admit(pipeline, len(body.rows), client)
        sends = partial(
            self._doors.send,
            pipeline,
            body.rows,
            client=client.name,
            idempotency_key=asked.idempotency_key,
            deadline_s=asked.deadline_s,
        )
        sent = sends() if body.short else await run_in_threadpool(sends)
        tickets = await asyncio.wrap_future(sent)
        ids = [ticket.id for ticket in tickets]
        if told:
            await run_in_threadpool(self._webhooks.keep, told, ids, asked.address)
        if len(tickets) == 1:
            headers["Location"] = f"/v1/requests/{tickets[0].id}"
        if asked.wait_s is not None and client.reads:
            longest_s = min(asked.wait_s, self._settings.longest_wait)
            found = await self._waited(ids, longest_s)
            if found is not None:
                headers["Preference-Applied"] = "wait"
                return _json({"requests": found}, 200, headers)
        return _json({"requests": [_accepted(ticket) for ticket in tickets]}, 202, headers)

    async def requests(self, ids: Sequence[str], client: Client) -> list[Answer]:
        """Return how requests stand."""
        if not client.reads:
            raise ProblemError(403, "this token has no scope read")
        return await self._found(ids, delivers=True)

    async def _found(self, ids: Sequence[str], *, delivers: bool) -> list[Answer]:
        known = [id_ for id_ in ids if _is_id(id_)]
        if len(ids) > MOST_ROWS:
            raise ProblemError(422, f"ask for at most {MOST_ROWS:,} requests at once")
        found = await run_in_threadpool(self._doors.outcomes, known, delivers=delivers)
        if missing := [id_ for id_ in ids if id_ not in found]:
            raise ProblemError(404, f"{len(missing)} of the requests are not known")
        return [found[id_] for id_ in ids]

    async def cancel(self, id_: str, client: Client) -> Response:
        """Cancel a request."""
        (found,) = await self._found([id_], delivers=False)
        if not client.operates and not client.submits(found.pipeline):
            raise ProblemError(403, f"this token has no scope submit:{found.pipeline} or operate")
        after = await run_in_threadpool(self._doors.cancel, id_, actor=client.name)
        if after is None or after.standing != "cancelled":
            raise ProblemError(409, "the request has its outcome already")
        return _json(after, 200, _NO_STORE)

    async def events(self, id_: str, client: Client) -> Response:
        """Tell how a request stands, each time that changes, until it has its outcome."""
        if self._listening >= _EVENTS_AT_ONCE:
            raise ProblemError(
                429, f"{_EVENTS_AT_ONCE} clients listen already", headers=self._again()
            )
        await self.requests([id_], client)
        return StreamingResponse(self._told(id_), headers=_NO_STORE, media_type="text/event-stream")

    def pipelines(self) -> list[Json]:
        """Return what may be sent where, and what comes of it."""
        return [
            {
                "name": one.pipeline,
                "stream": one.stream.name,
                "request": openapi.row_schema(
                    fields_of(one.stream), one.stream.key, one.stream.max_text_chars
                ),
                "output": one.output_schema,
            }
            for _, one in sorted(self._doors.entrances.items())
        ]

    # --- how -----------------------------------------------------------------------------------

    def _again(self) -> dict[str, str]:
        return {"Retry-After": str(round(self._settings.retry_after))}

    def _told_of(self, pipeline: str, asked: Asked, client: Client) -> list[str]:
        """Return who is to be told of the outcomes."""
        if asked.webhook is not None and not client.reads:
            raise ProblemError(403, "this token has no scope read")
        return self._webhooks.chosen(pipeline, asked.webhook, asked.origin)

    async def _admit(self, pipeline: str, rows: int, client: Client) -> dict[str, str]:
        """Refuse rows that come too fast, or while too many wait; return what tells the pace."""
        room = self._rates.take(client.name, pipeline, rows)
        if room is None:
            await self._make_room(pipeline, rows)
            return {}
        if room.again_s:
            raise ProblemError(
                429, f"more than {room.most:,} rows in a minute", headers=room.headers
            )
        try:
            await self._make_room(pipeline, rows)
        except ProblemError:
            self._rates.give_back(client.name, pipeline, rows)
            raise
        return room.headers

    async def _make_room(self, pipeline: str, rows: int) -> None:
        most = self._settings.most_waiting
        at, _ = self._counted.get(pipeline, (float("-inf"), 0))
        age_s = time.monotonic() - at
        if age_s > _COUNTED_S:
            await asyncio.shield(self._count(pipeline))
        elif age_s > _COUNTED_S / 2:
            self._count(pipeline)
        at, waiting = self._counted[pipeline]
        if waiting >= most:
            raise ProblemError(429, f"{waiting:,} rows wait already", headers=self._again())
        self._counted[pipeline] = at, waiting + rows

    def _count(self, pipeline: str) -> asyncio.Task[None]:
        """Count what waits, once for all that want to know."""

        async def count() -> None:
            waiting = await run_in_threadpool(
                self._doors.waiting, pipeline, self._settings.most_waiting
            )
            self._counted[pipeline] = time.monotonic(), waiting

        def counted(task: asyncio.Task[None]) -> None:
            self._counting.pop(pipeline, None)
            if not task.cancelled():
                task.exception()  # whoever waits for it is told, and maybe nobody does

        if (task := self._counting.get(pipeline)) is None:
            self._counting[pipeline] = task = asyncio.create_task(count())
            task.add_done_callback(counted)
        return task

    async def _waited(self, ids: Sequence[str], wait_s: float) -> list[Answer] | None:
        until, pause = time.monotonic() + wait_s, _FIRST_LOOK_S
        while True:
            found = await run_in_threadpool(self._doors.outcomes, ids, delivers=False)
            if all(one.is_over for one in found.values()):
                found = await run_in_threadpool(self._doors.outcomes, ids)
                return [found[id_] for id_ in ids]
            left = until - time.monotonic()
            if left <= 0:
                return None
            await asyncio.sleep(min(pause, left))
            pause = min(_LONGEST_LOOK_S, 1.3 * pause)

    async def _told(self, id_: str) -> AsyncIterator[bytes]:
        self._listening += 1
        try:
            said, heard, pause = "", time.monotonic(), _FIRST_LOOK_S
            while True:
                found = (await run_in_threadpool(self._doors.outcomes, [id_]))[id_]
                if found.standing != said:
                    said, heard, pause = found.standing, time.monotonic(), _FIRST_LOOK_S
                    yield b"event: %s\ndata: %s\n\n" % (said.encode(), msgspec.json.encode(found))
                if found.is_over:
                    return
                if time.monotonic() - heard > _ALIVE_S:
                    heard = time.monotonic()
                    yield b": still\n\n"
                await asyncio.sleep(pause)
                pause = min(_LONGEST_LOOK_S, 1.3 * pause)
        finally:
            self._listening -= 1


def application(
    doors: Doors, clients: Clients, settings: ServeSettings, webhooks: Webhooks
) -> FastAPI:
    """Return what answers, with its OpenAPI document at `/openapi.json`."""
    door = Door(doors, clients, settings, webhooks)
    app = FastAPI(
        title="insights", version="1", docs_url=None, redoc_url=None, redirect_slashes=False
    )
    _route(app, door)
    _refuse(app, settings)
    app.add_middleware(Counted)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign] # FastAPI's own way
    return app


def _route(app: FastAPI, door: Door) -> None:
    known = Annotated[Client, Depends(door.client)]
    path = Annotated[str, Path(description="Of the request")]

    # Its parameters are in `openapi.SUBMIT`: FastAPI takes as long to read them as the rest.
    @app.post("/v1/pipelines/{name}/requests", **openapi.SUBMIT)  # noqa: FAST003 - so is its name
    async def submit(request: Request) -> Response:
        client = await door.client(request)
        body = await door.body(request)
        told = request.headers.get
        asked = Asked(
            told("prefer", ""),
            told("idempotency-key"),
            told("insights-webhook"),
            told("insights-deadline"),
        )
        return await door.submit(request.path_params["name"], body, client, asked)

    @app.get("/v1/requests", **openapi.LIST)
    async def several(
        client: known,
        ids: Annotated[list[str], Query(alias="id", description="Of requests, up to 1,000")],
    ) -> Response:
        return _json({"requests": await door.requests(ids, client)}, 200, _NO_STORE)

    @app.get("/v1/requests/{request_id}", **openapi.GET)
    async def one(request_id: path, client: known) -> Response:
        (found,) = await door.requests([request_id], client)
        return _json(found, 200, _NO_STORE)

    @app.delete("/v1/requests/{request_id}", **openapi.CANCEL)
    async def cancel(request_id: path, client: known) -> Response:
        return await door.cancel(request_id, client)

    @app.get("/v1/requests/{request_id}/events", **openapi.EVENTS)
    async def events(request_id: path, client: known) -> Response:
        return await door.events(request_id, client)

    @app.get("/v1/pipelines", **openapi.PIPELINES)
    async def pipelines(_client: known) -> Response:
        return _json({"pipelines": door.pipelines()}, 200, _NO_STORE)


def _refuse(app: FastAPI, settings: ServeSettings) -> None:
    def told(_request: Request, exc: Exception) -> Response:
        return problem(exc, retry_after_s=settings.retry_after).response

    def invalid(_request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)  # noqa: S101 - it is registered for this
        first = exc.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return ProblemError(422, f"{place}: {first['msg'].lower()}").response

    def unknown(_request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)  # noqa: S101 - it is registered for this
        return ProblemError(exc.status_code, "", headers=exc.headers).response

    def failed(_request: Request, exc: Exception) -> Response:
        log.error("a request failed unforeseen", exc_info=exc)
        return problem(exc, retry_after_s=settings.retry_after).response

    app.exception_handler(ProblemError)(told)
    app.exception_handler(errors.InsightsError)(told)
    app.exception_handler(RequestValidationError)(invalid)
    app.exception_handler(HTTPException)(unknown)
    app.exception_handler(Exception)(failed)


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProblemError(400, "the body is no valid JSON in UTF-8") from None
    except RecursionError:
        raise ProblemError(400, "the body is nested too deep") from None


def _accepted(ticket: Ticket) -> Json:
    return {
        "id": ticket.id,
        "key": ticket.key,
        "is_new": ticket.is_new,
        "href": f"/v1/requests/{ticket.id}",
    }


def _json(value: object, status: int, headers: Mapping[str, str]) -> Response:
    body = msgspec.json.encode(value)
    return Response(body, status, dict(headers), media_type="application/json")


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
