"""Whether a quote says anything: "to" is a literal run of words, and no evidence.

Rare words are long ones (G. K. Zipf, "The Psycho-Biology of Language", 1935: the law of
abbreviation holds in every language measured since), so that no list of words is needed: a quote
has a run of letters of a least length, a digit, or two characters of a script that writes a word in
one or two. Where its sources have nothing as long, their longest run is enough.
"""

from collections.abc import Iterable

import regex

LEAST = 3  # letters: most articles, prepositions and pronouns are shorter, an acronym is not
DENSE = 2  # characters
_RUN = regex.compile(
    r"(?P<digit>\p{N})|(?P<dense>[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]+)"
    r"|[[\p{L}\p{M}]--[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]]+",
    regex.V1,
)


def longest(text: str) -> int:
    """Return how much the strongest run of a text says, at most `LEAST`."""
    most = 0
    for found in _RUN.finditer(text):
        if found["digit"]:
            return LEAST
        size = len(found.group())
        most = max(most, size * LEAST // DENSE if found["dense"] else size)
        if most >= LEAST:
            return LEAST
    return most


def is_dense(character: str) -> bool:
    """Return whether a character is of a script that writes a word in one or two."""
    found = _RUN.match(character)
    return found is not None and bool(found["dense"])


def least(texts: Iterable[str]) -> int:
    """Return what a quote from these texts must reach."""
    return max(map(longest, texts), default=0)


def says(quote: str, texts: Iterable[str]) -> bool:
    """Return whether a quote says enough, given what its sources have."""
    return longest(quote) >= least(texts)
