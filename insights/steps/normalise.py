"""One normal form of JSON Schema, so that everybody who reads an output schema reads the same.

- References are written out; only recursive ones stay, as `#/$defs/<name>`.
- `allOf`, and what stands beside a reference or a choice, is merged: afterwards an object is closed
  as a whole, not in its parts. A choice is between whole objects.
- "or null" is one more type; a choice of constants is one `enum`.
- The root is an object with `properties`. Where it is a choice of objects, it has them all, and the
  choice beside them as `anyOf`.

A schema that is in this form already comes back as it is. Nothing is narrowed but by what
`docs/inference.md` says of all schemas; what cannot be held is refused by its place.
"""

import math
import re
from collections.abc import Callable
from functools import reduce
from typing import Any

from insights import errors
from insights.model import Json
from insights.steps import choices, finite, keywords, objects, pointers, roots
from insights.steps.choices import ASSERTIONS, CHOICES, NeverError

_LANGUAGE = "https://json-schema.org/draft/2020-12/schema"
_NO_OTHERS = {"additionalProperties": False}
_NUMBERS = {"number": r"^-?\d+(\.\d+)?$", "integer": r"^-?\d+$"}  # as names (Zod): their texts
_MOST_PARTS = 20_000  # written out: a grammar of more would not fit anyway
_MOST_BRANCHES = 64  # of choices multiplied with each other

# What a part says that is merged, written out or applied to the whole afterwards.
_ELSEWHERE = {"$ref", "allOf", *CHOICES, "$defs", "definitions", "unevaluatedProperties"}
_BOUNDS: dict[str, Callable[[Any, Any], Any]] = {
    "minimum": max, "exclusiveMinimum": max, "minLength": max, "minItems": max,
    "minProperties": max, "maximum": min, "exclusiveMaximum": min, "maxLength": min,
    "maxItems": min, "maxProperties": min,
}  # fmt: skip


def normalised(document: Any, where: str = "output schema") -> Json:  # noqa: ANN401 - JSON
    """Return an output schema in normal form.

    Args:
        document: JSON Schema of any draft, as people, Pydantic, Zod or OpenAPI tools write it.
        where: The file, for errors.

    Raises:
        errors.SettingsError: Naming the place in the schema and the way out.
    """
    keywords.valid(document, where)
    try:
        return _Normaliser(document, where).root()
    except RecursionError:
        raise errors.SettingsError(
            "refers to itself beside other conditions, without end",
            where=f"{where} #",
            fix="put what stands beside such a $ref into the part that it refers to",
        ) from None


class _Normaliser:
    def __init__(self, document: Any, where: str) -> None:  # noqa: ANN401 - JSON
        self._document = roots.bare(document) if isinstance(document, dict) else document
        self._where = where
        self._names: dict[str, str] = {}  # in $defs, by recursive reference
        self._recursive: dict[str, bool] = {}
        self._parts = 0

    def root(self) -> Json:
        try:
            root = self.part(self._document, "#")
            if "$ref" in root:
                root = self._written_out(root)
            root = roots.shaped(root, self._where)
            definitions = self._definitions()
        except NeverError as exc:
            raise self._refused(
                "no output can satisfy it", exc.place or "#", "remove one of the conditions"
            ) from None
        root = objects.allowed({"$defs": definitions, **root} if definitions else root)
        said = isinstance(self._document, dict) and "$schema" in self._document
        return {"$schema": _LANGUAGE, **root} if said else root

    def _definitions(self) -> Json:
        """Return what recursive references lead to, by their names."""
        made: Json = {}
        while left := [ref for ref, name in self._names.items() if name not in made]:
            for reference in left:  # more of them appear while these are made
                target, place = self._target(reference, "#")
                made[self._names[reference]] = {}
                made[self._names[reference]] = self.part(target, place)
        endless = finite.endless(made)
        for reference, name in self._names.items():
            if name in endless:
                raise self._refused(
                    "refers to itself without end: no output can satisfy it",
                    reference,
                    "let what it needs of itself be missing, null or an empty list",
                )
        return made

    # --- one part ------------------------------------------------------------------------------

    def part(self, schema: Any, place: str) -> Json:  # noqa: ANN401 - JSON
        """Return one part in normal form."""
        try:
            return self._part(schema, place)
        except NeverError as exc:
            exc.place = exc.place or place
            raise

    def _part(self, schema: Any, place: str) -> Json:  # noqa: ANN401 - JSON
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise self._refused("is too large", place, "name fewer alternatives and references")
        schema = self._schema(schema, place)
        if "propertyNames" in schema:
            schema = self._with_names(schema, place)
        found = keywords.modern(schema, place, self._where)
        pieces = [self._own(found, place)]
        if "$ref" in found:
            pieces.append(self._referred(found["$ref"], place))
        pieces += [
            self.part(piece, f"{place}/allOf/{at}")
            for at, piece in enumerate(found.get("allOf", ()))
        ]
        merged = reduce(self._merged, pieces)
        for key in CHOICES:
            if key in found:
                merged = self._choice(merged, key, found, place)
        if found.get("unevaluatedProperties") is False:
            merged = objects.closed(merged)
        if "properties" in merged and "type" not in merged:
            merged = {"type": "object", **merged}
        return objects.bounded(objects.with_required(merged))

    def _schema(self, schema: Any, place: str) -> Json:  # noqa: ANN401 - JSON
        if schema is True:
            return {}
        if (
            not isinstance(schema, dict) and schema is not False
        ):  # within words that a draft does not know
            raise self._refused("is no schema", place, "write an object")
        if schema is False or schema.get("not") in ({}, True):  # how Zod and others say "never"
            raise NeverError
        return schema

    def _with_names(self, schema: Json, place: str) -> Json:
        """Return an object whose properties have names of a list or a form, as those properties."""
        names = self.part(schema["propertyNames"], f"{place}/propertyNames")
        rest = {key: value for key, value in schema.items() if key != "propertyNames"}
        value = rest.pop("additionalProperties", {})
        if names.keys() & ASSERTIONS <= {"type"} and "string" in names.get("type", "string"):
            return {key: value for key, value in schema.items() if key != "propertyNames"}
        if "properties" in schema:
            return schema
        if (form := _NUMBERS.get(str(names.get("type")))) and names.keys() & ASSERTIONS == {"type"}:
            return {**rest, "patternProperties": {form: value}, **_NO_OTHERS}
        listed = choices.constants(names)
        if listed is not None:
            return {**rest, "properties": dict.fromkeys(map(str, listed), value), **_NO_OTHERS}
        if names.keys() & ASSERTIONS <= {"type", "pattern"} and "pattern" in names:
            return {**rest, "patternProperties": {names["pattern"]: value}, **_NO_OTHERS}
        return schema

    def _own(self, found: Json, place: str) -> Json:
        """Return what a part says itself, its subschemas in normal form, keys in their order."""
        own: Json = {}
        for key, value in found.items():
            if key in _ELSEWHERE:
                continue
            if key in ("items", "additionalProperties") and isinstance(value, dict | bool):
                own[key] = self._inner(value, f"{place}/{key}")
            elif key == "prefixItems":
                own[key] = [self.part(item, f"{place}/{key}/{at}") for at, item in enumerate(value)]
            elif key == "patternProperties":
                own[key] = {
                    name: self._inner(inner, f"{place}/{key}/{name}")
                    for name, inner in value.items()
                }
            elif key == "properties":
                own[key] = self._properties(found, place)
            else:
                own[key] = value
        return own

    def _inner(self, value: Any, place: str) -> Any:  # noqa: ANN401 - JSON
        if isinstance(value, bool):
            return value
        try:
            return self.part(value, place)
        except NeverError:
            return False

    def _properties(self, found: Json, place: str) -> Json:
        """Return the properties that a value can have; a required one that it cannot is nothing."""
        made: Json = {}
        for name, inner in found["properties"].items():
            try:
                made[name] = self.part(inner, f"{place}/properties/{name}")
            except NeverError:
                if name in found.get("required", ()):
                    if isinstance(inner, dict) and "not" in inner:
                        raise self._refused(
                            "is required, and nothing satisfies `not` of everything",
                            f"{place}/properties/{name}",
                            "say what it may be with enum, anyOf or a pattern",
                        ) from None
                    raise
                made[name] = False  # whatever it is merged with
        return made

    # --- references ----------------------------------------------------------------------------

    def _referred(self, reference: str, place: str) -> Json:
        target, target_place = self._target(reference, place)
        if not self._recurs(reference, target):
            return self.part(target, target_place)
        if reference not in self._names:
            name = re.sub(r"\W", "_", reference.rpartition("/")[2].strip("#")) or "root"
            while name in self._names.values():
                name += "_"
            self._names[reference] = name
        return {"$ref": f"#/$defs/{self._names[reference]}"}

    def _written_out(self, part: Json) -> Json:
        """Return a part with its recursive reference replaced by what that means, once."""
        target, place = self._target(self._reference(part), "#")
        rest = {key: value for key, value in part.items() if key != "$ref"}
        return self._merged(rest, self.part(target, place))

    def _recurs(self, reference: str, target: Any) -> bool:  # noqa: ANN401 - JSON
        """Return whether a reference leads to itself."""
        found = self._recursive.get(reference)
        if found is None:
            seen: set[str] = set()
            waiting = [target]
            while waiting:
                for inner in pointers.within(waiting.pop()):
                    if inner not in seen:
                        seen.add(inner)
                        waiting.append(self._target(inner, reference)[0])
            found = self._recursive[reference] = reference in seen
        return found

    def _target(self, reference: str, place: str) -> tuple[Any, str]:
        """Return what a reference within the document means, and its place."""
        try:
            return pointers.target(self._document, reference), reference
        except LookupError as exc:
            raise self._refused(str(exc.args[0]), place, str(exc.args[1])) from None

    # --- merging -------------------------------------------------------------------------------

    def _merged(self, first: Json, second: Json) -> Json:
        """Return what satisfies both; what people are told is the first's."""
        mine, others = (objects.asserted(one) for one in (first, second))
        if not mine or not others or mine == others:
            return {**second, **first}
        for one, other in ((first, second), (second, first)):
            for key in CHOICES:
                if key in one:
                    return self._distributed(one, other, key, first=one is first)
        for one, other in ((first, second), (second, first)):
            if "$ref" in one:
                whole = self._target(self._reference(one), "#")[0]
                said = other.keys() & ASSERTIONS
                if "nullable" not in whole and all(whole.get(key) == other[key] for key in said):
                    return {k: v for k, v in {**second, **first}.items() if k not in said}
                return self._merged(self._written_out(one), other)
        return self._both(first, second)

    def _distributed(self, one: Json, other: Json, key: str, *, first: bool) -> Json:
        """Return a choice of which each branch is merged with what stands beside it."""
        told, beside = objects.parted({name: value for name, value in one.items() if name != key})
        more, other = objects.parted(other)
        branches = []
        for branch in one[key]:
            try:
                whole = self._merged(beside, branch)
                sides = (whole, other) if first else (other, whole)
                branches.append(self._merged(*sides))
            except NeverError:
                continue
        if len(branches) > _MOST_BRANCHES:
            raise self._refused("has too many alternatives", "#", "name fewer")
        return {
            **choices.chosen(key, branches),
            **({**more, **told} if first else {**told, **more}),
        }

    def _both(self, first: Json, second: Json) -> Json:  # noqa: C901, PLR0912 - a case a keyword
        made = {**second, **first}
        left: Json = {}  # of the second, where one keyword cannot say both
        types = choices.types_of_both(first, second)
        if types is not None:
            made["type"] = types
        for key in first.keys() & second.keys():
            one, other = first[key], second[key]
            if one == other or key == "type":
                continue
            if key in _BOUNDS:
                made[key] = _BOUNDS[key](one, other)
            elif key == "required":
                made[key] = [*one, *(name for name in other if name not in one)]
            elif key == "multipleOf" and isinstance(one, int) and isinstance(other, int):
                made[key] = math.lcm(one, other)
            elif key == "items" and isinstance(one, dict) and isinstance(other, dict):
                made[key] = self._merged(one, other)
            elif key in ("pattern", "format", "multipleOf", "prefixItems", "items"):
                left[key] = other
        for one, other in ((first, second), (second, first)):
            if "prefixItems" in one and "prefixItems" not in other and "items" in other:
                left["items"] = other["items"]  # which is said of all of them
                made.pop("items")
                if "items" in one:
                    made["items"] = one["items"]
        if "properties" in first or "properties" in second:
            self._merge_properties(first, second, made)
        if "patternProperties" in first and "patternProperties" in second:
            made["patternProperties"] = {**second["patternProperties"]}
            for name, inner in first["patternProperties"].items():
                other = second["patternProperties"].get(name, True)
                made["patternProperties"][name] = self._merged_extra(inner, other)
        extra = [s["additionalProperties"] for s in (first, second) if "additionalProperties" in s]
        if len(extra) == 2 and extra[0] != extra[1]:  # noqa: PLR2004 - both say something
            made["additionalProperties"] = self._merged_extra(*extra)
        values = [choices.constants(one) for one in (first, second)]
        if values != [None, None]:
            choices.choose(made, *values)
        rest = [*first.get("allOf", ()), *second.get("allOf", ()), *([left] if left else [])]
        return {**made, "allOf": rest} if rest else made

    def _merge_properties(self, first: Json, second: Json, made: Json) -> None:
        """Merge properties: of one that only one side names, the other may still forbid it."""
        required = made.get("required", ())
        merged: Json = {}
        sides = (first.get("properties", {}), second.get("properties", {}))
        for name in dict.fromkeys((*sides[0], *sides[1])):
            try:
                mine, others = (objects.said_of(name, part) for part in (first, second))
                merged[name] = self._merged(mine, others)
            except NeverError:
                merged[name] = False
                told = [side[name] for side in sides if name in side]
                if name in required and (len(told) == 2 or False in told):  # noqa: PLR2004 - both
                    raise
                if name in required:
                    raise self._refused(
                        f"property {name!r} is required here and forbidden there",
                        "#",
                        'remove "additionalProperties": false from the parts: the whole is closed',
                    ) from None
        made["properties"] = merged

    def _merged_extra(self, one: Any, other: Any) -> Any:  # noqa: ANN401 - JSON
        if one is False or other is False:
            return False
        if one is True or other is True:
            return other if one is True else one
        try:
            return self._merged(one, other)
        except NeverError:
            return False

    # --- choices -------------------------------------------------------------------------------

    def _choice(self, base: Json, key: str, found: Json, place: str) -> Json:
        told = found.get("discriminator")
        tells = told.get("propertyName") if isinstance(told, dict) else None
        made = []
        for at, branch in enumerate(found[key]):
            try:
                made.append(objects.with_tag(self.part(branch, f"{place}/{key}/{at}"), tells))
            except NeverError:
                continue
        meant = [self._target(self._reference(o), "#")[0] if "$ref" in o else o for o in made]
        if key == "oneOf" and choices.apart(meant):
            key = "anyOf"
        return self._merged(base, choices.chosen(key, made)) if made else choices.never()

    def _reference(self, part: Json) -> str:
        """Return what a recursive reference in normal form was written as."""
        return next(r for r, n in self._names.items() if part["$ref"] == f"#/$defs/{n}")

    def _refused(self, what: str, place: str, fix: str) -> errors.SettingsError:
        return errors.SettingsError(what, where=f"{self._where} {place}", fix=fix)
