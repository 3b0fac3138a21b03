"""Which parts of a schema have a value at all: one that refers to itself needs a way to end."""

from collections.abc import Collection, Mapping
from typing import Any

from insights.model import Json


def endless(definitions: Mapping[str, Json]) -> frozenset[str]:
    """Return the names of definitions, in normal form, that no finite value satisfies."""
    ended: set[str] = set()
    while found := {
        name for name, part in definitions.items() if name not in ended and _ends(part, ended)
    }:
        ended |= found
    return frozenset(definitions.keys() - ended)


def _ends(part: Any, ended: Collection[str]) -> bool:  # noqa: ANN401 - JSON
    """Tell whether a part has a value of which each reference leads to something that ends."""
    if not isinstance(part, dict):
        return bool(part)
    if "$ref" in part and str(part["$ref"]).rpartition("/")[2] not in ended:
        return False
    for key in ("anyOf", "oneOf"):
        if key in part and not any(_ends(branch, ended) for branch in part[key]):
            return False
    needed: list[Any] = []
    if part.get("type") == "object":
        told = part.get("properties", {})
        needed = [told.get(name, True) for name in part.get("required", ())]
    elif part.get("type") == "array":
        first, least = part.get("prefixItems", []), part.get("minItems", 0)
        needed = [*first[:least], *[part.get("items", True)] * (least > len(first))]
    return all(_ends(inner, ended) for inner in needed)
