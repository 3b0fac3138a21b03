"""Exact codes in text: error numbers, part numbers, versions, which stemming would take apart.

`E1234`, `KB-0042`, `0x80070005`, `HP/4250-dtn` and `10.0.0.1` are codes: letters with digits, or
digits joined by a separator. In the index each becomes one lexeme, `=e1234`, that only the same
code matches.
"""

import re
from collections.abc import Iterable

_CODE = re.compile(r"(?<![\w.])[^\W_]+(?:[-_./#:][^\W_]+)*")
_LONGEST = 64
_MOST = 200


def codes(text: str) -> list[str]:
    """Return the distinct codes of a text, case-folded, in order of appearance, at most 200."""
    found: dict[str, None] = {}
    for match in _CODE.finditer(text):
        word = match[0]
        if len(word) <= _LONGEST and _is_code(word):
            found[word.casefold()] = None
            if len(found) == _MOST:
                break
    return list(found)


def lexemes(found: Iterable[str]) -> str:
    """Return codes as text of PostgreSQL's tsvector type, each once, with weight A.

    Quotes and backslashes cannot occur: a code holds letters, digits and separators only.
    """
    return " ".join(f"'={code}':1A" for code in found)


def _is_code(word: str) -> bool:
    if not any(char.isdigit() for char in word):
        return False
    return not word.isdigit()
