"""What a client is told when it goes wrong: problem details (RFC 9457), never a text it sent."""

import math
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from insights import errors

MEDIA_TYPE = "application/problem+json"


class Details(msgspec.Struct, omit_defaults=True):
    """The body of an answer that is a problem.

    `title` says what kind it is, `detail` what happened, `pointer` (RFC 6901) where in the body,
    `fix` what to do about it.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    pointer: str | None = None
    fix: str = ""


class ProblemError(Exception):
    """An answer that is a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "about:blank",
        pointer: str | None = None,
        fix: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.details = Details(
            type=kind,
            title=HTTPStatus(status).phrase,
            status=status,
            detail=detail,
            pointer=pointer,
            fix=fix,
        )
        self.headers = dict(headers or {})

    @property
    def response(self) -> Response:
        """The answer."""
        return Response(
            msgspec.json.encode(self.details),
            self.details.status,
            {"Cache-Control": "no-store", **self.headers},
            media_type=MEDIA_TYPE,
        )


def problem(exc: Exception, *, retry_after_s: float) -> ProblemError:
    """Return what a client is told of an error: of one nobody foresaw, only that it was one."""
    again = {"Retry-After": str(math.ceil(retry_after_s))}
    match exc:
        case ProblemError():
            return exc
        case errors.RequestRefused():
            return _refused(exc)
        case errors.Transient():
            return ProblemError(
                503,
                f"it is not known whether this was accepted ({type(exc).__name__})",
                fix="send the same again: what was accepted is not done twice",
                headers=again,
            )
        case errors.StreamError():
            return ProblemError(503, exc.what, headers=again)
        case _:
            return ProblemError(500, "the server failed; its log says why")


def _refused(exc: errors.RequestRefused) -> ProblemError:
    if exc.again_s > 0:
        wait = {"Retry-After": str(math.ceil(exc.again_s))}
        return ProblemError(429, exc.what, fix=exc.fix, headers=wait)
    if exc.where == "pipeline":
        return ProblemError(404, exc.what, fix=exc.fix)
    pointer = exc.where if exc.where.startswith("/") else None
    return ProblemError(422, exc.what, pointer=pointer, fix=exc.fix)
