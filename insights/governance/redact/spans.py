"""What was found, and how overlapping finds become one."""

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """A find: where (positions in one text), of which kind, and what it is the same as.

    `same` tells equal values: finds of one kind with one `same` share a placeholder.
    """

    start: int
    end: int
    kind: str
    same: str


def compact(value: str) -> str:
    """Return a value without separators and case, to compare it with others."""
    return "".join(filter(str.isalnum, value)).casefold() or value


def merged(spans: Iterable[Span]) -> list[Span]:
    """Join overlapping spans under the longest of them, so that no end of one is left over.

    Of equally long ones the first given wins. One sort and one walk: the work is linear in what was
    found but for the sort.
    """
    made: list[Span] = []
    longest = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        length = span.end - span.start
        if made and span.start < made[-1].end:
            before = made[-1]
            chief = span if length > longest else before
            made[-1] = Span(before.start, max(span.end, before.end), chief.kind, chief.same)
            longest = max(longest, length)
        else:
            made.append(span)
            longest = length
    return made
