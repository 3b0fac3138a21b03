"""The status page: what the daemon does and has done, for people; HTML without a script.

It listens on a port of its own, in a thread of its own, and one more thread asks the store for all
browsers: however many there are and however slow, health and metrics are answered beside it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from urllib.parse import parse_qs

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from insights import errors
from insights.governance.access import PAGES, WebRole
from insights.web import guard, rendering
from insights.web.guard import People, Session
from insights.wiring.board import Board, Numbers

log = structlog.get_logger(__name__)

FRESH_S = 2.0  # numbers are this old at most; as many as ask meanwhile get the same
_REFRESH_S = 30
_BODY = 16_384  # bytes of a form, a token included
_IDS = 2**63  # numbers of the store are below
_UNHURRIED_S = 1.0  # before a wrong token is told
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none, forms would say `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",  # a browser keeps no place that another could have
}
_STATUSES = ("ok", "abstained", "withheld")

Answer = Callable[[Request, Session | None], Awaitable[Response]]
Found = TypeVar("Found")


class _Refused(Exception):
    """What is answered instead."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(says)
        self.status = status


class StatusPage:
    """The page; `board` is set once the store is open.

    Args:
        people: Who may log in; nobody: the page has numbers only.
        names: Names beside this host's own that a request may have.
    """

    board: Board | None = None

    def __init__(self, people: People, names: Sequence[str] = ()) -> None:
        self._people = people
        self._names = names
        self._sessions = guard.Sessions()
        self._asking = ThreadPoolExecutor(1, "page store")
        self._knowing = ThreadPoolExecutor(1, "page tokens")
        self._numbers: Numbers | None = None
        self._numbers_at = 0.0

    @property
    def routes(self) -> list[BaseRoute]:
        """All of its routes."""
        answered: list[tuple[str, Answer, str]] = [
            ("/", self._front, "GET"),
            ("/dead", self._dead, "GET"),
            ("/insights", self._latest, "GET"),
            ("/insights/{insight_id:int}", self._insight, "GET"),
            ("/page.css", self._style, "GET"),
            ("/login", self._login_form, "GET"),
            ("/login", self._login, "POST"),
            ("/logout", self._logout, "POST"),
            ("/switch", self._switch, "POST"),
            ("/retry", self._retry, "POST"),
        ]
        return [
            Route(path, self._guarded(answer), methods=[method])
            for path, answer, method in answered
        ]

    # --- before every answer ----------------------------------------------------------------------

    def _guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            session = None
            try:
                self._check(request)
                session = await self._session(request)
                response = await answer(request, session)
            except _Refused as refused:
                response = self._told(refused.status, str(refused), session)
            except errors.InsightsError as exc:
                status = 503 if isinstance(exc, errors.Transient) else 400
                response = self._told(status, str(exc), session)
            response.headers.update(_HEADERS)
            return response

        return guarded

    def _check(self, request: Request) -> None:
        """Refuse what a page of a stranger may have sent."""
        if not guard.is_ours(request.headers.get("host", ""), self._names):
            raise _Refused(421, "This name is not this host's. See page.names.")
        if request.method == "POST" and not guard.is_from_ours(request.headers):
            raise _Refused(403, "This form is not of this page.")

    async def _session(self, request: Request) -> Session | None:
        """Return whose request this is: by its own token, else by the browser's cookie."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return self._sessions.find(request.cookies.get(_cookie(request), ""))
        found = await self._known(lambda: self._people.session(token.strip()))
        if found is None:
            await asyncio.sleep(_UNHURRIED_S)
            raise _Refused(401, "This token is nobody's, or not any more.")
        return found

    def _with(self, session: Session | None, what: str) -> Session:
        """Return the session of somebody whose role allows this."""
        if session is None:
            raise _Refused(403, "Log in with a token to see this.")
        if not session.person.roles & PAGES[what]:
            roles = " or ".join(sorted(PAGES[what]))
            raise _Refused(403, f"This needs a token with the role {roles}.")
        return session

    async def _form(self, request: Request) -> dict[str, str]:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY:
                raise _Refused(413, "The form is too long.")
        found = parse_qs(body.decode("utf-8", "replace"))
        return {name: values[0] for name, values in found.items()}

    async def _ordered(
        self, request: Request, session: Session | None
    ) -> tuple[Session, dict[str, str]]:
        """Return who orders something by a form of their own session, and the form."""
        if session is None:
            raise _Refused(403, "Log in with a token to do this.")
        form = await self._form(request)
        if not guard.same(form.get("secret", ""), session.secret):
            raise _Refused(403, "This form is of another session: load the page again.")
        return session, form

    async def _known(self, ask: Callable[[], Found]) -> Found:
        """Look at a token: the issuer's keys may have to be fetched first."""
        return await asyncio.get_running_loop().run_in_executor(self._knowing, ask)

    async def _asked(self, ask: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._asking, ask)

    @property
    def _opened(self) -> Board:
        if self.board is None:
            raise _Refused(503, "The daemon is starting: it has not opened its store yet.")
        return self.board

    # --- what is seen -----------------------------------------------------------------------------

    async def _front(self, request: Request, session: Session | None) -> Response:
        if session is None and self._people:
            return RedirectResponse("/login", 303)
        if session is not None:
            self._with(session, "numbers")
        still = "still" in request.query_params
        board = self._opened
        return HTMLResponse(await self._asked(lambda: self._drawn(board, session, still=still)))

    def _drawn(self, board: Board, session: Session | None, *, still: bool) -> str:
        if self._numbers is None or time.monotonic() - self._numbers_at > FRESH_S:
            self._numbers = board.numbers()
            self._numbers_at = time.monotonic()
        return self._page(
            "numbers",
            session,
            numbers=self._numbers,
            plots=rendering.numbers_plots(self._numbers),
            refresh_s=0 if still else _REFRESH_S,
        )

    async def _dead(self, _: Request, session: Session | None) -> Response:
        self._with(session, "dead letters")
        reasons, letters = await self._asked(self._opened.letters)
        return self._shown("dead", session, reasons=reasons, letters=letters)

    async def _latest(self, request: Request, session: Session | None) -> Response:
        actor = self._with(session, "texts").person.actor
        status = request.query_params.get("status")
        if status is not None and status not in _STATUSES:
            raise _Refused(400, "There is no such outcome.")
        board = self._opened
        found = await self._asked(lambda: board.latest(status, actor=actor))
        return self._shown("insights", session, insights=found, status=status, statuses=_STATUSES)

    async def _insight(self, request: Request, session: Session | None) -> Response:
        actor = self._with(session, "texts").person.actor
        board, insight_id = self._opened, int(request.path_params["insight_id"])
        if insight_id >= _IDS:
            raise _Refused(404, "There is no such insight.")
        found = await self._asked(lambda: board.insight(insight_id, actor=actor))
        if found is None:
            raise _Refused(404, "There is no such insight.")
        insight, citations = found
        cited = rendering.sources(citations)
        return self._shown("insight", session, insight=insight, sources=cited)

    async def _style(self, _: Request, __: Session | None) -> Response:
        return Response(rendering.style(), media_type="text/css")

    # --- what is done -----------------------------------------------------------------------------

    async def _login_form(self, _: Request, session: Session | None) -> Response:
        return self._shown("login", session, wrong=False, tokens=bool(self._people))

    async def _login(self, request: Request, _: Session | None) -> Response:
        token = (await self._form(request)).get("token", "").strip()
        person = await self._known(lambda: self._people.person(token))
        if person is None:
            log.warning("a wrong token was given to the status page")
            await asyncio.sleep(_UNHURRIED_S)
            response = self._shown("login", None, wrong=True, tokens=bool(self._people))
            response.status_code = 403
            return response
        log.info("somebody logged in to the status page", person=person.name)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            _cookie(request),
            self._sessions.begin(person),
            max_age=max(0, int(person.lasts_s)),
            httponly=True,
            samesite="strict",
            secure=request.headers["origin"].startswith("https:"),
        )
        return answer

    async def _logout(self, request: Request, session: Session | None) -> Response:
        await self._ordered(request, session)
        self._sessions.end(request.cookies.get(_cookie(request), ""))
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(_cookie(request), httponly=True, samesite="strict")
        return answer

    async def _switch(self, request: Request, session: Session | None) -> Response:
        ordering, form = await self._ordered(request, session)
        actor = self._with(ordering, "switch").person.actor
        board, stream, to = self._opened, form.get("stream", ""), form.get("to", "")
        if to == "pause":
            await self._asked(lambda: board.switch(stream, "pause", actor=actor))
        elif to == "resume":
            await self._asked(lambda: board.switch(stream, "resume", actor=actor))
        else:
            raise _Refused(400, "A stream can be paused or resumed.")
        self._numbers = None
        return RedirectResponse("/", 303)

    async def _retry(self, request: Request, session: Session | None) -> Response:
        ordering, form = await self._ordered(request, session)
        actor = self._with(ordering, "retry").person.actor
        board, stream, letter = self._opened, form.get("stream"), form.get("work_id", "")
        if letter.isascii() and letter.isdecimal() and int(letter) < _IDS:
            await self._asked(lambda: board.retry(stream=None, work_id=int(letter), actor=actor))
        elif stream and not letter:
            await self._asked(lambda: board.retry(stream=stream, work_id=None, actor=actor))
        else:
            raise _Refused(400, "Which dead letter, or which stream's?")
        self._numbers = None
        return RedirectResponse("/dead", 303)

    # --- how it is shown --------------------------------------------------------------------------

    def _page(self, template: str, session: Session | None, **values: object) -> str:
        roles = session.person.roles if session is not None else frozenset[WebRole]()
        return rendering.page(
            template,
            person="" if session is None else session.person.name,
            secret="" if session is None else session.secret,
            sees_texts=bool(roles & PAGES["texts"]),
            sees_letters=bool(roles & PAGES["dead letters"]),
            operates=bool(roles & PAGES["switch"]),
            has_tokens=bool(self._people),
            **values,
        )

    def _shown(self, template: str, session: Session | None, **values: object) -> Response:
        return HTMLResponse(self._page(template, session, refresh_s=0, **values))

    def _told(self, status: int, says: str, session: Session | None) -> Response:
        return HTMLResponse(
            self._page("refused", session, refresh_s=0, status=status, says=says), status
        )


def _cookie(request: Request) -> str:
    """Return the cookie's name: cookies of a host are sent to all of its ports."""
    return "insights_" + "".join(c for c in request.headers.get("host", "") if c.isalnum())
