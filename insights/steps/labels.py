"""What people decided about a row, as an output would say it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from insights.model import Json
from insights.steps.choices import constants
from insights.steps.schema import columns, kind

_BOOLEANS = dict.fromkeys(("true", "yes", "1", "t", "y"), True) | dict.fromkeys(
    ("false", "no", "0", "f", "n"), False
)


def decided(schema: Json, labels: Mapping[str, str]) -> Json | None:
    """Return labels as properties of an output; None where the schema does not allow one of them.

    A value of an enumeration may be written in other letters or with spaces around it.

    Args:
        schema: The output schema.
        labels: What a labelled row says, by property.
    """
    parts = columns(schema)
    output: Json = {}
    for name, text in labels.items():
        value = _typed(parts.get(name, {}), text.strip())
        if value is None:
            return None
        output[name] = value
    return output


def _typed(part: Json, text: str) -> Any:  # noqa: ANN401 - JSON
    """Return a label as its property's type has it; None where it is not of it."""
    allowed = constants(part)
    if allowed is not None:
        same = [one for one in allowed if one is not None and _said(one) == text.casefold()]
        return text if text in allowed else same[0] if len(same) == 1 else None
    reads: dict[str, Callable[[str], Any]] = {
        "integer": _integer,
        "number": _number,
        "boolean": boolean,
        "json": _nothing,
    }
    return reads.get(kind(part), _text)(text)


def _said(value: object) -> str:
    return str(value).strip().casefold()


def _integer(text: str) -> int | None:
    return int(text) if text.removeprefix("-").isdecimal() else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def boolean(text: str) -> bool | None:
    """Return what a column says that holds yes or no; None where it says neither."""
    return _BOOLEANS.get(text.casefold())


def _text(text: str) -> str | None:
    return text or None


def _nothing(text: str) -> None:
    del text
