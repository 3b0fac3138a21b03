"""JSON Schema's keywords as this product takes them: held, not held, or said for people only.

What generation cannot hold is refused by its place rather than promised; what only says something
to people or to other programs passes; what looks like a slip of the pen is refused with its name.
Older drafts and OpenAPI are read as what they mean in draft 2020-12.
"""

import difflib
import re
from typing import Any

import jsonschema
import regex

from insights import errors
from insights.model import Json
from insights.steps import conditions, decimals

HELD = frozenset(
    {
        "type", "properties", "required", "additionalProperties", "patternProperties", "items",
        "prefixItems", "minItems", "maxItems", "minProperties", "maxProperties", "enum", "const",
        "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "minLength", "maxLength",
        "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "multipleOf", "uniqueItems",
    }
)  # fmt: skip
OURS = frozenset(
    {
        "x-quote", "x-quote-words", "x-quote-unit", "x-quote-pattern", "x-quote-heading",
        "x-grounded", "x-min-support",
    }
)  # fmt: skip
_NOT_HELD = {
    "not": "say what it may be with enum, anyOf or a pattern",
    "if": "write the cases as anyOf",
    "then": "write the cases as anyOf",
    "else": "write the cases as anyOf",
    "contains": "put what must be there into a property of its own",
    "minContains": "remove it",
    "maxContains": "remove it",
    "propertyNames": "list the properties",
    "dependentRequired": "write the cases as anyOf",
    "dependentSchemas": "write the cases as anyOf",
    "dependencies": "write the cases as anyOf",
    "unevaluatedItems": "use items or prefixItems",
    "$dynamicRef": "use $ref",
    "$recursiveRef": "use $ref",
}
_ANNOTATIONS = frozenset(
    {
        "title", "description", "default", "example", "examples", "$comment", "$schema", "$id",
        "id", "$anchor", "$vocabulary", "deprecated", "readOnly", "writeOnly", "readonly",
        "writeonly", "discriminator", "tsType", "contentEncoding", "contentMediaType",
        "contentSchema",
    }
)  # fmt: skip
# What names a part, or the language it is in: references are written out, and read as 2020-12.
_NAMING = frozenset({"$schema", "$id", "id", "$anchor", "$vocabulary"})
_COUNTS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
)
_FORMATS = frozenset(  # that llguidance knows
    {"date", "date-time", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}
)
_NO_FORMATS = jsonschema.FormatChecker(())  # patterns are judged by `_refuse`
_DEFINING = frozenset({"$defs", "definitions"})
_APPLIED = ("$ref", "allOf", "anyOf", "oneOf")
_SECONDS = r"\d+([.,]\d+)?S"
_TIMES = rf"T(\d+H(\d+M)?({_SECONDS})?|\d+M({_SECONDS})?|{_SECONDS})"
# What Zod writes of e-mail addresses and durations, said without looking ahead.
_WITHOUT_LOOKING = {
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+"
    r"[A-Za-z]{2,}$": r"^([A-Za-z0-9_'+\-]+\.)*[A-Za-z0-9_'+\-]*[A-Za-z0-9_+\-]"
    r"@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$",
    r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$":
    rf"^P(\d+W|(\d+Y(\d+M)?(\d+D)?|\d+M(\d+D)?|\d+D)({_TIMES})?|{_TIMES})$",
}  # fmt: skip
# Signs to ECMAScript; to the grammar the beginning and the end of a word.
_ANGLE = re.compile(r"\\([<>])|\\.", re.DOTALL)
# What other languages and APIs call a type.
_TYPES = {
    "string": "str text varchar char uuid date datetime date-time timestamp time enum",
    "integer": "int int32 int64 long bigint short",
    "number": "float double decimal real numeric",
    "boolean": "bool",
    "array": "list set tuple",
    "object": "dict map record struct json",
    "null": "none nil nullable",
}
_CALLED = {other: type_ for type_, others in _TYPES.items() for other in (type_, *others.split())}
_INNER = ("schema", "parameters", "input_schema", "inputSchema", "json_schema", "function")
_LARGEST = 2**53  # what JSON readers hold exactly
_LARGEST_FLOAT = 1e300  # a bound beyond says that there is none
_OFF = ("_", "//")  # before a keyword: so people switch it off
_META = jsonschema.Draft202012Validator.META_SCHEMA
_NEAR = 0.8  # likeness from which a name is a slip: maxlength, requird, x-quotes


def modern(part: Json, place: str, where: str) -> Json:
    """Return a part in draft 2020-12's words, without what says nothing.

    Raises:
        errors.SettingsError: For a keyword that cannot be held, or a near miss of one.
    """
    part = _of_drafts({key: value for key, value in part.items() if key not in _NAMING})
    part = conditions.written(part)
    for key in _COUNTS & part.keys():
        if float(part[key]).is_integer():
            part[key] = int(part[key])  # 2.0 is a count, too
    if part.pop("nullable", False):  # OpenAPI 3.0
        part = _or_null(part)
    if part.get("unevaluatedItems") is False and not part.keys() & {"items", *_APPLIED}:
        part["items"] = part.pop("unevaluatedItems")
    if isinstance(part.get("type"), list) and len(part["type"]) == 1:
        part["type"] = part["type"][0]
    _unbounded(part)
    if isinstance(pattern := part.get("pattern"), str):
        plain = _ANGLE.sub(lambda found: found[1] or found[0], pattern)
        part["pattern"] = decimals.written(_WITHOUT_LOOKING.get(plain, plain))
    if part.get("uniqueItems") is False or part.get("maxItems") in (0, 1):
        part.pop("uniqueItems", None)
    if part.get("unevaluatedProperties") is True:
        part.pop("unevaluatedProperties")
    if part.get("format") not in _FORMATS:  # says something to people: the standard leaves it open
        part.pop("format", None)
    part.pop("x-guidance", None)  # llguidance's own switches are not the schema's to turn
    _refuse(part, place, where)
    return part


def _unbounded(part: Json) -> None:
    """Take away bounds that are those of a machine's number: they say that there is none.

    Integers are bounded by what JSON readers hold exactly anyway.
    """
    largest = _LARGEST if part.get("type") in ("integer", ["integer", "null"]) else _LARGEST_FLOAT
    for key, sign in (("minimum", -1), ("exclusiveMinimum", -1), ("maximum", 1)):
        if sign * part.get(key, 0) >= largest:
            del part[key]
    if part.get("exclusiveMaximum", 0) > largest:
        del part["exclusiveMaximum"]


def _or_null(part: Json) -> Json:
    """Return a part that may be null as well, whatever else it says."""
    if "type" in part:
        part["type"] = [*_listed(part["type"]), "null"]
        if "enum" in part and None not in part["enum"]:
            part["enum"] = [*part["enum"], None]
        return part
    said = {key: part[key] for key in part if key in HELD and key not in _DEFINING}
    if not said:
        return part
    rest = {key: value for key, value in part.items() if key not in said}
    return {**rest, "anyOf": [said, {"type": "null"}]}


def _of_drafts(part: Json) -> Json:
    """Translate what drafts before 2020-12 said in other words."""
    for limit, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(part.get(strict), bool) and part.pop(strict) and limit in part:
            part[strict] = part.pop(limit)
    if isinstance(part.get("items"), list):
        part["prefixItems"] = part.pop("items")
        if "additionalItems" in part:
            part["items"] = part.pop("additionalItems")
    part.pop("additionalItems", None)
    return part


def valid(document: Any, where: str) -> None:  # noqa: ANN401 - JSON
    """Refuse a document that is no JSON Schema, of whichever draft it says it is.

    Raises:
        errors.SettingsError: Naming the place.
    """
    _refuse_wrapped(document, where)
    said = str(document.get("$schema", "")) if isinstance(document, dict) else ""
    if "draft-03" in said:
        raise errors.SettingsError(
            "is JSON Schema draft 3, which says things that later drafts do not know",
            where=f"{where} #",
            fix="write it as draft 4 or later: `required` is a list beside `properties`",
        )
    newest = jsonschema.Draft202012Validator
    drafts = [newest, jsonschema.Draft7Validator, jsonschema.Draft4Validator]
    if said and (own := jsonschema.validators.validator_for(document, newest)) is not newest:
        drafts = [own]
    first = None
    for draft in drafts:
        try:
            draft.check_schema(document, format_checker=_NO_FORMATS)
        except jsonschema.SchemaError as exc:
            first = first or exc
        else:
            return
    if first is not None:
        place = "/".join(str(part) for part in first.absolute_path)
        raise errors.SettingsError(
            f"is not valid JSON Schema at #/{place}: {first.message}",
            where=f"{where} #/{place.rpartition('/')[0]}",
            fix=_way_out(first),
        ) from first


def _way_out(wrong: jsonschema.SchemaError) -> str:
    called = _CALLED.get(str(wrong.instance).casefold())
    if called is not None and list(wrong.absolute_path)[-1:] == ["type"]:
        return f'write "type": "{called}"'
    if str(wrong.instance).casefold() == "any" and list(wrong.absolute_path)[-1:] == ["type"]:
        return "leave `type` out: the value may then be anything"
    return "correct it (draft 2020-12, or what its $schema says)"


def _refuse_wrapped(document: Any, where: str) -> None:  # noqa: ANN401 - JSON
    """Refuse a file that holds a schema and is none: an API's request, an OpenAPI document."""
    if not isinstance(document, dict) or document.keys() & {*_APPLIED, "properties"}:
        return
    fix = None
    if path := _inner(document):
        fix = f"save what stands under its `{'.'.join(path)}` as the file"
    elif "openapi" in document or "swagger" in document:
        place = "components/schemas" if "openapi" in document else "definitions"
        fix = f'name one of its schemas: add "$ref": "#/{place}/<name>" at its top'
    elif document.keys() <= {"$schema", "$id", "id", "title", "description", *_DEFINING} and (
        names := [name for key in _DEFINING for name in document.get(key, ())]
    ):
        key = next(key for key in _DEFINING if key in document)
        fix = f'it only defines {", ".join(names)}: add "$ref": "#/{key}/{names[0]}" at its top'
    if fix is not None:
        raise errors.SettingsError("holds schemas, and is none itself", where=f"{where} #", fix=fix)


def _inner(document: Any) -> list[str]:  # noqa: ANN401 - JSON
    """Return where in an API's request or tool a schema stands; empty where none does."""
    for key in _INNER:
        if isinstance(inner := document.get(key), dict):
            return [key] if "properties" in inner else [key, *_inner(inner)]
    return []


def _listed(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else list(types)


def _refuse(part: Json, place: str, where: str) -> None:
    for pattern in (part.get("pattern", ""), *part.get("patternProperties", ())):
        try:
            regex.compile(pattern)
        except regex.error as exc:
            raise errors.SettingsError(
                f"the pattern {pattern!r} is not valid here: {exc}",
                where=f"{where} {place}",
                fix="write it with plain classes, as [A-Za-z]",
            ) from exc
    for key in part:
        if key in HELD or key in OURS or key in _ANNOTATIONS:
            continue
        if key == "unevaluatedProperties" and part[key] is False:
            continue
        if key in _NOT_HELD or key == "unevaluatedProperties":
            raise errors.SettingsError(
                f"`{key}` cannot be enforced while generating",
                where=f"{where} {place}",
                fix=_NOT_HELD.get(key, "list the properties"),
            )
        if meant := _meant(key, part[key]):
            raise errors.SettingsError(
                f"`{key}` is no keyword",
                where=f"{where} {place}",
                fix=f"did you mean `{meant}`? Names of your own begin with x-",
            )


def _meant(key: str, value: Any) -> str | None:  # noqa: ANN401 - JSON
    """Return the keyword of which a name is a slip of the pen; None where it is somebody's own.

    A name is no slip of a keyword that could not have its value.
    """
    if key.startswith(_OFF):
        return None
    known = OURS if key.startswith("x-") else [*HELD, *OURS, *_NOT_HELD]
    near = difflib.get_close_matches(key, known, n=1, cutoff=_NEAR)
    if not near and key.casefold() in {word.casefold() for word in HELD}:
        near = [key.casefold()]
    if not near or not jsonschema.Draft202012Validator(_META).is_valid({near[0]: value}):
        return None
    return near[0]
