"""What an output schema says, for everybody who reads one: grammar, validation, DDL and views.

All of them read the normal form that `steps.normalise` makes: references written out, `allOf`
merged, "or null" as one more type, a choice of constants as one `enum`, a root with `properties`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
from jsonschema.protocols import Validator

from insights.model import Json
from insights.steps.judging import JUDGE
from insights.steps.normalise import normalised

QUOTE = "x-quote"
WORDS = "x-quote-words"
UNIT = "x-quote-unit"
KIND = "x-quote-pattern"  # of sentences: what each must match
SUPPORT = "x-min-support"  # 0 to 1, of each sentence of a field
HEADING = "x-quote-heading"  # of passages: what their title must match
CITED = "cited_passages"

Kind = Literal["integer", "number", "boolean", "date", "enum", "text", "json"]
_KINDS: dict[str, Kind] = {
    "integer": "integer", "number": "number", "boolean": "boolean", "array": "json",
    "object": "json",
}  # fmt: skip

_SUBSCHEMA = ("items", "additionalProperties")
_SUBSCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_LARGEST = 2**53  # integers without bounds: what JSON readers hold exactly
_CACHED = 64  # schemas: one a pipeline
_SHORT = 200  # characters: outputs of choices and numbers, which come again
_KEPT = 1_024


_made: dict[bytes, None] = {}  # normal forms, which are their own


def made_normal(document: Any, where: str) -> Json:  # noqa: ANN401 - JSON
    """Return a schema's normal form, and remember that it is one: large ones take seconds.

    Raises:
        errors.SettingsError: Naming the place in the schema.
    """
    form = normalised(document, where)
    _made[msgspec.json.encode(form)] = None
    if len(_made) > _CACHED:
        del _made[next(iter(_made))]
    return form


@lru_cache(maxsize=_CACHED)
def _normal(raw: bytes) -> Json:
    form: Json = msgspec.json.decode(raw)
    return form if raw in _made else normalised(form)


def normal(schema: Json) -> Json:
    """Return a schema's normal form; remembered, since all rows of a pipeline have the same.

    Raises:
        errors.SettingsError: Naming the place in the schema.
    """
    return _normal(msgspec.json.encode(schema))


def columns(schema: Json) -> dict[str, Json]:
    """Return the output's properties, by name: what a sink and a view have columns for."""
    found: dict[str, Any] = normal(schema)["properties"] if schema else {}
    return {name: part for name, part in found.items() if part is not False}


@lru_cache(maxsize=_CACHED)
def _validator(raw: bytes) -> Validator:
    return JUDGE(closed(_normal(raw)))


def validator(schema: Json) -> Validator:
    """Return a validator of outputs: objects have no other properties than are declared."""
    return _validator(msgspec.json.encode(schema))


class _Judge:
    """Tells what of an output breaks a schema; remembers it of short ones."""

    def __init__(self, raw: bytes) -> None:
        self._validator = _validator(raw)
        self._kept: dict[str, str] = {}

    def broken(self, output: Json, made_of: str) -> str:
        if len(made_of) > _SHORT:
            return self._found(output)
        found = self._kept.get(made_of)
        if found is None:
            found = self._found(output)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[made_of] = found
        return found

    def _found(self, output: Json) -> str:
        problem = next(iter(self._validator.iter_errors(output)), None)
        if problem is None:
            return ""
        at = "/".join(str(part) for part in problem.absolute_path) or "top level"
        return f"{at}: {problem.validator}"


_judge = lru_cache(maxsize=_CACHED)(_Judge)


def broken(schema: Json, output: Json, made_of: str) -> str:
    """Return where an output breaks its schema, and by what; empty where it does not.

    Args:
        schema: The schema.
        output: The output.
        made_of: The text of which, with this schema, nothing but this output is made.
    """
    return _judge(msgspec.json.encode(schema)).broken(output, made_of)


def walk(schema: Any, place: str = "#") -> Iterator[tuple[str, Json]]:  # noqa: ANN401 - JSON
    """Yield every subschema with its JSON pointer, the schema itself first."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for inner, part in parts(schema):
        yield from walk(part, f"{place}{inner[1:]}")


def parts(schema: Json) -> Iterator[tuple[str, Json]]:
    """Yield the subschemas that a schema names itself, with their JSON pointers in it."""
    for key in _SUBSCHEMA:
        if isinstance(part := schema.get(key), dict):
            yield f"#/{key}", part
    for key in _SUBSCHEMAS:
        for at, part in enumerate(schema.get(key) or ()):
            if isinstance(part, dict):
                yield f"#/{key}/{at}", part
    for key in _NAMED:
        for name, part in (schema.get(key) or {}).items():
            if isinstance(part, dict):
                yield f"#/{key}/{name}", part


def types(part: Json) -> frozenset[str]:
    """Return the JSON types that a part names; empty where it names none."""
    named = part.get("type", ())
    return frozenset((named,) if isinstance(named, str) else named)


def nullable(part: Json) -> bool:
    """Return whether a part may be null by name."""
    return "null" in types(part)


def alternatives(part: Json) -> tuple[Json, ...]:
    """Return the branches of a part that is a choice; empty for any other."""
    return tuple(part.get("anyOf") or part.get("oneOf") or ())


def choice(part: Json) -> str:
    """Return by which keyword a part that is a choice names its branches."""
    return "oneOf" if part.get("oneOf") else "anyOf"


def kind(part: Json) -> Kind:
    """Return what a property holds; "may be null" changes nothing, arrays and objects are json."""
    if "$ref" in part:  # a recursive one: each of its rounds is within an object or a list
        return "json"
    if branches := alternatives(part):
        return _of_branches({kind(branch) for branch in branches if types(branch) != {"null"}})
    choices = part.get("enum", [part["const"]] if "const" in part else None)
    if choices is not None and all(choice is None or isinstance(choice, str) for choice in choices):
        return "enum"
    named = types(part) - {"null"}
    if named == {"string"} and part.get("format") == "date":
        return "date"
    return _of_branches({_KINDS.get(name, "text") for name in named})


def _of_branches(kinds: set[Kind]) -> Kind:
    if kinds == {"integer", "number"}:
        return "number"
    if len(kinds) == 1 and kinds != {"enum"}:
        return kinds.pop()
    return "json" if "json" in kinds else "text"


def parts_for(value: object, part: Json, root: Json) -> list[Json]:
    """Return what of a schema speaks of this value: the branches of a choice that it satisfies."""
    if "$ref" in part:
        name = str(part["$ref"]).rpartition("/")[2]
        return parts_for(value, root["$defs"][name], root)
    branches = alternatives(part)
    if not branches:
        return [part]
    found: list[Json] = []
    for branch in branches:
        whole = {"$defs": root.get("$defs", {}), **closed(branch)}
        if JUDGE(whole).is_valid(value):
            found += parts_for(value, branch, root)
    return found


def property_of(parts: Sequence[Json], name: str) -> Json:
    """Return what is said of a property; of an undeclared one, that it is free text."""
    for part in parts:
        if name in part.get("properties", {}):
            found: Json = part["properties"][name] or {}  # False: it cannot be there
            return found
    extra = next((part.get("additionalProperties") for part in parts), None)
    return extra if isinstance(extra, dict) else {}


def item_of(parts: Sequence[Json], at: int) -> Json:
    """Return what is said of a list's item."""
    for part in parts:
        items = [*part.get("prefixItems", ())]
        found = items[at] if at < len(items) else part.get("items")
        if isinstance(found, dict):
            return found
    return {}


def part_at(output: Json, schema: Json, pointer: str) -> Json:
    """Return what a schema says of the value at a pointer of an output; empty: nothing."""
    root = normal(schema)
    part: Json = root
    value: Any = output
    for name in pointer.split("/")[1:]:
        parts = parts_for(value, part, root)
        if isinstance(value, list):
            part, value = item_of(parts, int(name)), value[int(name)]
        else:
            part, value = property_of(parts, name), value.get(name)
    found = parts_for(value, part, root)
    return found[0] if found else part


def closed(schema: Json) -> Json:
    """Return the schema as generated: integers bounded, objects without undeclared properties."""
    return rewritten(schema, _bounded)


def generable(schema: Json) -> Json:
    """Return the schema without what no grammar can hold: that a list names nothing twice.

    What repeats all the same is taken out of the output before it is judged: `steps.repeats`.
    """
    return rewritten(schema, lambda part: {k: v for k, v in part.items() if k != "uniqueItems"})


def rewritten(schema: Json, change: Callable[[Json], Json]) -> Json:
    """Return a schema with a change made to each of its parts."""
    return {key: _inner(key, value, change) for key, value in change(schema).items()}


def _bounded(part: Json) -> Json:
    part = dict(part)
    if "integer" in types(part) and "number" not in types(part) and "enum" not in part:
        if "minimum" not in part and "exclusiveMinimum" not in part:
            part["minimum"] = -_LARGEST
        if "maximum" not in part and "exclusiveMaximum" not in part:
            part["maximum"] = _LARGEST
    if "properties" in part:
        part.setdefault("additionalProperties", False)
    return part


def _inner(key: str, value: Any, change: Callable[[Json], Json]) -> Any:  # noqa: ANN401 - JSON
    if key in _SUBSCHEMA:
        return _changed(value, change)
    if key in _SUBSCHEMAS:
        return [_changed(part, change) for part in value]
    if key in _NAMED:
        return {name: _changed(part, change) for name, part in value.items()}
    return value


def _changed(part: Any, change: Callable[[Json], Json]) -> Any:  # noqa: ANN401 - JSON
    return rewritten(part, change) if isinstance(part, dict) else part
