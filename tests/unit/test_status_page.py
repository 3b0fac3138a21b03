"""The status page without a browser: who is let in, what is refused, and that text is text."""

import asyncio
import datetime as dt
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal, cast
from urllib.parse import urlencode

import pytest
from starlette.types import ASGIApp, Message

from insights import errors
from insights.service.health import Check
from insights.site.telemetry import PageSettings
from insights.store import board
from insights.store.board import CitationRow, InsightRow, LetterRow, ReasonRow, StreamRow
from insights.web import guard, rendering
from insights.web.guard import People, Tokens
from insights.web.page import StatusPage
from insights.web.server import application
from insights.wiring.board import Board, Minute, Numbers, Sample, StreamLine

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
VIEWER, ANALYST, OPERATOR = (letter * 40 for letter in "vao")
TOKENS = f"""
# a remark
vera viewer {VIEWER}
anna analyst {ANALYST}
otto operator {OPERATOR}
"""
OWN = {"host": "127.0.0.1:9188", "origin": "http://127.0.0.1:9188", "sec-fetch-site": "same-origin"}
NOW = dt.datetime(2026, 11, 29, 6, tzinfo=dt.UTC)


def _stream(name: str) -> StreamLine:
    row = StreamRow(
        stream=name, paused=False, stopped_reason=EVIL, last_error=EVIL, lag_s=1.0, polled_s=2.0,
        behind_s=None, missed_rows=0, overlap_s=None, epoch_changes=0, open_gaps=0, swept_s=None,
        swept_rows=None, p50_s=None, p99_s=None,
    )  # fmt: skip
    return StreamLine(row, grade="L1", waiting=7, oldest_s=3.0, dead=1)


INSIGHT = InsightRow(
    insight_id=5, row_id=1, stream=EVIL, row_key=EVIL, pipeline=EVIL, sha256="0" * 64,
    status="withheld", reason=EVIL, output={EVIL: EVIL, "steps": [EVIL]}, model=EVIL,
    generated_at=NOW, confidence=0.5,
)  # fmt: skip
CITED = CitationRow(
    field=EVIL, source=EVIL, title=EVIL, uri=EVIL, quote="<script>alert(1)", quote_start=0,
    quote_end=16, support=None, claim_start=None, claim_end=None, content=EVIL,
)  # fmt: skip
VERSION = board.VersionRow(EVIL, EVIL, None, "f" * 64, "canary", 0.05, None, NOW, EVIL, None)


class Fake:
    """A board that says evil things and remembers what it was told to do."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.looks = 0
        self.hangs = threading.Event()
        self.hangs.set()
        self.error: errors.InsightsError | None = None

    def numbers(self) -> Numbers:
        self.hangs.wait(20)
        self.looks += 1
        now = time.time()
        return Numbers(
            at=now, stage="running", checks=[Check(EVIL, "failed", EVIL)], streams=[_stream(EVIL)],
            sinks=[], versions=[VERSION], recent=[], models=[], daemons=[],
            samples=[Sample(now - 60, 3, None, None), Sample(now, 7, 1.0, 2.0)],
            minutes=[Minute(now // 60 * 60 - 60, 5, 1)],
        )  # fmt: skip

    def letters(self) -> tuple[list[ReasonRow], list[LetterRow]]:
        return [ReasonRow(EVIL, EVIL, 1)], [LetterRow(9, EVIL, EVIL, 5, EVIL, NOW)]

    def latest(self, status: str | None, *, actor: str) -> list[InsightRow]:
        self.done.append(("latest", status, actor))
        if self.error is not None:
            raise self.error
        return [INSIGHT]

    def insight(self, insight_id: int, *, actor: str) -> object:
        self.done.append(("insight", insight_id, actor))
        return (INSIGHT, [CITED]) if insight_id == INSIGHT.insight_id else None

    def switch(self, stream: str, to: Literal["pause", "resume"], *, actor: str) -> bool:
        self.done.append((to, stream, actor))
        return True

    def retry(self, *, stream: str | None, work_id: int | None, actor: str) -> int:
        self.done.append(("retry", stream, work_id, actor))
        return 1


class Client:
    """Asks the page as a browser does, cookie and all, without a network."""

    def __init__(self, tokens: str = TOKENS, names: tuple[str, ...] = ()) -> None:
        self.fake = Fake()
        page = StatusPage(People(Tokens(tokens)), names)
        page.board = cast("Board", self.fake)
        self.page = page
        self.app = application(page.routes)
        self.cookie = ""
        self.headers: dict[str, str] = {}

    def ask(
        self,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] = OWN,
    ) -> tuple[int, str]:
        status, self.headers, body = asyncio.run(
            _asked(self.app, path, form, {**headers, "cookie": self.cookie})
        )
        if "set-cookie" in self.headers:
            self.cookie = self.headers["set-cookie"].partition(";")[0]
        return status, body

    def login(self, token: str) -> "Client":
        assert self.ask("/login", {"token": token})[0] == 303
        return self

    @property
    def secret(self) -> str:
        found = re.search('name="secret" value="([^"]+)"', self.ask("/")[1])
        assert found is not None
        return found[1]


async def _asked(
    app: ASGIApp, path: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], str]:
    body = b"" if form is None else urlencode(form).encode()
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET" if form is None else "POST",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "server": ("127.0.0.1", 9188), "root_path": "",
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(one.get("body", b"") for one in sent[1:]).decode()


def test_without_tokens_there_are_numbers_and_neither_texts_nor_buttons() -> None:
    client = Client(tokens="")
    status, body = client.ask("/")
    assert status == 200
    assert "Backlog" in body
    assert ">7<" in body
    assert ">canary 5 %<" in body
    assert "<button" not in body
    for path in ("/insights", "/insights/5", "/dead"):
        assert client.ask(path)[0] == 403
    assert client.ask("/login", {"token": ""})[0] == 403
    assert client.ask("/switch", {"stream": "s", "to": "pause", "secret": ""})[0] == 403
    assert client.fake.done == []


def test_with_tokens_nothing_is_seen_before_one_was_given() -> None:
    client = Client()
    status, body = client.ask("/")
    assert (status, client.headers["location"], body) == (303, "/login", "")
    assert client.ask("/login", {"token": "x" * 40})[0] == 403
    assert "set-cookie" not in client.headers
    client.login(VIEWER)
    assert "httponly" in client.headers["set-cookie"].lower()
    assert "samesite=strict" in client.headers["set-cookie"].lower()
    assert client.ask("/")[0] == 200


@pytest.mark.parametrize(
    ("token", "sees"),
    [
        (VIEWER, {"/": 200, "/dead": 403, "/insights": 403, "/insights/5": 403}),
        (ANALYST, {"/": 200, "/dead": 200, "/insights": 200, "/insights/5": 200}),
        (OPERATOR, {"/": 200, "/dead": 200, "/insights": 403, "/insights/5": 403}),
    ],
    ids=["viewer", "analyst", "operator"],
)
def test_each_role_sees_its_own_and_whoever_has_no_button_can_order_nothing(
    token: str, sees: dict[str, int]
) -> None:
    client = Client().login(token)
    assert {path: client.ask(path)[0] for path in sees} == sees
    secret, client.fake.done = client.secret, []
    orders = [
        client.ask("/switch", {"stream": "s", "to": "pause", "secret": secret})[0],
        client.ask("/switch", {"stream": "s", "to": "resume", "secret": secret})[0],
        client.ask("/retry", {"work_id": "9", "secret": secret})[0],
        client.ask("/retry", {"stream": "s", "secret": secret})[0],
    ]
    if token == OPERATOR:
        assert orders == [303] * 4
        assert client.fake.done == [
            ("pause", "s", "page otto"), ("resume", "s", "page otto"),
            ("retry", None, 9, "page otto"), ("retry", "s", None, "page otto"),
        ]  # fmt: skip
    else:
        assert (orders, client.fake.done) == ([403] * 4, [])
        assert 'action="/switch"' not in client.ask("/")[1]


def test_orders_come_from_our_own_pages_of_the_same_session_alone() -> None:
    client = Client().login(OPERATOR)
    right = {"stream": "s", "to": "pause", "secret": client.secret}
    strange: list[tuple[Mapping[str, str], Mapping[str, str]]] = [
        (right, {**OWN, "origin": "http://evil.example"}),
        (right, {**OWN, "origin": "null"}),
        (right, {**OWN, "origin": "http://127.0.0.1:9999"}),
        (right, {name: value for name, value in OWN.items() if name != "origin"}),
        (right, {**OWN, "sec-fetch-site": "cross-site"}),
        (right, {**OWN, "sec-fetch-site": "same-site"}),
        ({**right, "secret": "x"}, OWN),
        ({**right, "secret": Client().login(OPERATOR).secret}, OWN),
        ({"stream": "s", "to": "pause"}, OWN),
    ]
    for form, headers in strange:
        for path in ("/switch", "/retry", "/logout"):
            assert client.ask(path, form, headers)[0] == 403
    assert client.ask("/switch", {**right, "to": "drop"})[0] == 400
    assert client.ask("/retry", {**right, "work_id": "9" * 30, "stream": ""})[0] == 400
    assert client.ask("/switch", {**right, "pad": "x" * 17_000})[0] == 413
    assert client.ask("/switch")[0] == 405
    assert client.fake.done == []
    assert client.ask("/logout", right)[0] == 303
    assert client.ask("/switch", right)[0] == 403


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1:9188", 200), ("localhost:9188", 200), ("[::1]:9188", 200), ("LOCALHOST", 200),
        ("insights.example.org", 200), ("evil.example:9188", 421), ("127.0.0.1.evil.example", 421),
        ("", 421), ("[", 421), ("127.0.0.1@evil.example", 421),
    ],
)  # fmt: skip
def test_a_name_that_is_not_ours_gets_nothing(host: str, answer: int) -> None:
    client = Client(tokens="", names=("insights.example.org",))
    status, body = client.ask("/", headers={"host": host})
    assert status == answer
    assert ("Backlog" in body) == (answer == 200)


def test_whatever_a_text_holds_is_shown_as_text() -> None:
    client = Client().login(ANALYST)
    pages = [client.ask(path)[1] for path in ("/", "/dead", "/insights", "/insights/5")]
    pages.append(client.ask("/insights?status=" + EVIL.replace("<", "%3C"))[1])
    client.fake.error = errors.SettingsError(EVIL, where=EVIL, fix=EVIL)
    pages.append(client.ask("/insights")[1])
    pages.append(Client().login(OPERATOR).ask("/dead")[1])
    for body in pages:
        assert "<script" not in body
        assert "<img" not in body
        assert body.startswith("<!doctype html>")
    assert all("&lt;script&gt;alert(1)" in body for body in (*pages[:4], *pages[5:]))
    assert "<mark>&lt;script&gt;alert(1)</mark>" in pages[3]


def test_every_answer_forbids_scripts_frames_caches_and_what_is_not_ours() -> None:
    client = Client().login(ANALYST)
    for path in ("/", "/insights", "/login", "/page.css", "/insights/6", "/dead"):
        client.ask(path)
        policy = client.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';")
        assert "unsafe" not in policy
        assert "script" not in policy
        assert client.headers["cache-control"] == "no-store"
        assert client.headers["x-content-type-options"] == "nosniff"
        assert client.headers["x-frame-options"] == "DENY"
    assert "style=" not in client.ask("/")[1]


def test_reading_texts_names_the_reader_and_an_insight_that_is_none_is_not_found() -> None:
    client = Client().login(ANALYST)
    client.ask("/insights?status=withheld")
    client.ask("/insights/5")
    assert client.ask("/insights/6")[0] == 404
    assert client.ask(f"/insights/{2**63}")[0] == 404
    assert client.fake.done == [
        ("latest", "withheld", "page anna"),
        ("insight", 5, "page anna"),
        ("insight", 6, "page anna"),
    ]  # fmt: skip


def test_a_store_that_is_away_or_not_yet_open_is_said() -> None:
    client = Client().login(ANALYST)
    client.fake.error = errors.StoreUnavailable("no answer", where="store", fix="look")
    status, body = client.ask("/insights")
    assert (status, "no answer" in body) == (503, True)
    client.page.board = None
    status, body = client.ask("/")
    assert (status, "starting" in body) == (503, True)


def test_as_many_as_ask_at_once_are_answered_by_one_look() -> None:
    client = Client(tokens="")

    async def many() -> list[int]:
        found = await asyncio.gather(*(_asked(client.app, "/", None, OWN) for _ in range(50)))
        return [status for status, _, _ in found]

    assert asyncio.run(many()) == [200] * 50
    assert client.fake.looks == 1


def test_a_look_that_hangs_keeps_no_loop_from_turning() -> None:
    client = Client(tokens="")
    client.fake.hangs.clear()

    async def beside() -> float:
        hanging = [asyncio.create_task(_asked(client.app, "/", None, OWN)) for _ in range(50)]
        await asyncio.sleep(0)
        began = time.monotonic()
        status, _, _ = await _asked(client.app, "/page.css", None, OWN)
        took = time.monotonic() - began
        client.fake.hangs.set()
        assert status == 200
        assert {one[0] for one in await asyncio.gather(*hanging)} == {200}
        return took

    assert asyncio.run(beside()) < 5


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("anna analyst", "it is not a name"),
        (f"anna analyst {ANALYST} more", "it is not a name"),
        (f"a/b analyst {ANALYST}", "other characters"),
        (f"anna root {ANALYST}", "a role is none of"),
        (f"anna analyst,root {ANALYST}", "a role is none of"),
        ("anna analyst short", "fewer than 32"),
    ],
)
def test_a_wrong_line_of_tokens_is_refused_and_not_repeated(line: str, says: str) -> None:
    with pytest.raises(errors.SettingsError, match=says) as refused:
        Tokens(f"vera viewer {VIEWER}\n{line}\n")
    assert refused.value.where == "page_tokens, line 2"
    assert ANALYST not in str(refused.value)


def test_a_session_ends() -> None:
    sessions, person = guard.Sessions(), guard.Person("anna", frozenset({"analyst"}))
    first = sessions.begin(person)
    assert sessions.find(first) is not None
    for _ in range(200):
        sessions.begin(person)
    assert sessions.find(first) is None
    over = guard.Person("anna", frozenset({"analyst"}), lasts_s=-1.0)  # as its own token says
    assert sessions.find(sessions.begin(over)) is None


def test_a_request_may_bring_its_token_and_orders_still_need_the_form_of_its_own_page() -> None:
    def bearing(token: str) -> dict[str, str]:
        return {**OWN, "authorization": f"Bearer {token}"}

    client = Client()
    assert client.ask("/insights", headers=bearing(ANALYST))[0] == 200
    assert client.fake.done.pop() == ("latest", None, "page anna")
    assert client.ask("/insights", headers=bearing(OPERATOR))[0] == 403
    for nobody in ("", "x" * 40, ANALYST[:-1], "a.b.c"):
        assert client.ask("/", headers=bearing(nobody))[0] == 401
    found = re.search(
        'name="secret" value="([^"]+)"', client.ask("/", headers=bearing(OPERATOR))[1]
    )
    assert found is not None
    order = {"stream": "s", "to": "pause", "secret": found[1]}
    evil = {**bearing(OPERATOR), "origin": "http://evil.example"}  # a proxy adds the token to it
    for form, headers in (({**order, "secret": "x"}, bearing(OPERATOR)), (order, evil)):
        assert client.ask("/switch", form, headers)[0] == 403
    assert client.fake.done == []
    assert client.ask("/switch", order, bearing(OPERATOR))[0] == 303
    assert client.fake.done == [("pause", "s", "page otto")]
    assert client.cookie == ""


def test_roles_see_what_the_table_says() -> None:
    auditor, submitter = "d" * 40, "s" * 40
    lines = f"{TOKENS}dora auditor {auditor}\nsam submitter {submitter}\n"
    seen = {
        token[0]: [Client(lines).login(token).ask(path)[0] for path in ("/", "/dead", "/insights")]
        for token in (VIEWER, ANALYST, OPERATOR, auditor, submitter)
    }
    assert seen == {
        "v": [200, 403, 403],
        "a": [200, 200, 200],
        "o": [200, 200, 403],
        "d": [200, 403, 200],
        "s": [403, 403, 403],
    }


def _text(*, marked: bool) -> Callable[[list[rendering.Piece]], list[str]]:
    return lambda pieces: [one.text for one in pieces if one.marked == marked]


def test_quotes_are_marked_where_they_stand_and_those_that_are_gone_are_kept() -> None:
    def cited(quote: str, start: int | None) -> CitationRow:
        return CitationRow(
            field="cause", source="passage 1", title="Manual", uri="file:a", quote=quote,
            quote_start=start, quote_end=None, support=None, claim_start=None, claim_end=None,
            content="Open tray 2. Open tray 3. Close it.",
        )  # fmt: skip

    quotes = [cited("Open", 13), cited("tray 3.", None), cited("en tr", 99), cited("Burn it", 0)]
    (source,) = rendering.sources(quotes)
    assert "".join(one.text for one in source.pieces) == "Open tray 2. Open tray 3. Close it."
    assert _text(marked=True)(source.pieces) == ["en tr", "Open", "tray 3."]
    assert source.gone == ["Burn it"]


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9188", "[::]:9188", "9188", "insights:9188", "127.0.0.1:70000", ":9188"]
)
def test_an_address_that_others_reach_is_refused(listen: str) -> None:
    assert PageSettings(listen="127.0.0.1:9188").listen
    with pytest.raises(ValueError, match="no address of this host alone"):
        PageSettings(listen=listen)
