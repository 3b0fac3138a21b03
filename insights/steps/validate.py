"""Is this output what was asked for, and does it stand on what the model was shown?

Schema first; then citations must point at passages of the prompt; quotes must stand there word for
word; numbers, dates and identifiers inside free text must occur in the row or in a passage of the
prompt (`grounding`). Whatever fails is withheld with its reason: that is an outcome, not
an error, and identical input is not tried again. What passes names its sentences, so that their
support can be scored.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from insights.model import Citation, Generation, Json, Passage, Verdict
from insights.steps import content, grounding
from insights.steps.attribution import sentences
from insights.steps.lengths import fitted
from insights.steps.schema import (
    CITED,
    QUOTE,
    broken,
    item_of,
    normal,
    parts_for,
    property_of,
)

ABSTAIN = "abstain"  # the one property of an abstention

_MARKER = re.compile(r"\[(\d{1,3})\]")  # how a text names a passage of the prompt
_FREE_FORMATS = frozenset({"date", "date-time", "time", "duration", "uri", "uuid"})


def validate(
    generation: Generation,
    schema: Json,
    row: Mapping[str, str | None],
    passages: Sequence[Passage],
) -> Verdict:
    """Return the verdict on one generation.

    Args:
        generation: What the model made.
        schema: The pipeline's output schema.
        row: The row's redacted values, as they were offered to the prompt.
        passages: The passages that were in the prompt.
    """
    try:
        return _judged(generation, schema, row, passages)
    except _WithheldError as exc:
        return Verdict(status="withheld", output=None, reason=str(exc))


class _WithheldError(Exception):
    """Carries the reason out of the checks."""


def _judged(
    generation: Generation,
    schema: Json,
    row: Mapping[str, str | None],
    passages: Sequence[Passage],
) -> Verdict:
    output = _decoded(generation)
    if set(output) == {ABSTAIN}:
        return Verdict(status="abstained", output=None, reason=str(output[ABSTAIN]))
    output, hit = fitted(output, schema)
    if problem := broken(schema, output, generation.text):
        raise _WithheldError(f"the output breaks its schema at {problem}")
    numbers = {passage.number: passage for passage in passages}
    cited = output.get(CITED, [])
    for number in cited:
        if number not in numbers:
            raise _WithheldError(f"it cites passage {number}, which was not in the prompt")
    root = normal(schema)
    placed = {span.field for span in generation.quotes}
    known = _Known(row, passages)
    said: list[Citation] = []
    for pointer, quoted, text in _texts(root, output, "", root):
        if quoted and pointer not in placed:
            raise _WithheldError(f"{pointer} is no literal quote")
        if quoted:
            _check_quote(pointer, quoted, text, row, passages)
        else:
            _check_facts(pointer, text, known)
            said += [
                Citation(field=pointer, source="prompt", claim_start=start, claim_end=end)
                for start, end in sentences(text)
            ]
    citations = (*_citations(generation, output, cited, numbers), *said)
    notes = tuple(f"{pointer} reached its maxLength and was closed there" for pointer in hit)
    return Verdict(status="ok", output=output, citations=citations, notes=notes)


def _decoded(generation: Generation) -> Json:
    try:
        output: Any = msgspec.json.decode(generation.text)
    except msgspec.DecodeError as exc:
        if generation.finish == "length":
            raise _WithheldError("the output reached max_tokens") from None
        if "out of range" in str(exc):
            raise _WithheldError("the output has a number that no database holds") from None
        raise _WithheldError("the output is not JSON") from None
    if not isinstance(output, dict):
        raise _WithheldError("the output is no object")
    return output


def _texts(part: Json, value: Any, pointer: str, root: Json) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401
    """Yield (pointer, kind, text) of what must stand on the input: quotes and free text.

    Numbers, booleans, enumerations and dates are exempt unless marked `x-grounded`.
    """
    parts = parts_for(value, part, root)
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(property_of(parts, name), inner, f"{pointer}/{name}", root)
    elif isinstance(value, list):
        if pointer.rsplit("/", 1)[-1] != CITED:
            for at, inner in enumerate(value):
                yield from _texts(item_of(parts, at), inner, f"{pointer}/{at}", root)
    elif isinstance(value, str) and (quoted := part.get(QUOTE)):
        yield pointer, str(quoted), value
    elif part.get("x-grounded"):
        yield pointer, "", _printed(value)
    elif isinstance(value, str) and not any(_exempt(one) for one in parts):
        yield pointer, "", value


def _exempt(part: Json) -> bool:
    return "enum" in part or "const" in part or part.get("format") in _FREE_FORMATS


def _printed(value: object) -> str:
    """Return a scalar as a text would say it: no exponent, and no word for what is no number."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return "" if value is None or isinstance(value, bool) else str(value)


def _check_quote(
    pointer: str,
    quoted: str,
    text: str,
    row: Mapping[str, str | None],
    passages: Sequence[Passage],
) -> None:
    if quoted == "passages":
        sources = [passage.text for passage in passages]
    else:
        sources = [row.get(quoted.removeprefix("row.")) or ""]
    if not text.strip() or not any(text in source for source in sources):
        raise _WithheldError(f"{pointer} is no literal quote")
    if not content.says(text, (source for source in sources if text in source)):
        raise _WithheldError(f"{pointer} quotes {text!r}, which says nothing")


class _Known:
    """What the prompt shows: found once for all texts of an output, and only if one asks."""

    def __init__(self, row: Mapping[str, str | None], passages: Sequence[Passage]) -> None:
        self._row, self._passages = row, passages
        self.numbers = {passage.number for passage in passages}

    @cached_property
    def facts(self) -> list[grounding.Facts]:
        return [grounding.of_row(self._row), *map(grounding.of_passage, self._passages)]


def _check_facts(pointer: str, text: str, known: _Known) -> None:
    """Withhold what states a number, date or identifier that the prompt did not show."""
    stated = grounding.claims(
        _MARKER.sub(lambda at: "" if int(at[1]) in known.numbers else at.group(), text)
    )
    if stated and (wrong := grounding.unfounded(stated, known.facts)):
        raise _WithheldError(f"{pointer} says {wrong!r}, which no source says")


def _citations(
    generation: Generation, output: Json, cited: Sequence[int], passages: Mapping[int, Passage]
) -> Iterator[Citation]:
    """Yield one citation a cited passage and one a quote, quotes with the place they stand at."""
    for number in cited:
        passage = passages[number]
        yield Citation(
            field=f"/{CITED}",
            source=f"passage.{number}",
            passage_id=passage.passage_id,
            uri=passage.uri,
            title=passage.title,
        )
    for span in generation.quotes:
        source = (
            passages.get(int(span.source.removeprefix("passage.")))
            if span.source.startswith("passage.")
            else None
        )
        yield Citation(
            field=span.field,
            source=span.source,
            passage_id=source.passage_id if source else None,
            uri=source.uri if source else None,
            title=source.title if source else None,
            quote=_at(output, span.field),
            start=span.start,
            end=span.end,
            support=1.0,
        )


def _at(output: Json, pointer: str) -> str | None:
    value: Any = output
    for part in pointer.removeprefix("/").split("/"):
        value = value[int(part)] if isinstance(value, list) else value.get(part)
        if value is None:
            return None
    return str(value)
