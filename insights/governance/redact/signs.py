"""What a text must have for a finder to look at it: a few walks over the text tell for all.

Most texts have nothing personal, and every finder's own search of one costs as much as a find.
Each finder's patterns are made regular (`regular`): what only narrows them is dropped, so that the
result matches wherever the finder may find something, and seldom elsewhere. RE2 takes many of them
along in one walk, some nanoseconds a character (https://swtch.com/~rsc/regexp/regexp3.html).
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import re2

from insights.governance.redact.folding import Folded

# Where a word may begin: behind the text's beginning, or a character that is no letter of Latin-1.
APART = r"(?:^|[^a-z\x{df}-\x{f6}\x{f8}-\x{ff}])"
_AT_ONCE = 16  # repetitions that are counted; more are as good as no bound
_BEGINNINGS = {r"(?<![^\W\d_])": APART, r"(?<![^\W_])": r"(?:^|[^0-9a-z])"}
_TOKEN = re.compile(
    r"(?P<look>\(\?<?[=!])|(?P<open>\((?:\?P<\w+>|\?[a-z-]*:|(?!\?)))|(?P<odd>\(\?.{0,3})|(?P<close>\))"
    r"|(?P<some>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|\\(?:u(?P<code>[0-9a-f]{4})|(?P<again>[1-9])|(?P<end>[AZbB])|(?P<kind>[wWdDsS]))"
    r"|(?P<times>(?:[*+?]|\{(?P<least>\d+)(?P<upto>,?)(?P<most>\d*)\})[+?]?)"
    r"|(?P<edge>[$^])|(?P<plain>\\.|.)",
    re.DOTALL,
)
_OTHERS = (
    r"\x{80}-\x{10ffff}"  # whatever is not ASCII: which of it are letters, engines know differently
)
_CLASSES = {r"[^\W\d_]": f"[A-Za-z{_OTHERS}]", r"[^\W_]": f"[0-9A-Za-z{_OTHERS}]"}
_KINDS = {"w": rf"[\w{_OTHERS}]", "d": r"\d", "s": r"\s"}
_WIDE = "(?s:.)"  # any character


def regular(expression: str) -> str:
    """Return a pattern of RE2 that matches wherever one of `re` does, and perhaps elsewhere.

    Both are for folded texts in lower case. Assertions and what keeps an engine from going back are
    dropped, but for a first one, that no letter goes before. A back reference is what its group may
    be; counts are cut at sixteen; a class that excludes is any character.

    Raises:
        ValueError: If it is written in a way that is not known here.
    """
    made: list[str] = []
    opened: list[
        tuple[int, int]
    ] = []  # where a group began, and its number: 0 has none, -1 is dropped
    groups: list[str] = [""]
    at = 0
    for beginning, known in _BEGINNINGS.items():
        if expression.startswith(beginning):
            made, at = [known], len(beginning)
    for token in _TOKEN.finditer(expression, at):
        if token["odd"]:
            raise ValueError(token["odd"])
        if token["look"]:
            opened.append((len(made), -1))
        elif sign := token["open"]:
            captures = sign == "(" or sign.startswith("(?P")
            opened.append((len(made), len(groups) if captures else 0))
            groups += [""] * captures
            made.append("(?:")
        elif token["close"]:
            begun, number = opened.pop()
            made.append(")")
            made[begun:] = ["".join(made[begun:])] if number >= 0 else []
            if number > 0:
                groups[number] = made[-1]
        elif not (token["end"] or token["edge"]):
            made.append(groups[int(token["again"])] if token["again"] else _loose(token))
    return "".join(made)


def _loose(token: re.Match[str]) -> str:
    if some := token["some"]:
        return _CLASSES.get(some) or (_WIDE if some[1] == "^" else _members(some))
    if kind := token["kind"]:
        return _KINDS.get(kind, _WIDE)
    if token["least"]:
        return _times(int(token["least"]), token["upto"], int(token["most"] or 0))
    if times := token["times"]:
        return times[0]
    return rf"\x{{{token['code']}}}" if token["code"] else token["plain"]


def _times(least: int, upto: str, most: int) -> str:
    if upto:
        bounded = 0 < most <= _AT_ONCE
        return f"{{{least},{most}}}" if bounded else f"{{{min(least, _AT_ONCE)},}}"
    return f"{{{least}}}" if least <= _AT_ONCE else f"{{{_AT_ONCE},}}"


def _members(some: str) -> str:
    inside = re.sub(r"\\u([0-9a-f]{4})", r"\\x{\1}", some)
    return inside.replace(r"\w", rf"\w{_OTHERS}")


class Sign(NamedTuple):
    """What a text must have for one finder.

    Attributes:
        walk: The name of the walk in which it is looked for. What counts characters in ways of its
            own walks by itself: all counts in step would have more states than memory has room for.
        patterns: Patterns of RE2, one of which a folded text in lower case must match.
    """

    walk: str
    patterns: tuple[str, ...]


class Signs:
    """Looks for the signs of several finders at once.

    Args:
        of: The finders' signs.
    """

    def __init__(self, of: Sequence[Sign]) -> None:
        walks: dict[str, list[int]] = {}
        for number, sign in enumerate(of):
            walks.setdefault(sign.walk, []).append(number)
        self._walks = [(_walk(of, numbers), numbers) for numbers in walks.values()]

    def seen(self, source: Folded) -> Sequence[int]:
        """Return the numbers, from 0 on and in order, of the finders that may find something.

        Of a walk that fails, for want of memory, these are all.
        """
        text = source.lower.encode(errors="replace")
        seen: list[int] = []
        for walk, numbers in self._walks:
            found = walk.Match(text)
            if not found or len(numbers) not in found:
                seen += numbers
            elif len(found) > 1:
                seen += [numbers[at] for at in found if at < len(numbers)]
        return sorted(seen)


def _walk(of: Sequence[Sign], numbers: Sequence[int]) -> Any:  # noqa: ANN401 - re2 has no types
    """Return some signs in one set, and behind them what every text has: else the walk failed."""
    made = re2.Set.SearchSet()
    for number in numbers:
        made.Add("(?i)" + "|".join(of[number].patterns))
    made.Add("")
    made.Compile()
    return made
