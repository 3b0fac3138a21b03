"""Chains of digit groups: `4111 1111-1111`, walked once, for everything that is made of digits."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# Groups with up to three separators between them; possessive, so that no chain is walked twice.
_CHAIN = re.compile(r"\d++(?:[ \n._/,-]{1,3}+\d++)*+")
_GROUP = re.compile(r"\d+")


def many(count: int) -> str:
    """Return the sign (`signs`) of a chain that has so many digits."""
    return rf"\d(?:[ \n._/,-]{{0,3}}\d){{{count - 1}}}"


class Group(NamedTuple):
    """One run of digits in a text."""

    start: int
    end: int
    digits: str


def chains(text: str, shortest: int) -> Iterator[list[Group]]:
    """Yield the chains of at least so many characters."""
    for match in _CHAIN.finditer(text):
        if match.end() - match.start() < shortest:
            continue
        yield [
            Group(group.start(), group.end(), group.group())
            for group in _GROUP.finditer(text, match.start(), match.end())
        ]
