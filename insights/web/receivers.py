"""Sends alerts: as JSON to a webhook, as mail, and a heartbeat to whoever watches the daemon.

A webhook is signed as the Standard Webhooks specification says, version 1.0.0: the header
`webhook-signature` is `v1,` and the Base64 of HMAC-SHA256 over id, time and body.
"""

import base64
import hashlib
import hmac
import smtplib
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests

from insights import errors
from insights.ground.environment import reveal
from insights.service.alerts import Alert, News
from insights.site.settings import Settings

_TIMEOUT_S = 10.0
_HEARTBEAT_S = 60.0
_PREFIX = "whsec_"  # of a secret, as the specification writes it


class Webhook:
    """An address that takes alerts by POST.

    The body is `title`, `text` (all of it, for people: what chat programs show), `instance`, and
    the lists `fired`, `still` and `resolved` of alerts with their fields.
    """

    name = "webhook"

    def __init__(self, settings: Settings) -> None:
        found = settings.alerts.webhook
        self._url = reveal(found.url, "alerts.webhook.url")
        self._secret = reveal(found.secret or "", "alerts.webhook.secret")
        self._verify = _authority(settings, found.ca_file)
        self.place = _host(self._url)

    def send(self, news: News) -> None:
        """Implement `alerts.Receiver`."""
        body = msgspec.json.encode({"title": news.title, "text": news.text, **news._asdict()})
        headers = {"content-type": "application/json", **self._signed(body)}
        _asked(
            "POST", self._url, "alerts.webhook.url", verify=self._verify, data=body, headers=headers
        )

    def reach(self) -> None:
        """Connect and leave again: nothing is sent, and so nothing is known of the address itself.

        Raises:
            errors.ReceiverUnavailable: If nobody is there, or not who should be.
        """
        at = urlsplit(self._url)
        secure = at.scheme == "https"
        try:
            port = at.port or (443 if secure else 80)
            with socket.create_connection((at.hostname, port), _TIMEOUT_S) as link:
                if secure:
                    tls = ssl.create_default_context(
                        cafile=self._verify if isinstance(self._verify, str) else None
                    )
                    tls.wrap_socket(link, server_hostname=at.hostname).close()
        except (OSError, ValueError) as exc:
            raise _refused("alerts.webhook.url", self.place, exc) from None

    def _signed(self, body: bytes) -> dict[str, str]:
        if not self._secret:
            return {}
        made, at = f"msg_{uuid.uuid4().hex}", str(int(time.time()))
        key = self._secret
        raw = (
            base64.b64decode(key.removeprefix(_PREFIX)) if key.startswith(_PREFIX) else key.encode()
        )
        found = hmac.new(raw, f"{made}.{at}.".encode() + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(found).decode()}"
        return {"webhook-id": made, "webhook-timestamp": at, "webhook-signature": signature}


class Mail:
    """People, by a server that takes mail."""

    name = "mail"

    def __init__(self, settings: Settings) -> None:
        found = settings.alerts.mail
        self._settings = found
        self._password = reveal(found.password or "", "alerts.mail.password")
        host, _, port = found.server.rpartition(":")
        self._at = host.strip("[]"), int(port)
        ca_file = found.ca_file
        self._tls = ssl.create_default_context(
            cafile=None if ca_file is None else str(settings.resolve(ca_file))
        )
        self.place = found.server

    def send(self, news: News) -> None:
        """Implement `alerts.Receiver`."""
        message = EmailMessage()
        message["Subject"] = news.title
        message["From"] = self._settings.from_
        message["To"] = ", ".join(self._settings.to)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._settings.from_.partition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers
        message.set_content(news.text + "\n")
        try:
            with self._connected() as server:
                refused = server.send_message(message)
        except (OSError, smtplib.SMTPException) as exc:
            raise _refused("alerts.mail.server", self.place, exc) from exc
        if refused:  # of several, some: who was taken is told, the others are named
            raise errors.ReceiverUnavailable(
                f"{self.place} takes no mail for {', '.join(sorted(refused))}",
                where="alerts.mail.to",
                fix="correct the address",
            )

    def reach(self) -> None:
        """Log in and leave again.

        Raises:
            errors.ReceiverUnavailable: If it does not take us.
        """
        try:
            with self._connected() as server:
                server.noop()
        except (OSError, smtplib.SMTPException) as exc:
            raise _refused("alerts.mail.server", self.place, exc) from exc

    def _connected(self) -> smtplib.SMTP:
        host, port = self._at
        server: smtplib.SMTP
        if self._settings.security == "tls":
            server = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT_S, context=self._tls)
        else:
            server = smtplib.SMTP(host, port, timeout=_TIMEOUT_S)
            if self._settings.security == "starttls":
                server.starttls(context=self._tls)
        if self._settings.user is not None:
            server.login(self._settings.user, self._password)
        return server


class Heartbeat:
    """Asks an address every minute, for as long as the daemon lives.

    Args:
        settings: The site's.
        lives: Whether the main loop turns and every thread was heard of.
    """

    name = "heartbeat"
    every_s = _HEARTBEAT_S

    def __init__(self, settings: Settings, lives: Callable[[], bool]) -> None:
        self._url = reveal(settings.alerts.heartbeat, "alerts.heartbeat")
        self._lives = lives

    def run_once(self) -> bool:
        """Ask once, if there is something to say."""
        if self._lives():
            _asked("GET", self._url, "alerts.heartbeat")
        return False


def receivers(settings: Settings) -> Iterator[Webhook | Mail]:
    """Yield who is told.

    Raises:
        errors.SettingsError: If a credential is not there.
    """
    if settings.alerts.webhook.url:
        yield Webhook(settings)
    if settings.alerts.mail.to:
        yield Mail(settings)


def trial(instance: str) -> News:
    """Return an alert that says that it is none."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    alert = Alert(
        key="test",
        name="InsightsTest",
        severity="warning",
        summary="this is a test",
        description="Nothing is wrong: `insights alert test` was typed. Fix: none is needed.",
        since=now,
        runbook="docs/operations.md#alerts",
    )
    return News(instance, fired=[alert])


def _asked(method: str, url: str, where: str, *, verify: bool | str = True, **more: Any) -> None:  # noqa: ANN401
    with requests.Session() as session:
        session.trust_env = False  # no proxy, no password of a .netrc
        try:
            answer = session.request(
                method, url, timeout=_TIMEOUT_S, verify=verify, allow_redirects=False, **more
            )
        except (requests.RequestException, ValueError) as exc:
            raise _refused(where, _host(url), exc) from None
    if not answer.ok or answer.is_redirect:
        raise errors.ReceiverUnavailable(
            f"{_host(url)} answered {answer.status_code}",
            where=where,
            fix="correct the address, or ask whoever runs it",
        )


def _refused(where: str, place: str, exc: Exception) -> errors.ReceiverUnavailable:
    """Tell why, without what libraries quote: an address may be a secret."""
    code = getattr(exc, "smtp_code", None)
    what = f"{type(exc).__name__}" + (f" {code}" if code else "")
    return errors.ReceiverUnavailable(
        f"{place} takes no alerts: {what}", where=where, fix="start it, or correct `[alerts]`"
    )


def _host(url: str) -> str:
    return urlsplit(url).hostname or "it"


def _authority(settings: Settings, ca_file: Any) -> bool | str:  # noqa: ANN401 - a path or None
    return True if ca_file is None else str(settings.resolve(ca_file))
