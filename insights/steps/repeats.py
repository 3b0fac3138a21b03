"""Lists that may name nothing twice (`uniqueItems`): what a model repeats is taken out.

No grammar holds such a list without counting what it has said, so it is generated as any other.
A repeat says nothing that its first naming did not: it is left out before the output is judged,
counted or stored. A list that is too short afterwards breaks its schema, and is withheld.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from insights.model import Generation, Json
from insights.steps.schema import item_of, normal, parts_for, property_of, rewritten, walk

_ONCE = "x-once"


def dropped(generation: Generation, schema: Json) -> Generation:
    """Return a generation without repeats; quotes and confidence follow their items."""
    root = normal(schema)
    if not any("uniqueItems" in part for _, part in walk(root)):
        return generation
    root = rewritten(root, _marked)
    try:
        output: Any = msgspec.json.decode(generation.text)
    except msgspec.DecodeError:
        return generation
    moved: dict[str, str] = {}
    kept = _kept(output, root, root, ("", ""), moved)
    if kept == output:
        return generation
    return msgspec.structs.replace(
        generation,
        text=msgspec.json.encode(kept).decode(),
        quotes=tuple(
            msgspec.structs.replace(span, field=moved[span.field])
            for span in generation.quotes
            if span.field in moved
        ),
        confidence=_moved(generation.confidence, moved),
    )


def _marked(part: Json) -> Json:
    """Return a part that a list with repeats satisfies, and that says whether it should."""
    return {_ONCE if key == "uniqueItems" else key: value for key, value in part.items()}


def _moved(confidence: Mapping[str, float], moved: Mapping[str, str]) -> dict[str, float]:
    return {moved[pointer]: sure for pointer, sure in confidence.items() if pointer in moved}


def _kept(
    value: Any,  # noqa: ANN401 - JSON
    part: Json,
    root: Json,
    at: tuple[str, str],
    moved: dict[str, str],
) -> Any:  # noqa: ANN401 - JSON
    """Return a value without repeats; note in `moved` where each that stays stood and stands."""
    was, now = at
    moved[was] = now
    parts = parts_for(value, part, root) or [part]
    if isinstance(value, dict):
        return {
            name: _kept(inner, property_of(parts, name), root, (f"{was}/{name}", f"{now}/{name}"),
                        moved)
            for name, inner in value.items()
        }  # fmt: skip
    if not isinstance(value, list):
        return value
    unique = all(_ONCE in one for one in parts)
    made: list[Any] = []
    seen: set[bytes] = set()
    for number, inner in enumerate(value):
        places = (f"{was}/{number}", f"{now}/{len(made)}")
        found: dict[str, str] = {}
        item = _kept(inner, item_of(parts, number), root, places, found)
        same = msgspec.json.encode(_comparable(item), order="sorted")
        if unique and same in seen:
            continue
        seen.add(same)
        moved |= found
        made.append(item)
    return made


def _comparable(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value as JSON Schema compares it: 1.0 is 1."""
    if isinstance(value, dict):
        return {name: _comparable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_comparable(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
