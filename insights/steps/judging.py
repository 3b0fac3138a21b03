r"""The validator of outputs: draft 2020-12, its patterns read as generation reads them.

The grammar's regular expressions know `\p{L}`, `[[:alpha:]]` and `(?<name>…)`, as ECMAScript, Java
and POSIX write them; Python's `re` refuses the first and takes the second for something else. To
them `\d` and `\w` are ASCII, and `$` is the very end, not also the place before a last newline.
"""

import ipaddress
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any

import jsonschema
import regex

from insights.model import Json

_PIECE = regex.compile(r"\\(?P<escaped>.)|\[:(?P<named>\^?\w+):\]|.", regex.DOTALL)
# What stands for a class, beside another one within brackets.
_ASCII = {"d": "0-9", "w": "0-9A-Za-z_", "D": r"\0-/:-\U0010ffff"}
_ASCII["W"] = r"\0-/:-@\[-\^`\{-\U0010ffff"
_NAMED = {"alpha": "A-Za-z", "digit": "0-9", "alnum": "0-9A-Za-z", "word": "0-9A-Za-z_"}


@lru_cache(maxsize=1_024)
def _read(pattern: str) -> regex.Pattern[str]:
    """Compile a pattern as the grammar reads it."""
    made, within = "", False
    for piece in _PIECE.finditer(pattern):
        text = piece[0]
        if piece["escaped"] in _ASCII:
            inner = _ASCII[piece["escaped"]]
            text = inner if within else f"[{inner}]"
        elif within:
            text = _NAMED.get(piece["named"], text)
            within = text != "]"
        elif text == "$":
            text = r"\Z"
        else:
            within = text == "["
        made += text
    return regex.compile(made)


def matches(pattern: str, text: str) -> bool:
    """Tell whether a pattern is found in a text, as the grammar reads it."""
    return _read(pattern).search(text) is not None


def _pattern(_judge: Any, pattern: str, value: Any, _part: Json) -> Iterator[Any]:  # noqa: ANN401
    if isinstance(value, str) and not matches(pattern, value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _patterns(judge: Any, parts: Json, value: Any, _part: Json) -> Iterator[Any]:  # noqa: ANN401
    for pattern, part in parts.items() if isinstance(value, dict) else ():
        for name, inner in value.items():
            if matches(pattern, name):
                yield from judge.descend(inner, part, path=name, schema_path=pattern)


def _others(judge: Any, others: Any, value: Any, part: Json) -> Iterator[Any]:  # noqa: ANN401
    if not isinstance(value, dict):
        return
    known, patterns = part.get("properties", {}), part.get("patternProperties", {})
    for name, inner in value.items():
        if name in known or any(matches(pattern, name) for pattern in patterns):
            continue
        if others is False:
            yield jsonschema.ValidationError(f"{name!r} is not declared")
        elif isinstance(others, dict):
            yield from judge.descend(inner, others, path=name)


def _time(text: str) -> bool:
    return _TIME.fullmatch(text) is not None


def _date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and bool(date.fromisoformat(text))


def _moment(text: str) -> bool:
    return text[10:11] in ("T", "t") and _date(text[:10]) and _time(text[11:])


def _matching(pattern: str) -> Callable[[str], bool]:
    compiled = regex.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


_DATE = regex.compile(r"\d{4}-\d\d-\d\d")
_TIME = regex.compile(
    r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
)
# Those of `keywords` that generation holds, none narrower than there.
_FORMATS: dict[str, Callable[[str], object]] = {
    "date": _date,
    "time": _time,
    "date-time": _moment,
    "duration": _matching(
        r"P(?:\d+W|(?=.)(?:\d+Y)?(?:\d+M)?(?:\d+D)?"
        r"(?:T(?=.)(?:\d+H)?(?:\d+M)?(?:\d+(?:[.,]\d+)?S)?)?)"
    ),
    "email": _matching(r"[^@]+@[^@\s]+"),
    "hostname": _matching(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "uuid": _matching(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
    "uri": _matching(r"[A-Za-z][A-Za-z0-9+.-]*:\S*"),
}


def _format(_judge: Any, name: str, value: Any, _part: Json) -> Iterator[Any]:  # noqa: ANN401
    """Hold the formats that generation holds: a server's model may not."""
    if not isinstance(value, str) or name not in _FORMATS:
        return
    try:
        if _FORMATS[name](value):
            return
    except ValueError:
        pass
    yield jsonschema.ValidationError(f"{value!r} is no {name}")


JUDGE = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _patterns,
        "additionalProperties": _others,
        "format": _format,
    },
)
