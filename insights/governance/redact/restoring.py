"""Which placeholders of an output may be restored where it is published. See `governance.seal`."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from insights.model import Json

PLACEHOLDER = re.compile(r"<(?P<kind>[^<>\s]+)_[1-9]\d*>")


def restorable(
    sealed: Mapping[str, str], output: Json | None, passages: Iterable[str]
) -> dict[str, str]:
    """Return the sealed values that an output may be restored with.

    Only what stands in it; and nothing that a passage shows too: documents number their
    placeholders by themselves, so that one name may stand for two values.
    """
    if not sealed or output is None:
        return {}
    said = set(_names(msgspec.json.encode(output).decode()))
    said.difference_update(name for text in passages for name in _names(text))
    return {name: value for name, value in sealed.items() if name in said}


def _names(text: str) -> list[str]:
    return [match[0] for match in PLACEHOLDER.finditer(text)]
