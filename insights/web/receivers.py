"""Sends alerts: as JSON to a webhook, as mail, and a heartbeat to whoever watches the daemon.

A webhook is signed as the Standard Webhooks specification says.
"""

import hashlib
import http.client
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import urlsplit

import msgspec

from insights import errors
from insights.ground.environment import reveal
from insights.service.alerts import Alert, News
from insights.site.settings import Settings
from insights.web import lines
from insights.web.signing import signed

_HEARTBEAT_S = 60.0
_TAKEN, _MOVED = 200, 300  # HTTP
_REFUSED = 400  # SMTP


class Webhook:
    """An address that takes alerts by POST.

    The body is `id`, `title`, `text` (all of it, for people: what chat programs show), `instance`,
    and the lists `fired`, `still` and `resolved` of alerts with their fields.
    """

    name = kept_as = "webhook"

    def __init__(self, settings: Settings) -> None:
        found = settings.alerts.webhook
        self._url = reveal(found.url, "alerts.webhook.url")
        self._secret = reveal(found.secret or "", "alerts.webhook.secret")
        self._tls = lines.trusting(settings, found.ca_file, "alerts.webhook")
        self.place = _host(self._url)

    def send(self, news: News) -> None:
        """Implement `alerts.Receiver`."""
        body = msgspec.json.encode(
            {
                "id": news.id,
                "title": news.title,
                "text": news.text,
                "instance": news.instance,
                "fired": news.fired,
                "resolved": news.resolved,
                "still": news.still,
            }
        )
        headers = {"content-type": "application/json", **self._signed(news.id, body)}
        _asked(self._url, "alerts.webhook.url", self._tls, body, headers)

    def reach(self) -> None:
        """Connect and leave again: nothing is sent, and so nothing is known of the address itself.

        Raises:
            errors.ReceiverUnavailable: If nobody is there, or not who should be.
        """
        try:
            with lines.connected(urlsplit(self._url), self._tls):
                pass
        except (OSError, ValueError) as exc:
            raise _refused("alerts.webhook.url", self.place, exc) from None

    def _signed(self, made: str, body: bytes) -> dict[str, str]:
        return signed(self._secret, made, body) if self._secret else {}


class Mail:
    """One person, by a server that takes mail.

    Each has a mail of its own: where one address is refused, the others are told once.

    Args:
        settings: The site's.
        nth: Which of `alerts.mail.to`, from 0. No address is in a name, which health shows.
    """

    def __init__(self, settings: Settings, nth: int = 0) -> None:
        found = settings.alerts.mail
        self._settings = found
        self._to = found.to[nth]
        self._password = reveal(found.password or "", "alerts.mail.password")
        host, _, port = found.server.rpartition(":")
        self._at = host.strip("[]"), int(port)
        self._tls = lines.trusting(settings, found.ca_file, "alerts.mail")
        self.name = "mail" if len(found.to) == 1 else f"mail {nth + 1}"
        whose = hashlib.blake2b(self._to.encode(), digest_size=8).hexdigest()
        self.kept_as = f"mail-{whose}"
        self.place = found.server

    def send(self, news: News) -> None:
        """Implement `alerts.Receiver`."""
        message = EmailMessage()
        message["Subject"] = news.title
        message["From"] = self._settings.from_
        message["To"] = self._to
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{news.id}@{self._settings.from_.partition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday answers
        message.set_content(news.text + "\n")
        with self._connected() as server:
            server.send_message(message)

    def reach(self) -> None:
        """Log in, ask whether mail for this address is taken, and leave again; nothing is sent.

        Raises:
            errors.ReceiverUnavailable: If it does not take us, or not this address.
        """
        with self._connected() as server:
            server.ehlo_or_helo_if_needed()
            code, said = server.mail(self._settings.from_)
            if code >= _REFUSED:
                raise smtplib.SMTPSenderRefused(code, said, self._settings.from_)
            code, said = server.rcpt(self._to)
            if code >= _REFUSED:
                raise smtplib.SMTPRecipientsRefused({self._to: (code, said)})
            server.rset()

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        host, port = self._at
        at_once = self._tls if self._settings.security == "tls" else None
        try:
            with lines.line(host, port, at_once) as way, closing(_Smtp(host, port, way)) as server:
                if self._settings.security == "starttls":
                    server.starttls(context=self._tls)
                if self._settings.user is not None:
                    server.login(self._settings.user, self._password)
                yield server
                with suppress(OSError, smtplib.SMTPException):  # what was taken is taken
                    server.quit()
        except smtplib.SMTPRecipientsRefused as exc:
            code, _ = exc.recipients[self._to]
            raise self._stranger(code) from None
        except (OSError, smtplib.SMTPException) as exc:
            raise _refused("alerts.mail.server", self.place, exc) from exc

    def _stranger(self, code: int) -> errors.ReceiverUnavailable:
        return errors.ReceiverUnavailable(
            f"{self.place} takes no mail for an address: {code}",
            where=f"alerts.mail.to, {self.name}",
            fix="correct the address",
        )


class _Smtp(smtplib.SMTP):
    """Speaks on a line that somebody else opened, and bounds."""

    def __init__(self, host: str, port: int, line: socket.socket) -> None:
        self._line = line
        super().__init__(host, port, timeout=lines.TIMEOUT_S)

    def _get_socket(self, *_: object) -> socket.socket:
        return self._line


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
        self._tls = ssl.create_default_context()
        self._lives = lives

    def run_once(self) -> bool:
        """Ask once, if there is something to say."""
        if self._lives():
            _asked(self._url, "alerts.heartbeat", self._tls)
        return False


def receivers(settings: Settings) -> Iterator[Webhook | Mail]:
    """Yield who is told.

    Raises:
        errors.SettingsError: If a credential is not there.
    """
    if settings.alerts.webhook.url:
        yield Webhook(settings)
    for nth in range(len(settings.alerts.mail.to)):
        yield Mail(settings, nth)


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


def _asked(
    url: str,
    where: str,
    tls: ssl.SSLContext,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Ask an address, with a body by POST; of the answer only the status is read."""
    try:
        status, _ = lines.asked(url, tls, body, headers)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise _refused(where, _host(url), exc) from None
    if not _TAKEN <= status < _MOVED:
        raise errors.ReceiverUnavailable(
            f"{_host(url)} answered {status}",
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
