"""The status page of a running daemon in a real browser: seen, ordered, read, and harmless."""

import contextlib
import http.client
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser as browsers
from tests.answering import Answering, answering
from tests.browser import Browser
from tests.site import Site

EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
PASSAGE = "Open the rear door. Remove tray 2 & clean <b>all</b> four rollers. Close the rear door."
ANALYST, OPERATOR = "a" * 40, "o" * 40
TOKENS = f"anna analyst {ANALYST}\notto viewer,operator {OPERATOR}\n"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if not browsers.COMMAND and os.environ.get("CI") == "true":
        pytest.fail("CI needs Chromium (apt-get install chromium)", pytrace=False)
    if not browsers.COMMAND:
        pytest.skip("NOT TESTED: no Chromium here, so that nobody has seen the page in a browser")
    with browsers.browser(tmp_path / "profile") as found:
        yield found


@contextlib.contextmanager
def _paged(site: Site, tokens: str = TOKENS) -> Iterator[tuple[Answering, str]]:
    env = {"INSIGHTS_PAGE__LISTEN": "127.0.0.1:0"}
    if tokens:
        env["INSIGHTS_CREDENTIAL_PAGE_TOKENS"] = tokens
    with answering(site, **env) as daemon:
        said = re.compile(r'"at": "([^"]+)", "event": "the status page is answered"')
        (at,) = {found[1] for line in daemon.log if (found := said.search(line))} or {""}
        if not at:
            daemon.until(lambda: any(said.search(line) for line in daemon.log))
            at = next(found[1] for line in daemon.log if (found := said.search(line)))
        daemon.until(lambda: site.query("SELECT count(*) = 40 FROM store.insight")[0][0])
        daemon.until(lambda: _get(at, "/")[0] in (200, 303))
        yield daemon, f"http://{at}"


def _get(at: str, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(at, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def _harm(site: Site) -> int:
    """Fill the store with texts that would be code in a page; return an insight that quotes."""
    site.query("UPDATE store.stream SET last_error = %s, missed_rows = 3 RETURNING 1", EVIL)
    site.query("INSERT INTO store.collection (name, language) VALUES ('c', 'english') RETURNING 1")
    site.query(
        "INSERT INTO store.document (collection_id, uri, title, content_hash)"
        " VALUES (1, 'file:printer', %s, gen_random_uuid()) RETURNING 1",
        EVIL,
    )
    site.query(
        "INSERT INTO store.passage (document_id, collection_id, ordinal, content, tokens, search)"
        " VALUES (1, 1, 0, %s, 9, '') RETURNING 1",
        PASSAGE,
    )
    ((insight,),) = site.query(
        "INSERT INTO store.insight (row_id, pipeline_version_id, input_hash, status, reason,"
        " output, model) SELECT row_id, 1, gen_random_uuid(), 'withheld', %s, %s::jsonb, %s"
        " FROM store.ledger LIMIT 1 RETURNING insight_id",
        EVIL,
        json.dumps({"cause": EVIL, "steps": [EVIL]}),
        EVIL,
    )
    for ordinal, quote in enumerate(("Remove tray 2 & clean <b>all</b> four rollers.", EVIL)):
        site.query(
            "INSERT INTO store.citation (insight_id, ordinal, field, source, passage_id, title,"
            " quote) VALUES (%s, %s, 'cause', 'passage 1', 1, %s, %s) RETURNING 1",
            insight,
            ordinal,
            EVIL,
            quote,
        )
    site.query(
        "UPDATE store.work SET state = 'dead', reason = %s, attempts = 5"
        " WHERE work_id = (SELECT max(work_id) FROM store.work) RETURNING 1",
        EVIL,
    )
    return int(insight)


def _login(page: Browser, url: str, token: str) -> None:
    """Log in with the keyboard alone: the field has the focus."""
    page.open(f"{url}/")
    assert page.js("document.activeElement.id") == "token"
    page.type(token)
    page.press("Enter")
    page.settle()


def _focus(page: Browser, name: str) -> None:
    """Press Tab until the focus is on what reads so."""
    for _ in range(60):
        page.press("Tab")
        if " ".join(str(page.js("document.activeElement.textContent")).split()) == name:
            return
    raise AssertionError(f"Tab never comes to {name}")


def test_operators_have_buttons_and_analysts_texts_none_of_which_is_ever_code(
    site: Site, browser: Browser
) -> None:
    with _paged(site) as (daemon, url):
        _operate(site, browser, daemon, url)
        _analyse(site, browser, url)
    assert site.insights("audit", "verify").returncode == 0


def _operate(site: Site, browser: Browser, daemon: Answering, url: str) -> None:
    """An operator pauses, resumes and retries, by the keyboard alone."""
    _login(browser, url, OPERATOR)
    assert "Status" in str(browser.js("document.title"))
    daemon.until(lambda: "L" in _cells(browser, url)["Grade"])
    daemon.until(lambda: "stand-in with random weights" in _text(browser, url))
    text = browser.text()
    for word in ("Backlog", "Throughput", "ticket", "triage", "test", "full"):
        assert word in text
    assert browser.js("document.querySelectorAll('svg path.line').length") == 5
    _focus(browser, "Pause ticket")
    browser.press("Enter")
    browser.settle()
    assert site.query("SELECT paused FROM store.stream") == [(True,)]
    assert "paused" in browser.text()
    _focus(browser, "Resume ticket")
    browser.press("Enter")
    browser.settle()
    assert site.query("SELECT paused FROM store.stream") == [(False,)]
    site.query(
        "UPDATE store.work SET state = 'dead', reason = 'the template fails' WHERE work_id = 1"
        " RETURNING 1"
    )
    browser.open(f"{url}/dead")
    assert "the template fails" in browser.text()
    _focus(browser, "Retry 1")
    browser.press("Enter")
    browser.settle()
    assert "No dead letters." in browser.text()
    told = site.query(
        "SELECT e.action, c.actor FROM store.audit_event e JOIN store.audit_chain c"
        " USING (chain_id) WHERE c.actor LIKE 'page %%' ORDER BY e.at"
    )
    assert told == [
        ("stream paused", "page otto"),
        ("stream resumed", "page otto"),
        ("dead-letter retried", "page otto"),
    ]
    browser.open(f"{url}/insights")
    assert "needs a token with the role analyst" in browser.text()
    assert [one for one in browser.trouble if "403" not in one] == []


def _text(page: Browser, url: str) -> str:
    page.open(f"{url}/?still")
    return page.text()


def _cells(page: Browser, url: str) -> dict[str, str]:
    """Return the first stream's cells by their column."""
    page.open(f"{url}/?still")
    found: dict[str, str] = page.js(
        "Object.fromEntries([...document.querySelectorAll('table')[0].tHead.rows[0].cells].map("
        "(cell, at) => [cell.innerText, document.querySelectorAll('table')[0].tBodies[0].rows[0]"
        ".cells[at].innerText]))"
    )
    return found


def _analyse(site: Site, browser: Browser, url: str) -> None:
    """An analyst reads quotes in their text; the audit knows."""
    browser.trouble.clear()
    browser.call("Network.clearBrowserCookies")
    insight = _harm(site)
    _login(browser, url, ANALYST)
    seen = {}
    for path in ("/", "/dead", "/insights?status=withheld", f"/insights/{insight}"):
        browser.open(url + path)
        seen[path] = browser.text()
        assert "owned" not in str(browser.js("document.title"))
        assert browser.js("document.querySelectorAll('script, img, main b > img').length") == 0
        assert "<script>document.title" in seen[path]
    marked = browser.js("[...document.querySelectorAll('mark')].map(one => one.innerText)")
    assert marked == ["Remove tray 2 & clean <b>all</b> four rollers.", EVIL]
    assert PASSAGE in seen[f"/insights/{insight}"]
    assert "withheld" in seen["/insights?status=withheld"]
    assert browser.trouble == []
    read = site.query(
        "SELECT c.actor, e.insight_id, e.details -> 'insights' @> to_jsonb(%s::bigint)"
        " FROM store.audit_event e JOIN store.audit_chain c USING (chain_id)"
        " WHERE e.action = 'texts read' ORDER BY e.at",
        insight,
    )
    assert read == [("page anna", None, True), ("page anna", insight, True)]


def test_numbers_need_no_login_and_fifty_browsers_that_ask_or_dawdle_delay_no_health(
    site: Site, browser: Browser
) -> None:
    with _paged(site, tokens="") as (daemon, url):
        _look(browser, url)
        _crowd(daemon, url)


def _look(browser: Browser, url: str) -> None:
    """Light and dark are both readable; there are neither texts nor buttons."""
    papers = set()
    for scheme in ("light", "dark"):
        browser.prefer(scheme)
        browser.open(f"{url}/")
        colours = browser.js(
            "[...document.querySelectorAll('body, .quiet, a, .mark, thead th')].map(one =>"
            " getComputedStyle(one).color).concat(getComputedStyle(document.body)"
            ".backgroundColor)"
        )
        *inks, paper = [_luminance(colour) for colour in colours]
        papers.add(paper)
        for ink in inks:  # WCAG 2.2, 1.4.3: 4.5 to 1
            lighter, darker = max(ink, paper), min(ink, paper)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5
    assert len(papers) == 2
    assert browser.js("document.querySelectorAll('button, input').length") == 0
    for path in ("/dead", "/insights", "/insights/1"):
        assert _get(url.removeprefix("http://"), path)[0] == 403
    assert _get(url.removeprefix("http://"), "/", Host="evil.example")[0] == 421
    assert browser.trouble == []


def _luminance(colour: str) -> float:
    """Return the relative luminance of `rgb(r, g, b)` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _crowd(daemon: Answering, url: str) -> None:
    """Many ask at once, some never end their question; health answers within two seconds."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    slow = [socket.create_connection((host, int(port)), 5) for _ in range(20)]
    for one in slow:
        one.sendall(b"GET / HTTP/1.1\r\nHost: ")
    over = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                statuses.append(_get(f"{host}:{port}", "/")[0])

    asking = [threading.Thread(target=ask) for _ in range(50)]
    for thread in asking:
        thread.start()
    until, looks = time.monotonic() + 4, 0
    while time.monotonic() < until:
        assert daemon.status("/livez") == 200  # within two seconds, or it is none
        looks += 1
    over.set()
    for thread in asking:
        thread.join()
    for one in slow:
        one.close()
    assert looks > 20
    assert statuses.count(200) > 50
    assert set(statuses) <= {200, 503}
    assert daemon.status("/readyz") == 200
