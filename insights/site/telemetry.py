"""The settings of what the service tells of itself: traces, alerts, the status page."""

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from insights.site.models import is_loopback, refuse_open_way
from insights.site.values import Duration, Section, own_host, seconds

_ADDRESS = re.compile(r"[^\s@<>,;]+@[^\s@<>,;]+")


def _refuse_open(key: str, url: str, *, insecure: bool) -> None:
    if not url or url.startswith("${"):  # a credential: looked at when it is read
        return
    found = urlsplit(url)
    if found.username or found.password or found.query:
        raise ValueError(f'{key} holds a secret: make it a credential, as {key} = "${{alert_url}}"')
    refuse_open_way(url, "alerts", key=key, insecure=insecure)


class TracesSettings(Section):
    """`[traces]`: where spans of a share of the rows are sent, OTLP over HTTP; "" sends none."""

    endpoint: str = ""
    share: float = Field(default=0.01, ge=0, le=1)
    api_key: str | None = None
    insecure: bool = False
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _private(self) -> "TracesSettings":
        if self.endpoint:
            refuse_open_way(self.endpoint, "spans", key="endpoint", insecure=self.insecure)
        return self


class WebhookSettings(Section):
    """`[alerts.webhook]`: an address that takes alerts as JSON by POST; "" is none.

    `secret` signs what is sent, as the Standard Webhooks specification says.
    """

    url: str = ""
    secret: str | None = None
    insecure: bool = False
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _private(self) -> "WebhookSettings":
        _refuse_open("url", self.url, insecure=self.insecure)
        return self


class MailSettings(Section):
    """`[alerts.mail]`: whom to write to, and the server (host:port) that takes the mail."""

    to: tuple[str, ...] = ()
    from_: str = Field(default="", alias="from")
    server: str = "localhost:25"
    security: Literal["none", "starttls", "tls"] = "starttls"
    user: str | None = None
    password: str | None = None
    insecure: bool = False
    ca_file: Path | None = None

    @field_validator("to")
    @classmethod
    def _addresses(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for address in to:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"{address!r} is no mail address")
        return to

    @model_validator(mode="after")
    def _whole(self) -> "MailSettings":
        host, colon, port = self.server.rpartition(":")
        if not (colon and host and port.isdecimal()):
            raise ValueError("server is no address; write it as mail.example.com:587")
        if self.to and not _ADDRESS.fullmatch(self.from_):
            raise ValueError("from is no mail address, such as insights@example.com")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        open_way = self.security == "none" and not is_loopback(host) and not self.insecure
        if self.to and open_way:
            raise ValueError(
                "alerts would cross the network as plain text: use starttls or tls (ca_file names "
                "a private authority), or write insecure = true"
            )
        return self


class AlertsSettings(Section):
    """`[alerts]`: who is told when something is wrong, where no Prometheus does it.

    `heartbeat` is an address that is asked every minute while the daemon lives: who watches it
    tells that no daemon is there any more, which no daemon can.
    """

    webhook: WebhookSettings = WebhookSettings()
    mail: MailSettings = MailSettings()
    heartbeat: str = ""
    hold: Duration = Field(default=seconds("1min"), gt=0)
    digest: Duration = seconds("5min")
    repeat: Duration = seconds("24h")

    @field_validator("heartbeat")
    @classmethod
    def _private(cls, heartbeat: str) -> str:
        _refuse_open("heartbeat", heartbeat, insecure=False)
        return heartbeat


class PageSettings(Section):
    """`[page]`: where the status page is answered, on this host alone; "" answers nowhere.

    `names` are those that a proxy on this host lets browsers use, such as `insights.example.org`.
    """

    listen: str = ""
    names: tuple[str, ...] = ()

    @field_validator("listen")
    @classmethod
    def _own_host(cls, listen: str) -> str:
        return own_host(listen, port=9188, others="a proxy or `ssh -L` bring people to it")

    @field_validator("names")
    @classmethod
    def _lower(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in names)
