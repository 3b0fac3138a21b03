"""Names that no column gives: what a model finds in redacted texts becomes placeholders too.

The model reads the folded text and tells where it finds what (`ports.Recognizer`); this decides
what is replaced: whole words, no placeholder that stands already, and no value that is allowed.
Nothing is returned where the model has not read all of it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from insights import errors
from insights.governance.redact.custom import Allowed
from insights.governance.redact.entry import Numbers, replaced
from insights.governance.redact.folding import Folded, fold
from insights.governance.redact.spans import Span, compact, merged
from insights.model import Document, Named, NamesModel, Row
from insights.ports import Recognizer

_PLACEHOLDER = re.compile(r"<([A-Z][A-Z0-9_]*)_(\d{1,6})>")
_MASKED = re.compile(r"<([A-Z][A-Z0-9_]*)_(\d{1,6})(?::[^<>]*)?>")  # of `insights redact test`
_PARTED = re.compile(r"[ \t]{1,2}|-")  # what may stand between a first name and a last one


def names_in_rows(
    rows: Sequence[Row], model: NamesModel, recognizer: Recognizer | None
) -> list[Row]:
    """Return redacted rows, what a model finds in their texts replaced as well.

    Raises:
        errors.SettingsError: If there is nothing to run the model: nothing is let through.
        errors.InsightsError: What the recognizer raises.
    """
    named = _Names(model)
    found = named.asked([text for row in rows for text in row.values.values() if text], recognizer)
    made: list[Row] = []
    for row in rows:
        numbers = named.numbers([*filter(None, row.values.values()), *row.sealed])
        values = {
            column: text and named.replaced(text, *next(found), numbers)
            for column, text in row.values.items()
        }
        counts = dict(row.redactions)
        for kind, count in numbers.counts.items():
            counts[kind] = counts.get(kind, 0) + count
        made.append(msgspec.structs.replace(row, values=values, redactions=counts))
    return made


def names_in_document(
    made: Document,
    model: NamesModel,
    recognizer: Recognizer | None,
    beside: Iterable[str] = (),
) -> Document:
    """Return a document, what a model finds in its title and text replaced; see `names_in_rows`.

    New placeholders get other numbers than those in the texts that stand `beside` it.
    """
    named = _Names(model)
    parts = [made.title, made.text]
    numbers = named.numbers([*parts, *beside])
    found = named.asked(parts, recognizer)
    title, text = (named.replaced(part, *next(found), numbers) for part in parts)
    return msgspec.structs.replace(made, title=title, text=text)


class _Names:
    """What a model's finds become."""

    def __init__(self, model: NamesModel) -> None:
        self._model = model
        self._kinds = {label: kind.upper() for label, kind in model.labels}
        self._allowed = Allowed(model.allow)
        self._standing = _MASKED if model.masked else _PLACEHOLDER

    def asked(
        self, texts: Sequence[str], recognizer: Recognizer | None
    ) -> Iterator[tuple[Folded, list[Named]]]:
        """Return each text folded, and what the model finds in it."""
        if recognizer is None:
            raise errors.SettingsError(
                "there is nothing here that runs a model to find names",
                where="redact.names_model",
                fix="take names_model out of these settings",
            )
        folded = [fold(text) for text in texts]
        found = recognizer.recognize(self._model, [source.text for source in folded])
        return zip(folded, found, strict=True)

    def numbers(self, texts: Iterable[str]) -> Numbers:
        """Return numbers above those of the placeholders that stand: another process gave those."""
        taken: dict[str, int] = {}
        for text in texts:
            for kind, number in self._standing.findall(text):
                taken[kind] = max(taken.get(kind, 0), int(number))
        return Numbers(masked=self._model.masked, taken=taken)

    def replaced(self, text: str, source: Folded, found: Sequence[Named], numbers: Numbers) -> str:
        """Return a text with placeholders for what was found in its folded copy."""
        spans = merged(self._spans(source.text, found)) if found else []
        placed = (
            Span(*source.origin(span.start, span.end), span.kind, span.same) for span in spans
        )
        return replaced(text, merged(placed), numbers)

    def _spans(self, text: str, found: Sequence[Named]) -> list[Span]:
        kept = [match.span() for match in self._standing.finditer(text)]
        spans: list[Span] = []
        before = ""
        for one in sorted(set(found)):
            kind = self._kinds[one.label]
            for stretch in _outside(one.start, one.end, kept):
                first, last = _whole(text, *stretch)
                value = text[first:last]
                if not any(map(str.isalnum, value)) or value in self._allowed:
                    continue
                begin = first
                if (
                    spans
                    and before != one.label
                    and spans[-1].kind == kind
                    and _PARTED.fullmatch(text, spans[-1].end, first)
                ):
                    begin = spans.pop().start  # a first name and its last name are one person
                spans.append(Span(begin, last, kind, compact(text[begin:last])))
                before = one.label
        return spans


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a find without blanks and signs at its ends, widened to whole words."""
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    if start == end:
        return start, end
    while start > 0 and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    return start, end


def _outside(start: int, end: int, kept: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what of a stretch lies outside the placeholders."""
    for first, last in kept:
        if last <= start:
            continue
        if first >= end:
            break
        if start < first:
            yield start, first
        start = max(start, last)
    if start < end:
        yield start, end
