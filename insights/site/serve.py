"""`[serve]`: the HTTP door."""

from typing import Annotated

from pydantic import Field, field_validator

from insights.site.values import Duration, Section, own_host, seconds


class ServeSettings(Section):
    """`[serve]`: where requests are taken over HTTP, on this host alone; "" takes none.

    More than `most_waiting` rows of a pipeline are not accepted: clients are asked to come back
    after `retry_after`. A client sends a pipeline at most `rows_per_minute` (None: as many as it
    likes), or what `rates` says of its name.
    """

    listen: str = ""
    body_mib: int = Field(default=8, ge=1, le=64)
    most_waiting: int = Field(default=10_000, ge=1, le=1_000_000)
    retry_after: Duration = Field(default=seconds("10s"), ge=1)
    rows_per_minute: int | None = Field(default=None, ge=1)
    rates: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    longest_wait: Duration = Field(default=seconds("60s"), ge=0, le=600)

    @field_validator("listen")
    @classmethod
    def _own_host(cls, listen: str) -> str:
        return own_host(listen, port=9189, others="a proxy with TLS bring clients to it")
