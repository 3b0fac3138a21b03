"""`[webhook.<name>]`: an address that outcomes of requests are posted to."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from insights.site.models import refuse_open_way
from insights.site.values import Duration, Name, Section, seconds


class OutcomeWebhookSettings(Section):
    """`[webhook.<name>]`: who is told outcomes over HTTP, signed with `secret`.

    Those of all requests that the HTTP door takes for `pipeline`, and of those that ask for it: by
    its name, or by an address that has the scheme, host and port of `url`. A host that is called
    by a name must have a public address, or one in `networks`. A delivery has `timeout` in all.
    """

    url: str
    secret: str
    pipeline: Name | None = None
    networks: tuple[str, ...] = ()
    timeout: Duration = Field(default=seconds("10s"), ge=0.5, le=30)
    insecure: bool = False
    ca_file: Path | None = None

    @field_validator("secret")
    @classmethod
    def _credential(cls, secret: str) -> str:
        if not (secret.startswith("${") and secret.endswith("}")):
            raise ValueError("a key stands in the settings file: write ${desk_webhook}")
        return secret

    @field_validator("networks")
    @classmethod
    def _known(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is no network, such as 10.1.0.0/16") from None
        return networks

    @model_validator(mode="after")
    def _private(self) -> "OutcomeWebhookSettings":
        refuse_open_way(self.url, "outcomes", insecure=self.insecure)
        return self

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port of its address."""
        return origin(self.url)


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an http or https address.

    Raises:
        ValueError: If it is none.
    """
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise ValueError("no http or https address")
    return found.scheme, found.hostname, found.port or (443 if found.scheme == "https" else 80)
