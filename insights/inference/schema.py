"""Which output schemas can be generated with their quotes and citations.

The rest of a schema is judged by `steps.normalise`, and by llguidance, which compiles it.
"""

import re

from insights import errors
from insights.model import Json
from insights.steps.schema import (
    CITED,
    HEADING,
    KIND,
    QUOTE,
    UNIT,
    WORDS,
    alternatives,
    made_normal,
    types,
    walk,
)

MAX_WORDS = 60  # of a quote; a longer one is a copy; `x-quote-words` changes it


def has_quotes(schema: Json) -> bool:
    """Return whether any part of a schema is a quote field."""
    return any(QUOTE in part for _, part in walk(schema))


def refuse_unsupported(schema: Json, where: str) -> Json:
    """Refuse a schema that is invalid, or says something generation would not hold.

    Returns:
        Its normal form.

    Raises:
        errors.SettingsError: Naming the place in the schema.
    """
    schema = made_normal(schema, where)
    for place, part in walk(schema):
        if QUOTE in part:
            _refuse_quote(part, place, where)
            _refuse_unreachable(place, where)
    if alternatives(schema) and CITED in schema["properties"]:
        raise errors.SettingsError(
            f"`{CITED}` cannot stand in alternatives of the output",
            where=f"{where} #/properties/{CITED}",
            fix="make the output one object, with properties that may be null",
        )
    return schema


def _refuse_quote(part: Json, place: str, where: str) -> None:
    source = part[QUOTE]
    if source != "passages" and not (isinstance(source, str) and source.startswith("row.")):
        raise errors.SettingsError(
            f"`{QUOTE}` is {source!r}",
            where=f"{where} {place}",
            fix='set it to "passages" or "row.<column>"',
        )
    if types(part) - {"null"} != {"string"}:
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
    for key, needed, fits in (
        (KIND, f'"{UNIT}": "sentence"', part.get(UNIT) == "sentence"),
        (HEADING, f'"{QUOTE}": "passages"', source == "passages"),
    ):
        if key in part:
            _refuse_pattern(part[key], key, f"{where} {place}")
            if not fits:
                raise errors.SettingsError(
                    f"`{key}` needs {needed} beside it",
                    where=f"{where} {place}",
                    fix=f"add that, or remove `{key}`",
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


def _refuse_pattern(pattern: object, key: str, where: str) -> None:
    try:
        re.compile(str(pattern) if isinstance(pattern, str) else "(")
    except re.error as exc:
        raise errors.SettingsError(
            f"`{key}` is no regular expression ({exc.msg})", where=where, fix="see Python's `re`"
        ) from exc


def word_bounds(part: Json, where: str = "") -> tuple[int, int]:
    """Return the least and most words of a quote field."""
    bounds = part.get(WORDS, [1, MAX_WORDS])
    if not (
        isinstance(bounds, list) and len(bounds) == 2 and all(isinstance(n, int) for n in bounds)  # noqa: PLR2004 - least and most
    ):
        raise errors.SettingsError(f"`{WORDS}` is {bounds!r}, not [least, most]", where=where)
    return bounds[0], bounds[1]


def _refuse_unreachable(place: str, where: str) -> None:
    """Quotes stand in properties and array items; elsewhere no grammar is made for them."""
    keys = ("anyOf", "oneOf", "allOf", "prefixItems", "patternProperties", "$defs")
    if any(f"/{key}/" in place for key in keys):
        raise errors.SettingsError(
            "a quote field cannot stand here",
            where=f"{where} {place}",
            fix="put it directly into `properties` or array `items`",
        )
