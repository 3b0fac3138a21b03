"""Redaction, first form: patterns with checksums, and the values of named columns.

What is found becomes a typed, numbered placeholder (`<EMAIL_1>`, `<CUSTOMER_NAME_1>`); one value
has one number throughout a row, so that the text still says who is who. Names are found only where
a column of the row gives them: without a model, rules find too few.

Pure. Patterns have bounded repetitions: a megabyte of text takes time in proportion to its length.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping

import phonenumbers
from stdnum import iban, luhn

from insights.model import Redaction

_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_CARD = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{1,4}){3,8}(?!\w)")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:\+|00|\(?0|\(|\b)\d(?:[ ./()-]{0,2}\d){6,14}(?: ?x\d{1,6})?(?![\w-]|[.,]\d)"
)
# A national number is told from any other by how it is grouped: (0xx) xxx, 0xx xxx, xxx-xxx-xxxx,
# or four groups and more that are no thousands.
_NATIONAL = re.compile(
    r"(?:\(\d{2,5}\)|0\d{1,4}[ ./-]|1?[ .-]?\d{3}[ .-]\d{3}[ .-]\d{4}$"
    r"|(?!\d{1,3}(?: \d{3})+$)\d{2,4}(?: \d{2,4}){3,4}$)"
)
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}(?!\d)")
_SHORTEST = 3  # letters of a column's value that is looked for in other texts: "Li" is in "List"

_Span = tuple[int, int, str]  # start, end, kind


def row(
    values: Mapping[str, str | None], redaction: Redaction
) -> tuple[dict[str, str | None], dict[str, int]]:
    """Return a row's texts with placeholders, and how many there are of each kind.

    A column of `redaction.columns` is replaced as a whole, and its value wherever else it stands,
    whatever its case and spacing.
    """
    numbers: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    finders = [_FINDERS[kind] for kind in redaction.kinds]
    personal = [
        (re.compile(_anywhere(value), re.IGNORECASE), column.upper())
        for column in redaction.columns
        if (value := (values.get(column) or "").strip()) and len(value) >= _SHORTEST
    ]

    def placeholder(kind: str, found: str) -> str:
        same = (kind, re.sub(r"\W+", "", found).casefold() or found)
        if same not in numbers:
            numbers[same] = 1 + sum(known == kind for known, _ in numbers)
        counts[kind.casefold()] = counts.get(kind.casefold(), 0) + 1
        return f"<{kind}_{numbers[same]}>"

    def redacted(column: str, text: str | None) -> str | None:
        if not text or not text.strip():
            return text
        if column in redaction.columns:
            return placeholder(column.upper(), text.strip())
        spans = [
            (match.start(), match.end(), kind)
            for pattern, kind in personal
            for match in pattern.finditer(text)
        ]
        for finder in finders:
            spans.extend(finder(text))
        return _replaced(text, spans, placeholder)

    # Columns first: their placeholders get the low numbers, whatever the order of the texts.
    order = sorted(values, key=lambda column: column not in redaction.columns)
    made = {column: redacted(column, values[column]) for column in order}
    return {column: made[column] for column in values}, counts


def text(value: str, kinds: tuple[str, ...] = Redaction().kinds) -> tuple[str, dict[str, int]]:
    """Return one text with placeholders, and how many there are of each kind."""
    made, counts = row({"": value}, Redaction(kinds=kinds))
    return made[""] or "", counts


def _replaced(text: str, spans: list[_Span], placeholder: Callable[[str, str], str]) -> str:
    """Replace spans from left to right; of overlapping ones, what they cover together."""
    parts: list[str] = []
    at = 0
    for start, end, kind in _merged(spans):
        parts += [text[at:start], placeholder(kind, text[start:end])]
        at = end
    return "".join([*parts, text[at:]])


def _merged(spans: list[_Span]) -> list[_Span]:
    """Join overlapping spans under the kind of the longest, so that no end of one is left over."""
    merged: list[_Span] = []
    longest = 0
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            name = kind if end - start > longest else before[2]
            merged[-1] = (before[0], max(end, before[1]), name)
        else:
            merged.append((start, end, kind))
            longest = 0
        longest = max(longest, end - start)
    return merged


def _anywhere(value: str) -> str:
    """Return the pattern of a value as whole words, any white space between them."""
    words = r"\s+".join(re.escape(word) for word in value.split())
    return rf"(?<!\w){words}(?!\w)"


def _emails(text: str) -> Iterator[_Span]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield match.start(), match.end(), "EMAIL"


def _cards(text: str) -> Iterator[_Span]:
    for match in _CARD.finditer(text):
        if luhn.is_valid(re.sub(r"[ -]", "", match.group())):
            yield match.start(), match.end(), "CARD"


def _ibans(text: str) -> Iterator[_Span]:
    for match in _IBAN.finditer(text):
        # Words that follow belong to the pattern, not to the number: try shorter ends.
        words = match.group().split(" ")
        for count in range(len(words), 0, -1):
            candidate = " ".join(words[:count])
            if iban.is_valid(candidate):
                yield match.start(), match.start() + len(candidate), "IBAN"
                break


def _ips(text: str) -> Iterator[_Span]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            try:
                ipaddress.ip_address(match.group())
            except ValueError:
                continue
            if match.group().strip(":"):
                yield match.start(), match.end(), "IP"


def _phones(text: str) -> Iterator[_Span]:
    for match in _PHONE.finditer(text):
        if _is_phone(match.group()):
            yield match.start(), match.end(), "PHONE"


def _is_phone(candidate: str) -> bool:
    if _DATE.match(candidate):
        return False
    candidate = candidate.partition("x")[0].strip()
    if candidate.startswith(("+", "00")):
        number = "+" + re.sub(r"\D", "", candidate).removeprefix("00")
        try:
            return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))
        except phonenumbers.NumberParseException:
            return False
    return _NATIONAL.match(candidate) is not None


_FINDERS: dict[str, Callable[[str], Iterator[_Span]]] = {
    "email": _emails,
    "card": _cards,
    "iban": _ibans,
    "ip": _ips,
    "phone": _phones,
}
