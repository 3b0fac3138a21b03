"""Texts within their `maxLength`, closed at the end of a sentence or a word.

A model that is stopped at a limit stops in the middle of a word, and shortly before it writes
whatever still fits. So it gets room beyond the limit, and what it wrote is closed at the last end
of a sentence within the limit, or else of a word: all that stays was chosen freely.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec
import regex

from insights.model import Json
from insights.steps.schema import QUOTE, item_of, normal, parts_for, property_of, types

LIMIT = "x-limit"  # what `maxLength` was before it was given room
_ROOM = 32  # characters: the longest token that is no row of marks, and a word's rest
_SHORT = 24  # characters up to which a limit is a code's or a name's, and gets no room
_CACHED = 64
_NO_TEXT = (QUOTE, "enum", "const", "pattern", "format")
_END = re.compile(r"[.!?\u2026][)\]\"'\u00bb\u201d\u2019]*(?=\s|$)|[\u3002\uff01\uff1f]")
_BOUNDARY = regex.compile(r"(?w)\b", flags=regex.V1 | regex.WORD)
_LETTER = re.compile(r"[^\W_]")
_HANGING = " \t\r\n,;:-\u2013\u2014([{\"'\u00ab\u201c/&+"


def roomy(schema: Json) -> Json:
    """Return a schema to generate by: free texts with a limit have room beyond it."""
    return _roomy(msgspec.json.encode(normal(schema)))


@lru_cache(maxsize=_CACHED)
def _roomy(raw: bytes) -> Json:
    found: Json = _with_room(msgspec.json.decode(raw))
    return found


def _with_room(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_with_room(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    limit = value.get("maxLength")
    if isinstance(limit, int) and limit > _SHORT and _is_text(value):
        return {**value, "maxLength": limit + _ROOM, LIMIT: limit}
    return {
        key: inner if key in {"enum", "const", "default", "examples"} else _with_room(inner)
        for key, inner in value.items()
    }


def _is_text(part: Json) -> bool:
    return "string" in types(part) and not any(key in part for key in _NO_TEXT)


def fitted(output: Json, schema: Json) -> tuple[Json, tuple[str, ...]]:
    """Return the output with each text within its limit, and the pointers of those that hit it."""
    root = roomy(schema)
    hit: list[str] = []

    def visit(value: Any, part: Json, pointer: str) -> Any:  # noqa: ANN401 - JSON
        parts = parts_for(value, part, root)
        if isinstance(value, dict):
            return {
                name: visit(inner, property_of(parts, name), f"{pointer}/{name}")
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [
                visit(inner, item_of(parts, at), f"{pointer}/{at}")
                for at, inner in enumerate(value)
            ]
        if not isinstance(value, str):
            return value
        limit = _limit_of(parts or [part])
        if limit is None or len(value) < limit or (len(value) == limit and _ends(value)):
            return value
        hit.append(pointer)
        return within(value, limit)

    return visit(output, root, ""), tuple(hit)


def within(text: str, limit: int) -> str:
    """Return the beginning of a text that has at most so many characters and ends at a boundary.

    That is the last end of a sentence in the second half of the room, or the last end of a word; a
    text whose first word is longer than the limit is cut there.
    """
    cut = len(text) <= limit  # somebody else stopped it there, so its last word may be cut
    ends = [match.end() for match in _END.finditer(text) if match.end() <= limit]
    if ends and 2 * ends[-1] >= limit:
        return text[: ends[-1]]
    whole = limit - 1 if cut else limit
    for edge in sorted((at.start() for at in _BOUNDARY.finditer(text)), reverse=True):
        if edge <= whole and (kept := text[:edge].rstrip(_HANGING)) and _LETTER.search(kept):
            return kept
    return text[:limit]


def _ends(text: str) -> bool:
    ended = any(found.end() == len(text) for found in _END.finditer(text))
    return ended or not re.search(r"\s", text)


def _limit_of(parts: list[Json]) -> int | None:
    for part in parts:
        if isinstance(limit := part.get(LIMIT, part.get("maxLength")), int) and _is_text(part):
            return limit
    return None
