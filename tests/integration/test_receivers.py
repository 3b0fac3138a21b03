"""Alerts reach a webhook and a mailbox, signed and over TLS; what takes none is named."""

import base64
import contextlib
import email
import hashlib
import hmac
import io
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from insights import errors
from insights.service.alerts import Alert, News
from insights.site.settings import Settings
from insights.site.telemetry import AlertsSettings
from insights.web import lines
from insights.web.receivers import Heartbeat, Mail, Webhook
from tests.answering import answering
from tests.certificates import made
from tests.hooks import Hook
from tests.site import Site

ALERT = Alert(
    key="InsightsSinkDown desk",
    name="InsightsSinkDown",
    severity="critical",
    summary="Sink desk cannot be written",
    description="Fix: as it says.",
    since="2026-01-01T00:00:00+00:00",
    runbook="docs/operations.md#insightssinkdown",
)
NEWS = News("erp1", fired=[ALERT])


@pytest.fixture
def hook() -> Iterator[Hook]:
    started = Hook()
    yield started
    started.server.shutdown()
    started.server.server_close()


class Session(socketserver.StreamRequestHandler):
    """One client of `Post`."""

    timeout = 60

    secured: ssl.SSLSocket | None = None
    post: "Post"

    def say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())

    def finish(self) -> None:
        super().finish()
        if self.secured is not None:
            self.secured.close()

    def handle(self) -> None:
        self.say("220 post ESMTP")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            verb = line.partition(" ")[0].lower()
            if self.secured is None:
                self.post.plain.append(verb)
            getattr(self, verb, self.ok)(line)
            if verb == "quit":
                return

    def ok(self, _: str) -> None:
        self.say("250 ok")

    def ehlo(self, _: str) -> None:
        self.say("250-post", "250 STARTTLS" if self.secured is None else "250 AUTH PLAIN")

    def starttls(self, _: str) -> None:
        self.say("220 go on")
        try:
            self.secured = self.post.tls.wrap_socket(self.request, server_side=True)
        except OSError:  # it does not know our authority
            self.rfile = io.BufferedReader(io.BytesIO())
        else:
            self.rfile = self.secured.makefile("rb")
            self.wfile = self.secured.makefile("wb", 0)  # type: ignore[assignment]

    def auth(self, line: str) -> None:
        self.post.logins.append(base64.b64decode(line.rpartition(" ")[2]).decode())
        self.say("235 welcome")

    def rcpt(self, line: str) -> None:
        known = not self.post.refuses or self.post.refuses not in line
        self.say("250 ok" if known else "550 nobody of that name")

    def data(self, _: str) -> None:
        self.say("354 go on")
        lines = b"".join(iter(self.rfile.readline, b".\r\n"))
        self.post.mails.append(email.message_from_bytes(lines, policy=default))
        self.say("250 taken")

    def quit(self, _: str) -> None:
        if self.post.says_bye:
            self.say("221 bye")
        else:
            self.rfile.readline()


class Post:
    """A server that takes mail, after STARTTLS and a login (RFC 5321, 3207, 4954)."""

    def __init__(self, folder: Path) -> None:
        made(folder, "server", made(folder, "authority", None))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / "server.pem")
        self.ca_file = folder / "authority.pem"
        self.mails: list[Any] = []  # email.message.EmailMessage
        self.logins: list[str] = []
        self.plain: list[str] = []
        self.refuses = ""
        self.says_bye = True
        session = type("One", (Session,), {"post": self})
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), session)
        self.server.daemon_threads = True
        self.at = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    started = Post(tmp_path)
    yield started
    started.server.shutdown()
    started.server.server_close()


def _settings(**alerts: Any) -> Settings:  # noqa: ANN401 - whatever a section holds
    return Settings(alerts=AlertsSettings.model_validate(alerts))


def test_a_webhook_is_told_in_words_and_fields_and_can_check_who_told_it(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = base64.b64encode(b"a key of the receiver").decode()
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_HOOK", f"whsec_{key}")
    Webhook(_settings(webhook={"url": hook.url, "secret": "${hook}"})).send(NEWS)
    ((headers, body),) = hook.taken
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.new(b"a key of the receiver", signed, hashlib.sha256).digest()
    assert headers["webhook-id"] == NEWS.id
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    (told,) = hook.bodies()
    assert told["title"] == "[erp1] critical: Sink desk cannot be written"
    assert told["text"].startswith("critical: Sink desk cannot be written\nFix: as it says.")
    assert told["fired"][0]["runbook"] == "docs/operations.md#insightssinkdown"
    assert told["resolved"] == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_takes_nothing_is_named_without_its_address(
    hook: Hook, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.status = status
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_HOOK", f"{hook.url}?token=s3cret")
    webhook = Webhook(_settings(webhook={"url": "${hook}"}))
    with pytest.raises(errors.ReceiverUnavailable) as refused:
        webhook.send(NEWS)
    assert str(status) in str(refused.value)
    hook.server.server_close()
    with pytest.raises(errors.ReceiverUnavailable) as gone:
        webhook.send(NEWS)
    with pytest.raises(errors.ReceiverUnavailable):
        webhook.reach()
    assert "s3cret" not in f"{refused.value} {gone.value}"


@pytest.mark.parametrize("says", ["HTTP/1.1 200 OK\r\nx: ", "220", "220-", ""])
def test_a_receiver_that_says_a_word_now_and_then_is_left_in_time(
    says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_LONGEST_S", 1.5)

    class Drips(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.request.sendall(says.encode())
                while True:
                    time.sleep(0.2)
                    self.request.sendall(b"220-\r\n" if says == "220-" else b"x")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drips) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"127.0.0.1:{server.server_address[1]}"
        found = {"to": ["o@example.com"], "from": "i@example.com", "server": at}
        told: list[Webhook | Mail] = [
            Mail(_settings(mail=found)),
            Mail(_settings(mail={**found, "security": "tls"})),
            Webhook(_settings(webhook={"url": f"http://{at}/"})),
            Webhook(_settings(webhook={"url": f"https://{at}/"})),
        ]
        for receiver in told if says != "HTTP/1.1 200 OK\r\nx: " else told[:2]:
            began = time.monotonic()
            with pytest.raises(errors.ReceiverUnavailable):
                receiver.send(NEWS)
            assert time.monotonic() - began < 5
        began = time.monotonic()
        with contextlib.suppress(errors.ReceiverUnavailable):  # 200 is an answer
            Heartbeat(_settings(heartbeat=f"http://{at}/"), lambda: True).run_once()
        assert time.monotonic() - began < 5
        server.shutdown()


def test_an_address_that_is_refused_is_named_by_its_place_and_the_others_are_told_once(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "to": ["ops@example.com", "dba@example.com"],
        "from": "insights@example.com",
        "server": post.at,
        "ca_file": str(post.ca_file),
    }
    ops, dba = (Mail(_settings(mail=found), nth) for nth in (0, 1))
    assert (ops.name, dba.name) == ("mail 1", "mail 2")
    assert ops.kept_as != dba.kept_as
    post.refuses = "dba@"
    ops.reach()
    ops.send(NEWS)
    for asked in (dba.reach, lambda: dba.send(NEWS)):
        with pytest.raises(errors.ReceiverUnavailable, match="no mail for an address: 550") as no:
            asked()
        assert "mail 2" in str(no.value)
        assert "dba@" not in str(no.value)
    (sent,) = post.mails
    assert sent["to"] == "ops@example.com"
    assert sent["message-id"] == f"<{NEWS.id}@example.com>"
    post.says_bye = False
    monkeypatch.setattr(lines, "TIMEOUT_S", 1.0)
    ops.send(NEWS)  # taken, though nobody says goodbye
    assert len(post.mails) == 2


def test_mail_goes_over_tls_and_a_password_never_before(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTS_CREDENTIAL_SMTP_PASSWORD", "pass w0rd")
    found = {
        "to": ["ops@example.com"],
        "from": "insights@example.com",
        "server": post.at,
        "user": "insights",
        "password": "${smtp_password}",
        "ca_file": str(post.ca_file),
    }
    mail = Mail(_settings(mail=found))
    mail.reach()
    assert not post.mails
    mail.send(News("erp1", resolved=[ALERT]))
    (sent,) = post.mails
    assert sent["subject"] == "[erp1] resolved: Sink desk cannot be written"
    assert sent["to"] == "ops@example.com"
    assert sent["auto-submitted"] == "auto-generated"
    assert "resolved: Sink desk cannot be written" in sent.get_content()
    assert post.logins == ["\0insights\0pass w0rd"] * 2
    assert set(post.plain) == {"ehlo", "starttls"}
    stranger = Mail(_settings(mail={**found, "ca_file": None}))
    with pytest.raises(errors.ReceiverUnavailable, match="SSLCertVerificationError"):
        stranger.send(NEWS)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"webhook": {"url": "http://chat.example.com/x"}}, "plain text"),
        ({"webhook": {"url": "https://chat.example.com/x?token=1"}}, "make it a credential"),
        ({"webhook": {"url": "chat.example.com"}}, "no http or https address"),
        ({"heartbeat": "http://watch.example.com/x"}, "plain text"),
        ({"mail": {"to": ["ops"], "from": "a@b"}}, "'ops' is no mail address"),
        ({"mail": {"to": ["o@b"]}}, "from is no mail address"),
        ({"mail": {"to": ["o@b\nBcc: x@y"], "from": "a@b"}}, "is no mail address"),
        ({"mail": {"server": "mail"}}, "mail.example.com:587"),
        ({"mail": {"user": "x"}}, "belong together"),
        (
            {"mail": {"to": ["o@b"], "from": "a@b", "server": "m:25", "security": "none"}},
            "plain text",
        ),
    ],
)
def test_settings_that_would_tell_nobody_or_everybody_are_refused(
    section: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        _settings(**section)


def test_a_heartbeat_is_sent_while_the_daemon_lives_and_not_after(hook: Hook) -> None:
    lives = True
    heartbeat = Heartbeat(_settings(heartbeat=hook.url), lambda: lives)
    heartbeat.run_once()
    lives = False
    heartbeat.run_once()
    assert hook.asked == ["/hook"]


def test_everybody_is_told_a_test_alert_and_who_takes_none_is_named(
    site: Site, hook: Hook, post: Post
) -> None:
    assert "nobody is told of alerts" in site.insights("alert", "test", code=78).stderr
    mail = f'to = ["ops@example.com"]\nfrom = "insights@example.com"\nserver = "{post.at}"\n'
    site.extra += f'[alerts.webhook]\nurl = "{hook.url}"\n'
    site.extra += f'[alerts.mail]\n{mail}ca_file = "{post.ca_file}"\n'
    site.write()
    done = site.insights("alert", "test", "--json")
    assert json.loads(done.stdout) == {"told": ["webhook", "mail"], "failed": []}
    assert hook.bodies()[0]["fired"][0]["summary"] == "this is a test"
    assert post.mails[0]["subject"] == "[test] warning: this is a test"
    hook.status = 403
    done = site.insights("alert", "test", code=errors.ReceiverUnavailable.exit_code)
    assert "answered 403" in done.stderr
    assert len(post.mails) == 2


def test_a_daemon_tells_a_dead_letter_once_and_a_receiver_that_is_down_holds_nothing_up(
    site: Site, hook: Hook
) -> None:
    site.prompt = "{{ row.subject }}{{ 1 // (row.ticket_id|int - 7) }}"
    site.extra += f'[alerts]\nheartbeat = "{hook.url}"\n[alerts.webhook]\nurl = "{hook.url}"\n'
    site.write()
    hook.status = 503
    kept_in = site.folder / "state" / "alerts.webhook.json"
    with answering(site) as daemon:
        daemon.until(lambda: site.query("SELECT count(*) >= 39 FROM store.insight")[0][0])
        daemon.until(lambda: hook.taken)  # refused so far
        daemon.until(lambda: "answered 503" in daemon.get("/healthz?verbose")[1])
        assert daemon.status("/readyz") == 200
        hook.taken.clear()
        hook.status = 200
        daemon.until(kept_in.exists)
        kept = json.loads(kept_in.read_text())
        assert list(kept) == ["InsightsDeadLetters triage"]
        told = hook.bodies()[-1]
        assert [one["name"] for one in told["fired"]] == ["InsightsDeadLetters"]
        assert "insights dead list" in told["text"]
        assert hook.asked
    with answering(site), contextlib.suppress(AssertionError):
        time.sleep(1)
    assert len([one for one in hook.bodies() if one["fired"]]) == 1
