"""What settings are made of: names, durations, and sections that know their keys."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)$")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


def seconds(text: str | float) -> float:
    """Return a duration such as `5s`, `2min`, `1h` or a number of seconds, in seconds."""
    if isinstance(text, int | float):
        return float(text)
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 500ms, 5s, 10min, 6h or 1d")
    return float(match.group(1)) * _UNIT_S[match.group(2)]


Duration = Annotated[float, BeforeValidator(seconds)]


_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LAST_PORT = 65_535


class Section(BaseModel):
    """A table of the settings; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def own_host(listen: str, *, port: int, others: str) -> str:
    """Return an address of this host alone as it is; "" is none.

    `port` is one to show, `others` says who comes from elsewhere, and how.

    Raises:
        ValueError: If it is none.
    """
    host, colon, found = listen.rpartition(":")
    known = host in _LOOPBACK and found.isdecimal() and int(found) <= _LAST_PORT
    if listen and not (colon and known):
        raise ValueError(
            f"{listen!r} is no address of this host alone; write it as 127.0.0.1:{port} or"
            f" [::1]:{port}, and let {others}"
        )
    return listen
