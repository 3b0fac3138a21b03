"""The root of an output schema: one object with properties, or a choice of such objects."""

from typing import Any

from insights import errors
from insights.model import Json
from insights.steps import choices


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


def bare(document: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a document without what `shaped` has written beside its alternatives.

    They say it all; merged with them, what one of them does not declare would be declared.
    """
    key = next((key for key in choices.CHOICES if key in document), "") if document else ""
    branches = document.get(key) if key else None
    if not isinstance(branches, list) or not all(map(_is_plain, branches)):
        return document
    if document.get("properties") != choices.summary(branches):
        return document
    beside = ("properties", "required", "type", "additionalProperties")
    return {name: value for name, value in document.items() if name not in beside}


def _is_plain(branch: Any) -> bool:  # noqa: ANN401 - JSON
    properties = branch.get("properties") if isinstance(branch, dict) else None
    return isinstance(properties, dict) and all(
        part is False or isinstance(part, dict) for part in properties.values()
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
