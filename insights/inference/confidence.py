"""How sure the model was of its closed fields: by the probabilities of the tokens it chose from.

At each step in an enumeration, boolean or constant the constraint allows few tokens. Their
probabilities, normalised over the allowed ones, are taken where the token is chosen: no decode
more. A value can be written in several tokens or in one, so that what counts at a step is the share
of all tokens that go on to the value that was written. A field's confidence is the product of its
steps; it is the model's own, and says nothing about how often the model is right: a rollout
measures that.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from insights.inference.sampling import Choices
from insights.model import Json
from insights.steps.schema import CITED, item_of, normal, parts_for, property_of, types, walk

_DECODER = json.JSONDecoder()


def has_closed(schema: Json) -> bool:
    """Return whether any field of a schema is closed."""
    return any(is_closed(part) for _, part in walk(normal(schema)))


def is_closed(part: Json) -> bool:
    """Return whether a part lists what it may be."""
    return "enum" in part or "const" in part or types(part) - {"null"} == {"boolean"}


def confidences(
    written: bytes,
    schema: Json,
    pieces: Sequence[bytes],
    steps: Mapping[int, Choices],
    piece: Callable[[int], bytes],
) -> dict[str, float]:
    """Return the confidence of each closed field of an output, 0 to 1, by JSON pointer.

    Args:
        written: The output, compact JSON.
        schema: What it follows.
        pieces: The bytes of each of its tokens, in order.
        steps: What was chosen from, by the number of the token; forced ones have none.
        piece: Returns a token's bytes.
    """
    spans = dict(closed_values(written.decode("utf-8", "replace"), normal(schema)))
    if not spans:
        return {}
    found = dict.fromkeys(spans, 1.0)
    at = 0
    for number, text in enumerate(pieces):
        begin, at = at, at + len(text)
        if number not in steps:
            continue
        for pointer, (start, end) in spans.items():
            if begin < end and at > start:
                rest = written[begin : end + 1]  # with what follows: 1 goes not on to 12
                found[pointer] *= _share(rest, steps[number], piece)
    return found


def _share(rest: bytes, choices: Choices, piece: Callable[[int], bytes]) -> float:
    share = 0.0
    for token, probability in zip(*choices, strict=True):
        text = piece(token)
        if text and (rest.startswith(text) or text.startswith(rest)):
            share += probability
    return min(share, 1.0)


def closed_values(text: str, schema: Json) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield where the value of each closed field stands in compact JSON, in bytes, by pointer."""
    offsets = [0]
    for char in text:
        offsets.append(offsets[-1] + len(char.encode()))

    def visit(at: int, part: Json, pointer: str) -> Iterator[tuple[str, tuple[int, int]]]:
        value, end = _DECODER.raw_decode(text, at)
        parts = parts_for(value, part, schema) or [part]
        if any(map(is_closed, parts)):
            yield pointer, (offsets[at], offsets[end])
        elif isinstance(value, dict):
            at += 1
            for name in value:
                at = _DECODER.raw_decode(text, at)[1] + 1
                yield from visit(at, property_of(parts, name), f"{pointer}/{name}")
                at = _DECODER.raw_decode(text, at)[1] + 1
        elif isinstance(value, list) and pointer != f"/{CITED}":
            at += 1
            for number, _ in enumerate(value):
                yield from visit(at, item_of(parts, number), f"{pointer}/{number}")
                at = _DECODER.raw_decode(text, at)[1] + 1

    try:
        yield from visit(0, schema, "")
    except ValueError:  # it was cut off
        return
