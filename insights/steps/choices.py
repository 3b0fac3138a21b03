"""Choices between forms of a value, and constants: in their simplest form, and both of two."""

import itertools
from typing import Any

from insights.model import Json
from insights.steps import keywords

ASSERTIONS = keywords.HELD - {"$defs", "definitions"}
CHOICES = ("anyOf", "oneOf")
_CHOSEN = frozenset({"enum", "const", "type"})
_TYPES: tuple[tuple[type, str], ...] = (  # bool is an int to Python: it comes first
    (type(None), "null"), (bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"),
    (list, "array"), (dict, "object"),
)  # fmt: skip


class NeverError(Exception):
    """A part that no value satisfies; `place` is that of the innermost."""

    place: str = ""


def never() -> Json:
    """Say that no value satisfies a part."""
    raise NeverError


def chosen(key: str, branches: list[Json]) -> Json:
    """Return a choice in its simplest form."""
    if key == "oneOf" and apart(branches):
        key = "anyOf"
    flat: list[Json] = []
    for branch in branches:
        inner = branch.get("anyOf") if key == "anyOf" else None
        if inner is not None and not (branch.keys() - {"anyOf"}) & ASSERTIONS:
            flat += inner
        elif key == "oneOf" or branch not in flat:
            flat.append(branch)
    if not flat:
        raise NeverError
    if len(flat) == 1:
        return flat[0]
    nulls = [branch for branch in flat if branch.get("type") == "null"]
    others = [branch for branch in flat if branch.get("type") != "null"]
    if others and all(
        (branch.keys() & ASSERTIONS) <= _CHOSEN and constants(branch) for branch in others
    ):
        others = [_enumerated(_united(key, others), others)]
        if not nulls:
            return others[0]
    if len(others) == 1 and nulls and not (key == "oneOf" and "null" in others[0].get("type", ())):
        return _or_null(others[0], key, nulls[0])
    return {key: flat}


def summary(branches: list[Json]) -> Json:
    """Return all properties of alternatives, each as what it may be in any of them."""
    found: dict[str, list[Json]] = {}
    for branch in branches:
        for name, part in branch["properties"].items():
            if part is False:  # in this branch it cannot be there
                continue
            forms = found.setdefault(name, [])
            if part not in forms:
                forms.append(part)
    return {
        name: forms[0] if len(forms) == 1 else chosen("anyOf", forms)
        for name, forms in found.items()
    }


def _is_enumeration(part: Json) -> bool:
    return (part.keys() & ASSERTIONS) <= _CHOSEN and bool(constants(part))


def _united(key: str, branches: list[Json]) -> list[Any]:
    """Return the constants of all branches; with `oneOf` those that only one of them has."""
    found: list[Any] = []
    twice: list[Any] = []
    for branch in branches:
        for value in constants(branch) or ():
            (twice if _among(value, found) else found).append(value)
    if key == "oneOf":
        found = [value for value in found if not _among(value, twice)]
    if not found:
        raise NeverError
    return found


def _enumerated(values: list[Any], branches: list[Json]) -> Json:
    types = {str(branch["type"]) for branch in branches if "type" in branch}
    told = {k: v for branch in branches[:1] for k, v in branch.items() if k not in _CHOSEN}
    if len(branches) > 1:  # what was said of one constant is not said of all
        told = {}
    if all("type" in branch for branch in branches) and len(types) == 1:
        told["type"] = branches[0]["type"]
    return {**told, "enum": values}


def _or_null(part: Json, key: str, null: Json) -> Json:
    """Return a part that may also be null."""
    if any(choice in part for choice in (*CHOICES, "$ref", "allOf")):
        return {key: [part, null]}
    made = dict(part)
    values = constants(part)
    if values is not None:
        made.pop("const", None)
        made["enum"] = values if None in values else [*values, None]
    if "type" in part:
        named = part["type"]
        types = [named] if isinstance(named, str) else list(named)
        made["type"] = types if "null" in types else [*types, "null"]
    return made


def _kinds(part: Json) -> set[str]:
    """Return the JSON types of a part's values, whole numbers as numbers; empty if any may be."""
    if part.get("nullable"):
        return set()
    values = constants(part)
    if values is not None and "type" not in part:
        found = {_named(value) for value in values}
    else:
        named = part.get("type", "object" if "properties" in part else ())
        found = {named} if isinstance(named, str) else set(named)
    return {"number" if name == "integer" else name for name in found}


def apart(branches: list[Json]) -> bool:
    """Tell whether alternatives exclude each other: by their types, or by a required constant.

    A recursive one is given as it is written, not yet in normal form.
    """
    return all(_apart(one, other) for one, other in itertools.combinations(branches, 2))


def _apart(one: Json, other: Json) -> bool:
    types = _kinds(one), _kinds(other)
    if all(types) and not types[0] & types[1]:
        return True
    if types != ({"object"}, {"object"}):
        return False
    for name in {*one.get("required", ())} & {*other.get("required", ())}:
        told = [part.get("properties", {}).get(name) for part in (one, other)]
        mine, others = (constants(part) if isinstance(part, dict) else None for part in told)
        if mine and others and not any(_among(value, others) for value in mine):
            return True
    return False


def constants(part: Json) -> list[Any] | None:
    """Return the values that a part names one by one; None where it does not."""
    if "const" in part:
        return [part["const"]]
    return part.get("enum") if "enum" in part else [None] if part.get("type") == "null" else None


def fitting(part: Json) -> list[Any]:
    """Return those of a part's constants that are of its type."""
    named = part["type"]
    types = {named} if isinstance(named, str) else set(named)
    return [value for value in constants(part) or () if _is_of(value, types)]


def choose(made: Json, one: list[Any] | None, other: list[Any] | None) -> None:
    """Set the values that both sides allow, and that are of a type they allow."""
    values = one if other is None else other if one is None else None
    if values is None:
        values = [value for value in one or () if _among(value, other or [])]
    named = made.get("type")
    if named is not None:
        types = {named} if isinstance(named, str) else set(named)
        values = [value for value in values if _is_of(value, types)]
    if not values:
        raise NeverError
    if made.get("type") == "null":
        return
    if "const" in made and len(values) == 1:
        made["const"] = values[0]
        made.pop("enum", None)
    else:
        made.pop("const", None)
        made["enum"] = values


def _among(value: Any, values: list[Any]) -> bool:  # noqa: ANN401 - JSON
    """Return whether a value is one of these; true is not 1."""
    return any(
        value == other and isinstance(value, bool) == isinstance(other, bool) for other in values
    )


def _named(value: Any) -> str:  # noqa: ANN401 - JSON
    return next(name for kind, name in _TYPES if isinstance(value, kind))


def _is_of(value: Any, types: set[str]) -> bool:  # noqa: ANN401 - JSON
    if isinstance(value, float) and value.is_integer():
        return bool(types & {"integer", "number"})
    named = _named(value)
    return named in types or (named == "integer" and "number" in types)


def types_of_both(first: Json, second: Json) -> str | list[str] | None:
    """Return the types that both allow; None if neither names any."""
    named = [part["type"] for part in (first, second) if "type" in part]
    if not named:
        return None
    listed = [[types] if isinstance(types, str) else list(types) for types in named]
    if len(listed) == 1 or listed[0] == listed[1]:
        return named[0]  # type: ignore[no-any-return]
    shared = []
    for name in listed[0]:
        if name in listed[1] or (name == "integer" and "number" in listed[1]):
            shared.append(name)
        elif name == "number" and "integer" in listed[1]:
            shared.append("integer")
    if not shared:
        raise NeverError
    return shared[0] if len(shared) == 1 else shared
