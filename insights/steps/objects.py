"""Objects, their properties, and lists, as the normal form has them."""

from typing import Any

from insights.model import Json
from insights.steps import keywords
from insights.steps.choices import ASSERTIONS, CHOICES, NeverError, constants
from insights.steps.judging import matches

_NAMED = ("properties", "patternProperties", "$defs")
_VALUES = ("enum", "const", "default", "example", "examples")


def parted(part: Json) -> tuple[Json, Json]:
    """Return what a part tells people, and what it asserts (with what our own keywords say)."""
    told = {k: v for k, v in part.items() if k not in ASSERTIONS and k not in keywords.OURS}
    return told, {key: value for key, value in part.items() if key not in told}


def asserted(part: Json) -> Json:
    """Return what a part asserts in JSON Schema's own words."""
    return {key: part[key] for key in part.keys() & ASSERTIONS}


def closed(part: Json) -> Json:
    """Return a part without any property that is not declared, in each of its alternatives."""
    for key in CHOICES:
        if key in part:
            return {**part, key: [closed(branch) for branch in part[key]]}
    return {"additionalProperties": False, **part}


def with_tag(part: Json, name: str | None) -> Json:
    """Return a branch with the property that tells it from the others, which OpenAPI requires."""
    required = part.get("required", ())
    if name in part.get("properties", ()) and name not in required:
        return {**part, "required": [*required, name]}
    return part


def with_required(part: Json) -> Json:
    """Return an object that declares what it requires: any value, where nothing else is said."""
    extra = part.get("additionalProperties", {})
    lacking = [name for name in part.get("required", ()) if name not in part.get("properties", ())]
    if "properties" not in part or not lacking or extra is False or "patternProperties" in part:
        return part
    free = extra if isinstance(extra, dict) else {}
    return {**part, "properties": {**part["properties"], **dict.fromkeys(lacking, free)}}


def said_of(name: str, part: Json) -> Json:
    """Return what an object says of one property, declared or not.

    Raises:
        NeverError: If it cannot be there.
    """
    patterns = part.get("patternProperties", {})
    named = [inner for pattern, inner in patterns.items() if matches(pattern, name)]
    if name in part.get("properties", {}):
        found = part["properties"][name]  # the patterns stay beside it
    elif named:
        found = named[0] if len(named) == 1 else {"allOf": named}
    else:
        found = part.get("additionalProperties", True)
    if found is False:
        raise NeverError
    return {} if found is True else found


def allowed(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema without the properties that cannot be there, where that says the same.

    Objects are closed anyway, but those that say that others may be there too.
    """
    if isinstance(value, list):
        return [allowed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, inner in value.items():
        if key in _NAMED and isinstance(inner, dict):
            made[key] = {
                name: allowed(part)
                for name, part in inner.items()
                if part is not False or key != "properties" or _is_open(value, name)
            }
        else:
            made[key] = inner if key in _VALUES else allowed(inner)
    return made


def _is_open(part: Json, name: str) -> bool:
    """Tell whether an object may have a property that it does not name, but for being told not."""
    if part.get("additionalProperties", False) is not False:
        return True
    return any(matches(pattern, name) for pattern in part.get("patternProperties", ()))


def bounded(part: Json) -> Json:
    """Return a list that names nothing twice with as many items at most as there are values."""
    items = part.get("items")
    if "uniqueItems" not in part or "prefixItems" in part or not isinstance(items, dict):
        return part
    named = items.get("type", ())
    types = {named} if isinstance(named, str) else set(named)
    values = constants(items)
    if values is not None:
        most = len(values)
    elif "boolean" in types and types <= {"boolean", "null"}:
        most = 1 + len(types)
    else:
        return part
    if part.get("minItems", 0) > most:
        raise NeverError
    return {**part, "maxItems": min(most, part.get("maxItems", most))}
