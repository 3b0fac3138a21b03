"""`[queue.<name>]`: a queue that requests are taken from."""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from insights.site.models import is_loopback
from insights.site.values import Name, Section

_SCHEMES = {"amqp": "amqp", "amqps": "amqp", "redis": "redis", "rediss": "redis"}
_SAFE = frozenset({"amqps", "rediss"})


class QueueSettings(Section):
    """`[queue.<name>]`: messages for one pipeline, and where outcomes go.

    `replies` is where outcomes go whose message names no place of its own; with `reply_to` a
    message may. `dead` takes what is no request. At most `prefetch` messages are unacknowledged.
    `ca_file` names a private authority, `client_cert` what a broker is shown (PEM, with its key).
    """

    url: str
    pipeline: Name
    queue: str = Field(min_length=1)
    replies: str | None = None
    reply_to: bool = True
    dead: str | None = None
    prefetch: int = Field(default=100, ge=1, le=10_000)
    insecure: bool = False
    ca_file: Path | None = None
    client_cert: Path | None = None

    @property
    def secured(self) -> bool:
        """Whether TLS is spoken."""
        return urlsplit(self.url).scheme in _SAFE

    @property
    def protocol(self) -> Literal["amqp", "redis"]:
        """What the broker speaks."""
        return "amqp" if _SCHEMES[urlsplit(self.url).scheme] == "amqp" else "redis"

    @model_validator(mode="after")
    def _private(self) -> "QueueSettings":
        found = urlsplit(self.url)
        if found.scheme not in _SCHEMES or not found.hostname:
            raise ValueError(
                "url is no address of a broker, such as amqps://insights:${amqp}@mq1/%2F or "
                "rediss://:${redis}@cache1:6380/0"
            )
        if found.scheme not in _SAFE and not is_loopback(found.hostname) and not self.insecure:
            raise ValueError(
                "requests would cross the network as plain text: use amqps or rediss, or write "
                "insecure = true"
            )
        if found.scheme not in _SAFE and (self.ca_file or self.client_cert):
            raise ValueError("ca_file and client_cert belong to amqps or rediss")
        return self
