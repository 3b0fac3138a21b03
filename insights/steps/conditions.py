"""Conditions of JSON Schema, said in words that a grammar holds.

`not`, `if`, `dependentRequired` and looking ahead are written as alternatives, as properties that
cannot be there and as patterns of what is left, where that means the same. What cannot be written
so stays, and is refused by its place.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from insights.model import Json

_TYPES = ("string", "number", "boolean", "object", "array", "null")
_TOLD = {"$comment", "title", "description"}
_OF_IF = {"if", "then", "else", *_TOLD}
_DEPENDENT = ("dependentRequired", "dependentSchemas", "dependencies")
_ANY = r"[\s\S]"
_AHEAD = re.compile(r"(?:\^|\\A)?(?=\(\?[=!])")
_BLANK = re.compile(r"\\s\*\$")  # nothing but white space
_LITERAL = re.compile(r"(?P<text>(?:[\w :/@#,;&%=<>~!-]|\\[^\w\s])+)(?P<end>\.\*|\$)?")


def written(part: Json) -> Json:
    """Return a part whose conditions are alternatives and patterns, as far as they can be."""
    part = _beside(_ahead(part))
    for key, change in (
        ("not", _negated),
        ("oneOf", _exactly_one),
        ("dependentRequired", _dependent),
        ("dependentSchemas", _dependent),
        ("dependencies", _dependent),
        ("if", _chosen),
    ):
        if key in part:
            part = change(part, part[key])
    return part


def _with(part: Json, *more: Json) -> Json:
    return {**part, "allOf": [*part.get("allOf", ()), *more]} if more else part


# --- patterns -------------------------------------------------------------------------------------


def _ahead(part: Json) -> Json:
    """Take the groups that look ahead from a pattern's beginning: each is a pattern of its own.

    Not where a `|` follows: what stands behind it was looked at from nowhere.
    """
    pattern = part.get("pattern")
    begun = _AHEAD.match(pattern) if isinstance(pattern, str) else None
    if not isinstance(pattern, str) or begun is None or not begun[0]:
        return part
    rest, found = pattern[begun.end() :], []
    while rest.startswith(("(?=", "(?!")):
        end = _closing(rest)
        inner = rest[3 : end - 1]
        said = f"^(?:{inner})" if rest[2] == "=" else _otherwise(inner)
        if said is None:
            return part
        found.append(said)
        rest = rest[end:]
    if any(sign == "|" and depth == 0 for sign, depth, _ in _signs(rest)):
        return part
    whole = f"^{rest}" if rest else found.pop()
    return _with({**part, "pattern": whole}, *({"pattern": one} for one in found))


def _closing(pattern: str) -> int:
    """Return where the group ends that a pattern begins with."""
    ends = (end for sign, depth, end in _signs(pattern) if sign == ")" and depth == 0)
    return next(ends, len(pattern))


def _signs(pattern: str) -> Iterator[tuple[str, int, int]]:
    """Yield what groups and divides a pattern, how many groups it then is within, its end."""
    depth, inside = 0, False
    for match in re.finditer(r"\\.|[][()|]", pattern):
        sign = match[0]
        if sign in "[]":
            inside = sign == "["
        elif not inside and sign in "()|":
            depth += {"(": 1, ")": -1}.get(sign, 0)
            yield sign, depth, match.end()


def _otherwise(inner: str) -> str | None:
    """Return a pattern of the texts that do not begin as this says; None if it is too much."""
    if _BLANK.fullmatch(inner):
        return r"\S"
    inner = inner.removeprefix("^").removeprefix("(?:").removesuffix(")")
    words, ends = [], set()
    for one in inner.split("|"):
        found = _LITERAL.fullmatch(one)
        if found is None:
            return None
        words.append(re.sub(r"\\(.)", r"\1", found["text"]))
        ends.add(found["end"] == "$")
    if len(ends) > 1:
        return None
    return other_than(words, beginning=not ends.pop())


def other_than(words: Iterable[str], *, beginning: bool = False) -> str:
    """Return a pattern of all texts but these, or but those that begin with one of them."""
    return f"^(?:{_others(set(words), beginning=beginning)})$"


def _others(words: set[str], *, beginning: bool) -> str:
    first = sorted({word[0] for word in words if word})
    signs = "".join(f"\\{sign}" if sign in r"\]^-[" else sign for sign in first)
    ways = [f"[^{signs}]{_ANY}*" if first else f"{_ANY}+"]
    for sign in first:
        rest = {word[1:] for word in words if word.startswith(sign)}
        if not (beginning and "" in rest):
            ways.append(f"{re.escape(sign)}(?:{_others(rest, beginning=beginning)})")
    return "|".join(ways if "" in words else [*ways, ""])


def _beside(part: Json) -> Json:
    """Write the `if`s of an object that stand in its `allOf`, each by itself."""
    pieces = part.get("allOf")
    if not isinstance(pieces, list) or not _is_object(part):
        return part
    host = {"type": "object", "properties": part.get("properties", {})}
    made = []
    for piece in pieces:
        if isinstance(piece, dict) and "if" in piece and not set(piece) - _OF_IF:
            found = _chosen({**host, **piece}, piece["if"])
            made.append(piece if "if" in found else found["allOf"][0])
        else:
            made.append(piece)
    return {**part, "allOf": made}


def _is_object(part: Json) -> bool:
    return bool(part.get("type", "object" if "properties" in part else "") == "object")


# --- conditions -----------------------------------------------------------------------------------


def _without(name: str) -> Json:
    return {"properties": {name: False}}


def _negated(part: Json, said: Any) -> Json:  # noqa: ANN401 - JSON
    """Write what a part must not be: other values, or without properties."""
    if not isinstance(said, dict):
        return part
    said = {key: value for key, value in said.items() if key not in _TOLD}
    rest = {key: value for key, value in part.items() if key != "not"}
    if set(said) == {"anyOf"}:  # none of them
        return _with(rest, *({"not": one} for one in said["anyOf"]))
    if set(said) == {"type"}:
        return _other_types(rest, said["type"]) or part
    values = [said["const"]] if set(said) == {"const"} else said.get("enum")
    if values is not None and set(said) <= {"const", "enum", "type"}:
        return _other_values(rest, values) or part
    names = _required(said)
    if not names or ("type" in said and not _is_object(rest)):
        return part
    ways = [{"type": "object", **_without(name)} for name in names]
    return _with(rest, ways[0] if len(ways) == 1 else {"anyOf": ways})


def _exactly_one(part: Json, branches: list[Any]) -> Json:
    """Write that exactly one of several properties is there, or several sets of them."""
    asked = [_required(branch) if isinstance(branch, dict) else [] for branch in branches]
    if not all(asked) or not _is_object(part):
        return part
    rest = {key: value for key, value in part.items() if key != "oneOf"}
    ways = []
    for at, names in enumerate(asked):
        others = asked[:at] + asked[at + 1 :]
        but = [{"not": {"required": other}} for other in others]
        ways.append({"type": "object", "required": names, "allOf": but})
    return _with(rest, {"anyOf": ways})


def _other_types(part: Json, named: str | list[str]) -> Json | None:
    """Return a part without some types; None where none is left, or numbers that are not whole."""
    others = {named} if isinstance(named, str) else set(named)
    if "integer" in others and "number" not in others:
        return None
    mine = part.get("type", list(_TYPES))
    left = [name for name in ([mine] if isinstance(mine, str) else mine) if name not in others]
    if "number" in others:
        left = [name for name in left if name != "integer"]
    return {**part, "type": left[0] if len(left) == 1 else left} if left else None


def _required(said: Json) -> list[str]:
    """Return the properties that a condition asks for, if it asks for nothing else."""
    said = {key: value for key, value in said.items() if key not in _TOLD}
    if set(said) == {"allOf"}:
        found = [_required(one) if isinstance(one, dict) else [] for one in said["allOf"]]
        return [name for names in found for name in names] if all(found) else []
    asked: list[str] = said.get("required", [])
    free = all(value in (True, {}) for value in said.get("properties", {}).values())
    alone = set(said) <= {"required", "properties", "type"} and said.get("type", "object")
    return asked if free and alone == "object" else []


def _other_values(part: Json, values: list[Any]) -> Json | None:
    """Return a part without some of its values; None where what is left cannot be said."""
    if "enum" in part:
        left = [value for value in part["enum"] if not _among(value, values)]
        return {**part, "enum": left} if left else None
    if part.get("type") == "boolean" and all(isinstance(value, bool) for value in values):
        left = [value for value in (True, False) if value not in values]
        return {**part, "enum": left} if left else None
    if part.get("type") == "string":
        texts = [value for value in values if isinstance(value, str)]
        return _with(part, {"pattern": other_than(texts)}) if texts else part
    return None


def _among(value: Any, values: list[Any]) -> bool:  # noqa: ANN401 - JSON
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values)


def _dependent(part: Json, said: Json) -> Json:
    """Write what one property asks for, other properties or more: it is not there, or all holds."""
    if not _is_object(part):
        return part
    key = next(key for key in _DEPENDENT if part.get(key) is said)
    ways = []
    for name, asked in said.items():
        if not _may_have(part, name):
            continue
        here = {"type": "object", "required": [name]}
        if isinstance(asked, list):
            whole = {**here, "required": [name, *asked]}
        else:
            whole = _with(here, asked)
        if asked not in ([], {}, True):
            ways.append({"anyOf": [_without(name), whole]})
    return _with({name: value for name, value in part.items() if name != key}, *ways)


def _may_have(part: Json, name: str) -> bool:
    known = name in part.get("properties", {}) or "patternProperties" in part
    return known or part.get("additionalProperties") is not False


def _chosen(part: Json, said: Any) -> Json:  # noqa: ANN401 - JSON
    """Write `if` of a property's presence or value as two alternatives."""
    if not isinstance(said, dict) or not _is_object(part):
        return part
    rest = {key: value for key, value in part.items() if key not in ("if", "then", "else")}
    then, other = part.get("then", True), part.get("else", True)
    names = _required(said)
    if len(names) == 1:
        here: Json = {"type": "object", "required": names}
        return _with(rest, {"anyOf": [_with(here, then), _with(_without(names[0]), other)]})
    ways = _by_value(part, said)
    if ways is None:
        return part
    return _with(rest, {"anyOf": [_with(ways[0], then), _with(ways[1], other)]})


def _by_value(part: Json, said: Json) -> tuple[Json, Json] | None:
    """Return what `if` of one property's value means, and what it means that it does not hold."""
    told = said.get("properties", {})
    if len(told) != 1 or not set(said) <= {"properties", "required", "type"}:
        return None
    ((name, asked),) = told.items()
    own = part.get("properties", {}).get(name)
    if not isinstance(own, dict) or not isinstance(asked, dict):
        return None
    values = [asked["const"]] if "const" in asked else asked.get("enum")
    others = _other_values({k: v for k, v in own.items() if k in ("type", "enum")}, values or [])
    known = said.get("type", "object") == "object" and said.get("required", [name]) == [name]
    if not values or not known or others is None or set(asked) - {"const", "enum", "type"}:
        return None
    required = "required" in said
    return (
        {"properties": {name: {"enum": values}}, **({"required": [name]} if required else {})},
        {"properties": {name: others}, **({} if required else {"required": [name]})},
    )
