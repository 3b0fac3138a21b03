"""A site's own patterns, values that are always personal, and values that never are.

Patterns run under a time limit: one that backtracks without end stops that row, not the reader.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import translate

import regex

from insights import errors
from insights.governance.redact.folding import Folded, folded
from insights.governance.redact.spans import Span, compact

# Seconds that one pattern may take over one text. The built-in ones need a tenth for a megabyte.
PATTERN_LIMIT_S = 2.0
_WORDS = re.compile(r"\w+")

Finder = Callable[[Folded, tuple[str, ...]], Iterator[Span]]


def pattern(name: str, expression: str) -> Finder:
    """Return a finder of one pattern; its first group, if it has one, is what is personal."""
    compiled = regex.compile(expression)
    group = 1 if compiled.groups else 0
    kind = name.upper()

    def find(source: Folded, _: tuple[str, ...]) -> Iterator[Span]:
        try:
            for match in compiled.finditer(source.text, timeout=PATTERN_LIMIT_S):
                start, end = match.span(group)
                if end > start:
                    yield Span(start, end, kind, compact(match.group(group)))
        except TimeoutError:
            raise errors.RowError(
                f"the pattern {name} took longer than {PATTERN_LIMIT_S:g} s over one text",
                where="redact.patterns",
                fix="write it without nested repetitions",
            ) from None

    return find


def denied(values: Sequence[str]) -> Finder:
    """Return a finder of values that are always personal, as whole words, in any case."""
    words = "|".join(
        r"\W{1,3}".join(map(re.escape, parts))
        for value in sorted(values, key=len, reverse=True)
        if (parts := _WORDS.findall(folded(value).casefold()))
    )
    compiled = re.compile(rf"(?<!\w)(?:{words or '(?!)'})(?!\w)")

    def find(source: Folded, _: tuple[str, ...]) -> Iterator[Span]:
        for match in compiled.finditer(source.lower):
            yield Span(match.start(), match.end(), "DENIED", compact(match.group()))

    return find


class Allowed:
    """Values that are never replaced: a support address, a hotline. `*` stands for any text.

    Args:
        values: As they may be written; separators and case do not count.
    """

    def __init__(self, values: Sequence[str]) -> None:
        self._exact = {compact(folded(value)) for value in values if "*" not in value}
        wild = [translate(folded(value).casefold()) for value in values if "*" in value]
        self._wild = re.compile("|".join(wild)) if wild else None

    def __bool__(self) -> bool:
        return bool(self._exact) or self._wild is not None

    def __contains__(self, found: str) -> bool:
        if compact(found) in self._exact:
            return True
        return self._wild is not None and self._wild.match(found.casefold()) is not None
