"""From texts to texts with placeholders: the one entry for rows, documents and doors."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from insights.governance.redact import (
    accounts,
    credentials,
    custom,
    identity,
    network,
    phones,
)
from insights.governance.redact.custom import Allowed, Finder
from insights.governance.redact.folding import Folded, fold, joined
from insights.governance.redact.names import Names
from insights.governance.redact.signs import Sign, Signs
from insights.governance.redact.spans import Span, compact, merged
from insights.model import Document, Redaction

DEFAULT = Redaction()

# By kind, in the order that decides between finds of one length: who finds it, and its sign.
_FINDERS: dict[str, tuple[Finder, Sign]] = {
    "secret": (credentials.secrets, credentials.SECRET),
    "url": (network.urls, network.URL),
    "email": (network.emails, network.EMAIL),
    "iban": (accounts.ibans, accounts.IBAN),
    "card": (accounts.cards, accounts.CARD),
    "national_id": (identity.national_ids, identity.NATIONAL_ID),
    "passport": (identity.passports, identity.PASSPORT),
    "licence": (identity.licences, identity.LICENCE),
    "birth_date": (identity.birth_dates, identity.BIRTH_DATE),
    "ip": (network.ips, network.IP),
    "mac": (network.macs, network.MAC),
    "phone": (phones.phones, phones.PHONE),
    "link": (network.links, network.URL),
}
_RUNNING = {"SECRET", "URL", "EMAIL"}  # have no fixed length
_SURE = {"IBAN", "CARD", "NATIONAL_ID"}  # have checksums: the whole is surer than its parts
_MORE = re.compile(
    r"[\d._/=+-]|[a-z][A-Z]"
)  # looks like a piece of an address or a token, not like a word
_SHORT = 6  # digits that are no number of anybody's, where nothing else stands in the text
_signs = lru_cache(maxsize=8)(Signs)  # those of most policies are the same


class Finding(NamedTuple):
    """What was found in one text: where, of which kind, and under which number."""

    start: int
    end: int
    kind: str
    number: int


class _Policy:
    """A redaction with its patterns compiled."""

    def __init__(self, redaction: Redaction) -> None:
        self.regions = redaction.regions
        self.columns = frozenset(redaction.columns)
        self.allowed = Allowed(redaction.allow)
        kinds = [kind for kind in _FINDERS if kind in redaction.kinds]
        own = [custom.pattern(name, pattern) for name, pattern in redaction.patterns]
        if redaction.deny:
            own.append(custom.denied(redaction.deny))
        self._own = own
        self._finders = [_FINDERS[kind][0] for kind in kinds]
        signs = [_FINDERS[kind][1] for kind in kinds]
        if self.regions and "national_id" in kinds:
            signs[kinds.index("national_id")] = identity.REGIONAL_ID
        self._signs = _signs(tuple(signs))

    def spans(self, text: str, names: Names | None) -> list[Span]:
        """Return what is found in a text, in the text's own positions, without overlaps."""
        bare = len(text) < _SHORT and text.isdecimal() and not self._own
        if bare and names is None:
            return []
        source = fold(text)
        found = [] if bare else [*self._found(source)]
        if names is not None:
            found += names.find(source.text)
        spans = merged(self._placed(source, span) for span in self._kept(source, found))
        wrapped = joined(text, [(span.start, span.end) for span in spans])
        if wrapped is None:
            return spans
        across = list(self._wrapped(wrapped, spans))
        return merged([*spans, *across]) if across else spans

    def _found(self, source: Folded) -> Iterator[Span]:
        for finder in self._own:
            yield from finder(source, self.regions)
        for at in self._signs.seen(source) if self._finders else ():
            yield from self._finders[at](source, self.regions)

    def _kept(self, source: Folded, spans: Sequence[Span]) -> Iterable[Span]:
        if not self.allowed:
            return spans
        return (span for span in spans if source.text[span.start : span.end] not in self.allowed)

    def _wrapped(self, source: Folded, known: Sequence[Span]) -> Iterator[Span]:
        """Yield what stands across a line break, and is not found without joining the lines.

        Where a part was found already, the rest has to look like more of it: a line may well end
        before an address and go on with a word after it.
        """
        joints = iter(source.joints)
        joint = next(joints, None)
        at = 0
        for span in sorted(self._kept(source, [*self._found(source)])):
            while joint is not None and joint <= span.start:
                joint = next(joints, None)
            if joint is None:
                return
            if joint >= span.end:
                continue
            placed = self._placed(source, span)
            while at < len(known) and known[at].end <= placed.start:
                at += 1
            if (
                at == len(known)
                or known[at].start >= placed.end
                or (
                    span.kind in _SURE
                    and placed.start <= known[at].start <= known[at].end <= placed.end
                )
            ):
                yield placed
            elif span.kind in _RUNNING and known[at].kind in _RUNNING:
                sides = source.text[span.start : joint], source.text[joint : span.end]
                rest = sides[0] if known[at].start > placed.start else sides[1]
                if _MORE.search(rest):
                    yield placed

    def _placed(self, source: Folded, span: Span) -> Span:
        if source.identical:
            return span
        start, end = source.origin(span.start, span.end)
        return Span(start, end, span.kind, span.same)


_policy = lru_cache(maxsize=64)(_Policy)


class Numbers:
    """Gives equal values of a kind one number, from 1 on, and counts what was replaced.

    Args:
        masked: Whether placeholders carry what they stand for, masked.
        values: Takes what each placeholder stands for, as it stood first; None: nobody asks.
        taken: The highest numbers that stand already, by kind; None: none does.
    """

    def __init__(
        self,
        *,
        masked: bool = False,
        values: dict[str, str] | None = None,
        taken: Mapping[str, int] | None = None,
    ) -> None:
        self._masked = masked
        self._values = values
        self._known: dict[tuple[str, str], int] = {}
        self._last: dict[str, int] = dict(taken or {})
        self.counts: dict[str, int] = {}

    def of(self, kind: str, same: str) -> int:
        """Return a value's number."""
        number = self._known.get((kind, same))
        if number is None:
            number = self._last[kind] = self._last.get(kind, 0) + 1
            self._known[kind, same] = number
        return number

    def placeholder(self, kind: str, same: str, found: str) -> str:
        """Return what stands for a value, and count it."""
        name = kind.casefold()
        self.counts[name] = self.counts.get(name, 0) + 1
        shown = f":{mask(found)}" if self._masked else ""
        made = f"<{kind}_{self.of(kind, same)}{shown}>"
        if self._values is not None:
            self._values.setdefault(made, found)
        return made


_KEPT = re.compile(r"\w+")
_LONGEST_MASK = 40  # characters


def mask(found: str) -> str:
    """Return a value with most of it hidden: `j•••@p••••••.l••`."""
    hidden = _KEPT.sub(
        lambda word: word[0][0] + "•" * (len(word[0]) - 1) if len(word[0]) > 1 else "•", found
    )
    return re.sub(r"[<>\s]", " ", hidden)[:_LONGEST_MASK]


def row(
    values: Mapping[str, str | None], redaction: Redaction, found: dict[str, str] | None = None
) -> tuple[dict[str, str | None], dict[str, int]]:
    """Return a row's texts with placeholders, and how many there are of each kind.

    `found`, if it is given, takes what each placeholder stands for.

    A column of `redaction.columns` is replaced as a whole, and its value wherever else it stands,
    in whatever form people write it: see `names`.

    Raises:
        errors.RowError: If a pattern of the site's own takes too long over a text.
    """
    policy = _policy(redaction)
    numbers = Numbers(masked=redaction.masked, values=found)
    names = Names(values, redaction.columns) if redaction.columns else None

    def redacted(column: str, text: str | None) -> str | None:
        if not text or not text.strip():
            return text
        if column in policy.columns:
            kind = column.upper()
            return numbers.placeholder(kind, compact(fold(text.strip()).text), text.strip())
        return replaced(text, policy.spans(text, names), numbers)

    # Columns first: their placeholders get the low numbers, whatever the order of the texts.
    order = sorted(values, key=lambda column: column not in policy.columns)
    made = {column: redacted(column, values[column]) for column in order}
    return {column: made[column] for column in values}, numbers.counts


def document(
    made: Document,
    redaction: Redaction,
    private: Mapping[str, str | None] | None = None,
    taken: Mapping[str, int] | None = None,
) -> tuple[Document, dict[str, int]]:
    """Return a document with placeholders in title and text, and how many there are of each kind.

    Its URI and its filters stay: they are how it is found. One that belongs to a row has the row's
    `private` columns, whose values are replaced as in the row's own texts, and numbers above those
    that are `taken` there, by kind.
    """
    policy = _policy(redaction)
    numbers = Numbers(taken={kind.upper(): last for kind, last in (taken or {}).items()})
    names = Names(private, redaction.columns) if private else None
    parts = [replaced(part, policy.spans(part, names), numbers) for part in (made.title, made.text)]
    return (
        Document(
            uri=made.uri,
            title=parts[0],
            text=parts[1],
            is_markdown=made.is_markdown,
            filters=made.filters,
        ),
        numbers.counts,
    )


def text(value: str, redaction: Redaction = DEFAULT) -> tuple[str, dict[str, int]]:
    """Return one text with placeholders, and how many there are of each kind."""
    numbers = Numbers(masked=redaction.masked)
    return replaced(value, _policy(redaction).spans(value, None), numbers), numbers.counts


def finds(value: str, redaction: Redaction = DEFAULT) -> list[Finding]:
    """Return what would be replaced in one text."""
    numbers = Numbers()
    return [
        Finding(span.start, span.end, span.kind.casefold(), numbers.of(span.kind, span.same))
        for span in _policy(redaction).spans(value, None)
    ]


def replaced(text: str, spans: Sequence[Span], numbers: Numbers) -> str:
    """Return a text with placeholders for spans, which are in order and do not overlap."""
    parts: list[str] = []
    at = 0
    for span in spans:
        found = text[span.start : span.end]
        parts += [text[at : span.start], numbers.placeholder(span.kind, span.same, found)]
        at = span.end
    return "".join([*parts, text[at:]])
