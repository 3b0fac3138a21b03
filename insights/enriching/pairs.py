"""Pairs for fine-tuning: what a model was asked about a row, and what people say is right.

A pair is made again from the row, and kept only where it is the very prompt that the model was
given, by its SHA-256 in the audit: so it is redacted as that was.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from insights import errors
from insights.enriching.feedback import Agreed
from insights.enriching.guard import Guard
from insights.enriching.recipe import (
    Recipe,
    examples_for,
    lacking,
    passages_for,
    prompt_sha256,
    request_for,
)
from insights.model import GenerateRequest, Json, Row
from insights.steps.labels import boolean
from insights.steps.schema import columns, validator

Split = Literal["train", "validation", "test"]
_BOUNDS: tuple[tuple[float, Split], ...] = ((0.8, "train"), (0.9, "validation"), (1.0, "test"))
_AT_ONCE = 64  # rows a statement and a search
GONE = "the row is gone from the replica"
NO_CONSENT = "nobody consented"
CHANGED = "the row has changed since"
UNKNOWN = "the audit does not have any more what the model was asked"
ANOTHER = "the model would be asked something else today"
REFUSED = "the schema does not allow the correction"


class Pair(msgspec.Struct, frozen=True):
    """A line of the file: the chat format that TRL reads, and what people filter by.

    `consent` is the column that says so, or "stream". `row` is the keyed hash of the row's key.
    """

    messages: list[dict[str, str]]
    split: Split
    consent: str
    corrected: list[str]
    pipeline: str
    version: str
    insight_id: int
    row: str


class Asked(msgspec.Struct, frozen=True):
    """What a model was asked about a row, and what people agree on."""

    agreed: Agreed
    messages: list[dict[str, str]]


def split(hashed: str) -> Split:
    """Return the split of a row by the keyed hash of its key: the same on every host, for ever.

    Args:
        hashed: At least eight hexadecimal digits.
    """
    point = int(hashed[:8], 16) / 2**32
    return next(name for bound, name in _BOUNDS if point < bound)


def asked(
    recipe: Recipe, found: Sequence[Agreed], consent: str | None, left_out: Counter[str]
) -> Iterator[Asked]:
    """Yield what the model was asked, and count insights of which that cannot be said.

    Args:
        recipe: The version that made the insights.
        found: What people agree on.
        consent: The column of the stream that says whether somebody consented; None: all did.
        left_out: Counts by reason.

    Raises:
        errors.InsightsError: If rows cannot be read, or passages not be searched.
    """
    for start in range(0, len(found), _AT_ONCE):
        batch = found[start : start + _AT_ONCE]
        keys = list(dict.fromkeys(one.said.row_key for one in batch))
        rows = {row.key: row for row in recipe.source.fetch(recipe.stream, keys)}
        agree = set(rows) if consent is None else _consenting(recipe, consent, list(rows))
        usable = []
        for one in batch:
            row = rows.get(one.said.row_key)
            why = (
                GONE if row is None
                else NO_CONSENT if row.key not in agree
                else CHANGED if row.input_hash != one.said.input_hash.bytes
                else UNKNOWN if one.said.prompt is None
                else None if validator(recipe.output_schema).is_valid(one.answer)
                else REFUSED
            )  # fmt: skip
            if why is not None:
                left_out[why] += 1
            elif row is not None:
                usable.append((one, row))
        yield from _same(recipe, usable, left_out)


def _consenting(recipe: Recipe, column: str, keys: Sequence[str]) -> set[str]:
    """Return the rows whose column says yes, by key."""
    spec = msgspec.structs.replace(
        recipe.stream, inputs=(column,), extra=(), attachment=None, names=None
    )
    rows = recipe.source.fetch(spec, keys)
    return {row.key for row in rows if boolean((row.values.get(column) or "").strip())}


def _same(
    recipe: Recipe, usable: Sequence[tuple[Agreed, Row]], left_out: Counter[str]
) -> Iterator[Asked]:
    rows = [row for _, row in usable]
    given = zip(usable, passages_for(recipe, rows), examples_for(recipe, rows), strict=True)
    bare = msgspec.structs.replace(recipe, guard=Guard())  # the canary is a secret of this site
    for (one, row), passages, examples in given:
        try:
            request = request_for(recipe, row, passages, examples)
        except errors.RowError:
            left_out[ANOTHER] += 1
            continue
        lacks = lacking(recipe, passages, examples)
        if lacks is not None or prompt_sha256(request) != one.said.prompt:
            left_out[ANOTHER] += 1
            continue
        chat = _chat(request_for(bare, row, passages, examples))
        answer = msgspec.json.encode(ordered(one.answer, recipe.output_schema)).decode()
        yield Asked(one, [*chat, {"role": "assistant", "content": answer}])


def ordered(value: Any, schema: Json) -> Any:  # noqa: ANN401 - JSON
    """Return an output with its properties as the schema has them, which is how models write it."""
    return _ordered(value, {"properties": columns(schema)})


def _ordered(value: Any, part: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_ordered(one, part.get("items") or {}) for one in value]
    if not isinstance(value, dict):
        return value
    parts = part.get("properties", {})
    names = [*(name for name in parts if name in value), *(n for n in value if n not in parts)]
    return {name: _ordered(value[name], parts.get(name) or {}) for name in names}


def _chat(request: GenerateRequest) -> list[dict[str, str]]:
    return [
        {"role": one.role, "content": "".join(segment.text for segment in one.segments)}
        for one in request.messages
    ]
