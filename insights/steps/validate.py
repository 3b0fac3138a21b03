"""Is this output what was asked for, and does it stand on what the model was shown?

Schema first; then citations must point at passages of the prompt; quotes must stand there word for
word; numbers, dates and identifiers inside free text must occur in the row or in a cited passage,
separators and formats aside. Whatever fails is withheld with its reason: that is an outcome, not
an error, and identical input is not tried again. What passes names its sentences, so that their
support can be scored.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import PurePosixPath
from typing import Any

import msgspec

from insights.model import Citation, Generation, Json, Passage, Verdict
from insights.steps.attribution import sentences
from insights.steps.schema import CITED, QUOTE, normal, parts_for, validator

ABSTAIN = "abstain"  # the one property of an abstention

# A run that holds a digit: 42, 1,234.50, E1234, KB-0042, 10.0.0.7, 2026-11-23.
_MARKED = re.compile(r"[^\W_][\w.,:/'\u2019\-]*")
_SEPARATORS = re.compile(r"[^0-9a-z]+")
_DATE_NUMERIC = re.compile(r"\b(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})\b")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATE_WORDS = re.compile(
    r"\b(?:(\d{1,2})(?:st|nd|rd|th)?\.? ([a-z]{3})[a-z]*"
    r"|([a-z]{3})[a-z]* (\d{1,2})(?:st|nd|rd|th)?),? (\d{4})\b"
)
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
    problem = next(iter(validator(schema).iter_errors(output)), None)
    if problem is not None:
        at = "/".join(str(part) for part in problem.absolute_path) or "top level"
        raise _WithheldError(f"the output breaks its schema at {at}: {problem.validator}")
    numbers = {passage.number: passage for passage in passages}
    cited = output.get(CITED, [])
    for number in cited:
        if number not in numbers:
            raise _WithheldError(f"it cites passage {number}, which was not in the prompt")
    cited_passages = [numbers[number] for number in cited] or list(passages)
    root = normal(schema)
    placed = {span.field for span in generation.quotes}
    said: list[Citation] = []
    for pointer, quoted, text in _texts(root, output, "", root):
        if quoted and pointer not in placed:
            raise _WithheldError(f"{pointer} is no literal quote")
        if quoted:
            _check_quote(pointer, quoted, text, row, cited_passages)
        else:
            _check_facts(pointer, text, row, cited_passages)
            said += [
                Citation(field=pointer, source="prompt", claim_start=start, claim_end=end)
                for start, end in sentences(text)
            ]
    citations = (*_citations(generation, output, cited, numbers), *said)
    return Verdict(status="ok", output=output, citations=citations)


def _decoded(generation: Generation) -> Json:
    try:
        output: Any = msgspec.json.decode(generation.text)
    except msgspec.DecodeError:
        cut = generation.finish == "length"
        raise _WithheldError(
            "the output reached max_tokens" if cut else "the output is not JSON"
        ) from None
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
            yield from _texts(_property(parts, name), inner, f"{pointer}/{name}", root)
    elif isinstance(value, list):
        if pointer.rsplit("/", 1)[-1] != CITED:
            for at, inner in enumerate(value):
                yield from _texts(_item(parts, at), inner, f"{pointer}/{at}", root)
    elif isinstance(value, str) and (quoted := part.get(QUOTE)):
        yield pointer, str(quoted), value
    elif part.get("x-grounded"):
        yield pointer, "", str(value)
    elif isinstance(value, str) and not any(_exempt(one) for one in parts):
        yield pointer, "", value


def _exempt(part: Json) -> bool:
    return "enum" in part or "const" in part or part.get("format") in _FREE_FORMATS


def _property(parts: Sequence[Json], name: str) -> Json:
    """Return what is said of a property; of an undeclared one, that it is free text."""
    for part in parts:
        if name in part.get("properties", {}):
            found: Json = part["properties"][name]
            return found
    extra = next((part.get("additionalProperties") for part in parts), None)
    return extra if isinstance(extra, dict) else {}


def _item(parts: Sequence[Json], at: int) -> Json:
    for part in parts:
        items = [*part.get("prefixItems", ())]
        found = items[at] if at < len(items) else part.get("items")
        if isinstance(found, dict):
            return found
    return {}


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


def _check_facts(
    pointer: str, text: str, row: Mapping[str, str | None], passages: Sequence[Passage]
) -> None:
    known: set[str] = set()
    for value in row.values():
        known |= facts(value or "")
    for passage in passages:
        known |= facts(f"{PurePosixPath(passage.uri).stem} {passage.title}\n{passage.text}")
    for word in _MARKED.findall(text):
        forms = facts(word)
        if forms and not forms & known:
            raise _WithheldError(f"{pointer} says {word.strip('.,:')!r}, which no source says")


def facts(text: str) -> set[str]:
    """Return the normalised forms of all numbers, dates and identifiers in a text.

    `1,234.50`, `1234.5` and `1.234,50` share a form; so do `2026-11-23`, `23.11.2026` and
    `November 23, 2026`, and `E-1234` and `e1234`. Where a format is ambiguous (day and month,
    thousands and decimals) every reading counts: this refuses what stands nowhere, not what can be
    read two ways.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    found: set[str] = set()
    for word in _MARKED.findall(text):
        if any(char.isdigit() for char in word):
            found.add(_SEPARATORS.sub("", word))
            found.update(_readings(word.strip(".,:/'\u2019-")))
    for match in _DATE_NUMERIC.finditer(text):
        first, second, third = (int(part) for part in match.groups())
        readings = [(first, second, third), (third, second, first), (third, first, second)]
        found.update(form for reading in readings if (form := _iso(*reading)))
    for match in _DATE_WORDS.finditer(text):
        month = match.group(2) or match.group(3)
        day = int(match.group(1) or match.group(4))
        if month in _MONTHS and (form := _iso(int(match.group(5)), _MONTHS.index(month) + 1, day)):
            found.add(form)
    return found


def _readings(word: str) -> Iterator[str]:
    """Yield a number's value under each convention of separators."""
    for thousands, point in ((",", "."), (".", ","), ("'", "."), ("\u2019", ".")):
        plain = word.replace(thousands, "").replace(point, ".")
        if re.fullmatch(r"\d+(\.\d+)?", plain):
            whole, _, fraction = plain.partition(".")
            fraction = fraction.rstrip("0")
            yield "#" + (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _iso(year: int, month: int, day: int) -> str | None:
    try:
        return "@" + date(year if year > 99 else 2000 + year, month, day).isoformat()  # noqa: PLR2004
    except ValueError:
        return None


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
