"""The OpenAPI document of the HTTP door: what its routes say, with the schemas of its answers."""

import datetime as dt
import inspect
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from insights.model import Answer, Json
from insights.web.problems import MEDIA_TYPE, Details

_REF = "#/components/schemas/{name}"


class Accepted(msgspec.Struct):
    """One row that was accepted; `is_new` is false where it was accepted before."""

    id: str
    key: str
    is_new: bool
    href: str


class AcceptedRequests(msgspec.Struct):
    """Rows in the order in which they were sent."""

    requests: list[Accepted]


class Answers(msgspec.Struct):
    """How requests stand, in the order in which they were sent or asked for."""

    requests: list[Answer]


class Outcome(msgspec.Struct):
    """What a webhook is told; `type` is `request.` and how the request stands, such as `done`."""

    type: str
    timestamp: dt.datetime
    data: Answer


class Pipeline(msgspec.Struct):
    """What may be sent to a pipeline, and what comes of it, as JSON Schemas."""

    name: str
    stream: str
    request: dict[str, Any]
    output: dict[str, Any]


class Pipelines(msgspec.Struct):
    """The pipelines that take requests here."""

    pipelines: list[Pipeline]


_SHOWN = (AcceptedRequests, Answers, Answer, Outcome, Pipelines, Details)
_TEXT = {"type": "string"}
_MAYBE = {"anyOf": [_TEXT, {"type": "null"}]}
_ROW = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    "description": "Every field that `GET /v1/pipelines` names for the pipeline, and no other",
}


def row_schema(fields: Sequence[str], key: Sequence[str], most: int) -> Json:
    """Return the JSON Schema of a row that may be sent."""
    kinds = ["string", "number", "boolean"]
    return {
        "type": "object",
        "properties": {
            name: {"type": kinds if name in key else [*kinds, "null"], "maxLength": most}
            for name in fields
        },
        "required": list(fields),
        "additionalProperties": False,
    }


def document(app: FastAPI) -> Json:
    """Return the document."""
    made: Json = get_openapi(title=app.title, version=app.version, routes=app.routes)
    _, components = msgspec.json.schema_components(_SHOWN, ref_template=_REF)
    for component in components.values():  # Python 3.13 strips what earlier ones leave indented
        component["description"] = inspect.cleandoc(component["description"])
    made["components"] = {
        "schemas": components,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    made["security"] = [{"token": []}]
    made["webhooks"] = {"outcome": {"post": _outcome()}}
    return made


def _parameter(name: str, says: str, schema: Json, place: str = "header") -> Json:
    """Return a parameter as FastAPI writes it."""
    title = "-".join(word.capitalize() for word in name.split("-"))
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": {**schema, "description": says, "title": title},
        "description": says,
    }


def _outcome() -> Json:
    """Return what a webhook takes: https://www.standardwebhooks.com."""
    names = {
        "webhook-id": "The request's, the same when it is told again: drop what you have",
        "webhook-timestamp": "Seconds since 1970 of this attempt",
        "webhook-signature": "`v1,` and the Base64 of HMAC-SHA256 over id, time and body",
    }
    return {
        "operationId": "outcome",
        "summary": "An outcome, posted to the address of a webhook, at least once",
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "schema": {"type": "string"},
                "description": says,
            }
            for name, says in names.items()
        ],
        "requestBody": {"required": True, **_content("application/json", Outcome)},
        "responses": {
            "2XX": {"description": "It is taken"},
            "410": {"description": "It never will be: do not send this again"},
            "default": {"description": "Send it again later"},
        },
    }


def _answers(*problems: int, **shown: type[msgspec.Struct] | None) -> dict[int | str, Json]:
    found: dict[int | str, Json] = {}
    for name, made in shown.items():
        said = made.__doc__ if made else ""  # None has a docstring since Python 3.13
        found[int(name[1:])] = {"description": inspect.cleandoc(said or "")} | (
            _content("application/json", made) if made else {}
        )
    for status in (401, *problems):
        found[status] = {"description": "A problem (RFC 9457)", **_content(MEDIA_TYPE, Details)}
    return found


def _content(kind: str, made: type[msgspec.Struct]) -> Json:
    return {"content": {kind: {"schema": {"$ref": _REF.format(name=made.__name__)}}}}


def _operation(id_: str, summary: str, answers: dict[int | str, Json], **more: object) -> Json:
    first = next(iter(answers))
    return {
        "operation_id": id_,
        "summary": summary,
        "responses": answers,
        "status_code": first,
        "response_model": None,
        **more,
    }


SUBMIT = _operation(
    "submit",
    "Send one row, or up to 1,000",
    _answers(400, 403, 404, 409, 413, 415, 422, 429, 503, s202=AcceptedRequests, s200=Answers),
    openapi_extra={
        "parameters": [
            _parameter("name", "Of the pipeline", _TEXT, "path"),
            _parameter(
                "prefer", "`wait=SECONDS` for outcomes (RFC 7240)", {**_TEXT, "default": ""}
            ),
            _parameter("idempotency-key", "Used again, it brings the same requests", _MAYBE),
            _parameter(
                "insights-webhook", "Who is told the outcomes: a name, or an address", _MAYBE
            ),
            _parameter(
                "insights-deadline",
                "Seconds after which the rows are not begun any more",
                _MAYBE,
            ),
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            _ROW,
                            {"type": "array", "items": _ROW, "minItems": 1, "maxItems": 1000},
                        ]
                    }
                }
            },
        },
    },
)
GET = _operation("get", "How a request stands", _answers(403, 404, 503, s200=Answer))
LIST = _operation("list", "How several requests stand", _answers(403, 404, 422, 503, s200=Answers))
CANCEL = _operation("cancel", "Take a request back", _answers(403, 404, 409, 503, s200=Answer))
EVENTS = _operation(
    "events",
    "Server-sent events: queued, started, then how it ended with its outcome",
    {
        200: {
            "description": "An event each time it stands otherwise; its data is an Answer",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **_answers(403, 404, 429, 503),
    },
)
PIPELINES = _operation("pipelines", "What may be sent where", _answers(s200=Pipelines))
