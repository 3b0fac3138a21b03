"""The root of an output schema: one object with properties, or a choice of such objects."""

from typing import Any

from insights import errors
from insights.model import Json
from insights.steps import choices

_BESIDE = ("properties", "required", "type", "additionalProperties")


def shaped(root: Json, where: str) -> Json:
    """Return a root in normal form as an object with properties, whatever shape it has.

    Raises:
        errors.SettingsError: If it is none, with the way out.
    """
    key = next((key for key in choices.CHOICES if key in root), None)
    if key is None:
        return _object(root, where)
    branches = root[key]
    for at, branch in enumerate(branches):
        if any(inner in branch for inner in choices.CHOICES):
            raise errors.SettingsError(
                "an alternative of the output is itself a choice whose alternatives overlap",
                where=f"{where} #/{key}/{at}",
                fix="use anyOf instead of oneOf, or a required constant that tells them apart",
            )
        if branch.get("type") != "object" or not branch.get("properties"):
            raise errors.SettingsError(
                "each alternative of the output must be an object with properties",
                where=f"{where} #/{key}/{at}",
                fix="remove the others; a row without a result abstains by itself",
            )
    shared = [set(branch.get("required", ())) for branch in branches]
    required = [n for n in branches[0].get("required", ()) if all(n in s for s in shared)]
    is_open = any(
        branch.get("additionalProperties", False) is not False or "patternProperties" in branch
        for branch in branches
    )
    return {
        **({"additionalProperties": True} if is_open else {}),
        **{name: value for name, value in root.items() if name != key},
        "type": "object",
        "properties": choices.summary(branches),
        **({"required": required} if required else {}),
        key: [{"additionalProperties": False, **branch} for branch in branches],
    }


def bare(document: Json) -> Json:
    """Return a document without what `shaped` has written beside its alternatives.

    They say it all; merged with them, what one of them does not declare would be declared.
    """
    key = next((key for key in choices.CHOICES if key in document), "")
    if not key or not all(map(_is_made, document[key])):
        return document
    made = shaped({key: document[key]}, "")
    if any(document.get(name) != made.get(name) for name in (*_BESIDE, key)):
        return document
    return {name: value for name, value in document.items() if name not in _BESIDE}


def _is_made(branch: Any) -> bool:  # noqa: ANN401 - JSON
    """Tell whether an alternative may be one that `shaped` made: those are closed by name."""
    if not isinstance(branch, dict) or branch.get("type") != "object":
        return False
    properties = branch.get("properties")
    return (
        "additionalProperties" in branch
        and isinstance(properties, dict)
        and bool(properties)
        and all(part is False or isinstance(part, dict) for part in properties.values())
        and not any(key in branch for key in choices.CHOICES)
    )


def _object(root: Json, where: str) -> Json:
    named = root.get("type", "object")
    types = {named} if isinstance(named, str) else set(named)
    if {"null", "object"} <= types:
        raise errors.SettingsError(
            "the output cannot be null",
            where=f"{where} #",
            fix="remove it: a row without a result abstains by itself",
        )
    if "object" in types and len(types) > 1:
        raise errors.SettingsError(
            "the output must be an object, and nothing else",
            where=f"{where} #",
            fix='write "type": "object"',
        )
    if "object" not in types or not root.get("properties"):
        what, into, inner = "the output must be an object with properties", "a list", "items"
        if "object" in types:
            what, into, inner = f"{what}: their names are open here", "such a map", "values"
        elif not types <= {"array", "null"}:
            into, inner = "a single value", "value"
        raise errors.SettingsError(
            what,
            where=f"{where} #",
            fix=f'list its "properties"; {into} goes into one: {{"type": "object", '
            f'"properties": {{"{inner}": …}}, "required": ["{inner}"]}}',
        )
    return root if "type" in root else {"type": "object", **root}
