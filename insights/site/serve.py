"""`[serve]`: the HTTP door."""

from pydantic import Field, field_validator

from insights.site.values import Duration, Section, seconds

_LAST_PORT = 65_535
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class ServeSettings(Section):
    """`[serve]`: where requests are taken over HTTP, on this host alone; "" takes none.

    More than `most_waiting` rows of a pipeline are not accepted: clients are asked to come back
    after `retry_after`.
    """

    listen: str = ""
    body_mib: int = Field(default=8, ge=1, le=64)
    most_waiting: int = Field(default=10_000, ge=1, le=1_000_000)
    retry_after: Duration = Field(default=seconds("10s"), ge=1)
    longest_wait: Duration = Field(default=seconds("60s"), ge=0, le=600)

    @field_validator("listen")
    @classmethod
    def _own_host(cls, listen: str) -> str:
        host, colon, port = listen.rpartition(":")
        known = host in _LOOPBACK and port.isdecimal() and int(port) <= _LAST_PORT
        if listen and not (colon and known):
            raise ValueError(
                f"{listen!r} is no address of this host alone; write it as 127.0.0.1:9189 or"
                " [::1]:9189, and let a proxy with TLS bring clients to it"
            )
        return listen
