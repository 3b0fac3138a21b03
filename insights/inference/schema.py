"""Which output schemas can be generated, and what of them needs a grammar of our own.

llguidance ignores keywords it does not know, in silence: whatever is not in the lists here is
refused at start-up, by its place in the schema, instead of being promised and not held.
"""

from collections.abc import Iterator
from typing import Any

import jsonschema

from insights import errors
from insights.model import Json

QUOTE = "x-quote"
WORDS = "x-quote-words"
UNIT = "x-quote-unit"
CITED = "cited_passages"
MAX_WORDS = 60  # of a quote; a longer one is a copy; `x-quote-words` changes it

_ENFORCED = {
    "type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems",
    "maxItems", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions",
    "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", QUOTE, WORDS, UNIT,
}  # fmt: skip
_ANNOTATIONS = {
    "title", "description", "default", "examples", "$comment", "$schema", "$id", "deprecated",
    "readOnly", "writeOnly",
}  # fmt: skip
_SUBSCHEMA = ("items", "additionalProperties")
_SUBSCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions")
_LARGEST = 2**53  # integers without bounds: what JSON readers hold exactly


def walk(schema: Any, place: str = "#") -> Iterator[tuple[str, Json]]:  # noqa: ANN401 - JSON
    """Yield every subschema with its JSON pointer, the schema itself first."""
    if not isinstance(schema, dict):
        return
    yield place, schema
    for key in _SUBSCHEMA:
        yield from walk(schema.get(key), f"{place}/{key}")
    for key in _SUBSCHEMAS:
        for at, part in enumerate(schema.get(key) or ()):
            yield from walk(part, f"{place}/{key}/{at}")
    for key in _NAMED:
        for name, part in (schema.get(key) or {}).items():
            yield from walk(part, f"{place}/{key}/{name}")


def has_quotes(schema: Json) -> bool:
    """Return whether any part of a schema is a quote field."""
    return any(QUOTE in part for _, part in walk(schema))


def closed(schema: Json) -> Json:
    """Return the schema as generated: integers bounded, objects without undeclared properties."""
    return {key: _closed(key, value) for key, value in _bounded(schema).items()}


def _bounded(part: Json) -> Json:
    part = dict(part)
    if part.get("type") == "integer" and "enum" not in part and "const" not in part:
        if "minimum" not in part and "exclusiveMinimum" not in part:
            part["minimum"] = -_LARGEST
        if "maximum" not in part and "exclusiveMaximum" not in part:
            part["maximum"] = _LARGEST
    if "properties" in part:
        part.setdefault("additionalProperties", False)
    return part


def _closed(key: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    if key in _SUBSCHEMA and isinstance(value, dict):
        return closed(value)
    if key in _SUBSCHEMAS:
        return [closed(part) if isinstance(part, dict) else part for part in value]
    if key in _NAMED:
        return {n: closed(part) if isinstance(part, dict) else part for n, part in value.items()}
    return value


def refuse_unsupported(schema: Json, where: str) -> None:
    """Refuse a schema that is invalid, or that says something generation would not hold.

    Raises:
        errors.SettingsError: Naming the place in the schema.
    """
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as exc:
        place = "/".join(str(part) for part in exc.absolute_path)
        raise errors.SettingsError(
            f"is not valid JSON Schema at #/{place}: {exc.message}", where=where
        ) from exc
    if schema.get("type") != "object" or not schema.get("properties"):
        raise errors.SettingsError(
            "the output must be an object with properties",
            where=f"{where} #",
            fix='set "type": "object" and list its "properties"',
        )
    for place, part in walk(schema):
        _refuse_keywords(part, place, where)
        if QUOTE in part:
            _refuse_quote(part, place, where)
    _refuse_unreachable_quotes(schema, where)


def _refuse_keywords(part: Json, place: str, where: str) -> None:
    cited = place == f"#/properties/{CITED}"
    for key in part:
        if key in _ENFORCED or key in _ANNOTATIONS or (cited and key == "uniqueItems"):
            continue
        raise errors.SettingsError(
            f"`{key}` cannot be enforced while generating",
            where=f"{where} {place}",
            fix="remove it, or say the same with enum, const, anyOf, bounds or a pattern",
        )


def _refuse_quote(part: Json, place: str, where: str) -> None:
    source = part[QUOTE]
    if source != "passages" and not (isinstance(source, str) and source.startswith("row.")):
        raise errors.SettingsError(
            f"`{QUOTE}` is {source!r}",
            where=f"{where} {place}",
            fix='set it to "passages" or "row.<column>"',
        )
    if part.get("type") not in ("string", ["string", "null"]):
        raise errors.SettingsError(
            "a quote field must be a string",
            where=f"{where} {place}",
            fix='set "type" to "string", or to ["string", "null"] if it may be missing',
        )
    if part.get(UNIT, "words") not in {"words", "sentence"}:
        raise errors.SettingsError(
            f"`{UNIT}` is {part[UNIT]!r}",
            where=f"{where} {place}",
            fix='set it to "words" or "sentence"',
        )
    low, high = word_bounds(part, f"{where} {place}")
    if not 1 <= low <= high:
        raise errors.SettingsError(
            f"`{WORDS}` is [{low}, {high}]",
            where=f"{where} {place}",
            fix=f'set it to [least, most], e.g. "{WORDS}": [1, 40]',
        )
    for key in ("pattern", "format", "enum", "const", "minLength", "maxLength"):
        if key in part:
            raise errors.SettingsError(
                f"`{key}` has no meaning in a quote field",
                where=f"{where} {place}",
                fix=f"remove it; lengths are limited in words by `{WORDS}`",
            )


def word_bounds(part: Json, where: str = "") -> tuple[int, int]:
    """Return the least and most words of a quote field."""
    bounds = part.get(WORDS, [1, MAX_WORDS])
    if not (
        isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(n, int) for n in bounds)  # noqa: PLR2004 - least and most
    ):
        raise errors.SettingsError(f"`{WORDS}` is {bounds!r}, not [least, most]", where=where)
    return bounds[0], bounds[1]


def _refuse_unreachable_quotes(schema: Json, where: str) -> None:
    """Quotes stand in properties and array items; elsewhere no grammar is made for them."""
    inside = (
        f"/{key}/" for key in ("anyOf", "oneOf", "allOf", "prefixItems", "$defs", "definitions")
    )
    forbidden = tuple(inside)
    for place, part in walk(schema):
        if QUOTE in part and any(step in place for step in forbidden):
            raise errors.SettingsError(
                "a quote field cannot stand here",
                where=f"{where} {place}",
                fix="put it directly into `properties` or array `items`",
            )
