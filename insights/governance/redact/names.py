"""Values of columns, wherever and however the row's texts repeat them.

A column declared personal gives its value. Of a name people write "Last, First", either part alone,
initials, a genitive, other case, no accents or `ae` for `ä`, a login made of both parts; a name may
also stand in two columns. Every form gets the placeholder of the column it came from. A value that
is no name (an address, a number) is found as a whole, by lines, and with other separators.

Texts are walked word by word, once, whatever the number of columns.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from insights.governance.redact.folding import folded
from insights.governance.redact.spans import Span, compact
from insights.governance.redact.words import (
    COMPANIES,
    ORDINARY,
    PARTICLES,
    TITLES,
    WHOLE_COLUMNS,
)

_WORD = re.compile(r"[^\W\d_]+|\d+")
_LETTERS = re.compile(r"[^\W\d_]+")
_CAPITAL = re.compile(r"[A-Z](?![^\W\d_])")
_NAME = re.compile(r"[^\W\d_]+\.?(?:[ ,;/&'\n-]{1,3}[^\W\d_]+\.?){0,6}")
_LINE = re.compile(r"[,;\n]+")
# Scripts that put no space between words: a value is looked for as it is.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_GAP = re.compile(r"[ \n,.&/'-]{0,3}")
_SHORTEST = 3  # letters of a part that is found alone, whatever its case
_LONGEST_SEQUENCE = 64  # words of a value that are compared
_LONGEST_NAME = 6  # words
_SHORTEST_NUMBER = 5  # digits of a number that is found with other separators
_SHORTEST_LOGIN = 5
# Endings of a name in a sentence: genitives, and the cases of languages that decline names.
_ENDING = (
    "s es en ens n a u e y i em om ov ova ove ovi owi ego iego emu iemu ym im ie ou ej ia ii in ssa"
    " lla lle lta sta \u0430 \u0443 \u043e\u043c \u0435 \u0430\u043c \u043e\u0439"
    " \u043e\u0433\u043e \u044b\u043c \u043e\u0432\u0443 \u044f \u044e \u0435\u043c"
)
_ENDINGS = frozenset(_ENDING.split())
_LONG_ENOUGH = 5  # letters of a name that is found with such an ending
_PLAIN = str.maketrans(
    {"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
    | {"\u0131": "i"}
)
_WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_DIGRAPHS = re.compile(r"([aou])e")


class _Owner(NamedTuple):
    """The column that a form belongs to: its placeholder's kind, and which of its values."""

    kind: str
    same: str


class _Hit(NamedTuple):
    """A word of the text that may belong to a name.

    `strong` ones tell by themselves; the others, initials and particles, only beside a strong one.
    `whole` ones are a column's value from end to end, and are joined with nothing.
    """

    start: int
    end: int
    owner: _Owner | None
    strong: bool
    whole: bool = False


def keys(word: str) -> tuple[str, ...]:
    """Return the forms a word is compared by: without accents, and with umlauts written out."""
    low = word.lower()
    if low.isascii():
        return (low,)
    plain = _stripped(low.translate(_PLAIN))
    written = _stripped(low.translate(_WRITTEN_OUT).translate(_PLAIN))
    return (plain,) if plain == written else (plain, written)


def _stripped(word: str) -> str:
    apart = unicodedata.normalize("NFD", word)
    if apart == word:
        return word
    return unicodedata.normalize(
        "NFC", "".join(char for char in apart if not unicodedata.combining(char))
    )


class Names:
    """What a row's personal columns give to look for.

    Args:
        values: The row's texts by column.
        columns: The personal ones.
    """

    def __init__(self, values: Mapping[str, str | None], columns: Sequence[str]) -> None:
        self._parts: dict[str, _Owner] = {}
        self._together: dict[str, _Owner] = {}  # logins
        self._short: dict[str, _Owner] = {}  # parts of two letters, found capitalised only
        self._initials: dict[str, _Owner] = {}
        self._sequences: dict[str, list[tuple[tuple[str, ...], _Owner]]] = {}
        self._numbers: dict[str, list[tuple[str, _Owner]]] = {}
        self._exact: list[tuple[str, _Owner]] = []
        people: list[tuple[list[str], _Owner]] = []
        for column in columns:
            value = folded(values.get(column) or "").strip()
            if not value:
                continue
            owner = _Owner(column.upper(), compact(value))
            self._whole(value, owner)
            words = self._person(column, value)
            if words:
                people.append((words, owner))
                self._alone(words, owner)
        self._logins(people)
        wanted = (self._parts, self._together, self._short, self._sequences)
        # What a word that belongs to a name begins with, whatever ending it bears.
        self._stems = {form[:_SHORTEST] for forms in wanted for form in forms}
        self._begin = frozenset((*self._stems, *self._initials))
        self._capitals = {initial.upper() for initial in self._initials}

    def find(self, text: str) -> Iterator[Span]:
        """Yield what a folded text repeats."""
        for value, owner in self._exact:
            at = text.find(value)
            while at >= 0:
                yield Span(at, at + len(value), owner.kind, owner.same)
                at = text.find(value, at + len(value))
        if not (self._begin or self._numbers):
            return
        lower = text.lower()
        plain = lower.isascii()
        if plain and not self._numbers and not self._begins(text, lower):
            return
        candidates = self._candidates(_WORD.findall(lower), plain=plain)
        if not candidates:
            return
        words = [match.span() for match in _WORD.finditer(text)]
        hits: list[_Hit] = []
        until = 0
        for at in candidates:
            if at >= until:
                until = at + self._at(text, words, at, hits)
        yield from _linked(text, hits)

    def _begins(self, text: str, lower: str) -> bool:
        """Return whether anything may begin like a name: a look before the text is parted in words.

        Particles alone are no name, and an initial is a capital by itself.
        """
        if any(map(lower.__contains__, self._stems)):
            return True
        return bool(self._capitals) and not self._capitals.isdisjoint(_CAPITAL.findall(text))

    def _candidates(self, lows: Sequence[str], *, plain: bool) -> list[int]:
        """Return which words may belong to a name or a number: most do not begin like one."""
        begin, numbers = self._begin, self._numbers
        if numbers or not plain:
            return [
                at
                for at, low in enumerate(lows)
                if low[:_SHORTEST] in begin
                or low in PARTICLES
                or low[0] in numbers
                or not low.isascii()
            ]
        return [at for at, low in enumerate(lows) if low[:_SHORTEST] in begin or low in PARTICLES]

    # --- what is looked for --------------------------------------------------------------------

    def _whole(self, value: str, owner: _Owner) -> None:
        """Enter the value as it is, and its lines: "Hauptstr. 12, 8001 Zürich"."""
        if not value.isascii() and len(value) > 1 and _UNSPACED.search(value):
            self._exact.append((value, owner))
            self._exact.append((re.sub(r"\s+", "", value), owner))
        if len(owner.same) < _SHORTEST:
            return
        lines = _LINE.split(value)
        for number, part in enumerate([value, *lines] if len(lines) > 1 else lines):
            words = _WORD.findall(part)[:_LONGEST_SEQUENCE]
            mixed = len(words) > 1 and any(word.isdigit() for word in words)
            if words and (number == 0 or mixed):
                self._sequence(words, owner)
        if not _LETTERS.search(value):
            digits = "".join(filter(str.isdigit, value))
            if len(digits) >= _SHORTEST_NUMBER:
                self._numbers.setdefault(digits[0], []).append((digits, owner))

    def _sequence(self, words: Sequence[str], owner: _Owner) -> None:
        if len(words) == 1 and words[0].isdigit() and len(words[0]) <= _SHORTEST:
            return
        forms = [keys(word) for word in words]
        for form in {tuple([some[0] for some in forms]), tuple([some[-1] for some in forms])}:
            self._sequences.setdefault(form[0], []).append((form, owner))

    def _person(self, column: str, value: str) -> list[str]:
        """Return the words of a person's name; none where the value is something else."""
        if not _NAME.fullmatch(value) or WHOLE_COLUMNS.search(column.lower()):
            return []
        words = [word for word in _LETTERS.findall(value) if keys(word)[0] not in TITLES]
        if len(words) > _LONGEST_NAME or any(keys(word)[0] in COMPANIES for word in words):
            return []
        return words

    def _alone(self, words: Sequence[str], owner: _Owner) -> None:
        for word in words:
            forms = keys(word)
            if forms[0] in PARTICLES and len(words) > 1:
                continue
            self._initials.setdefault(forms[0][0], owner)
            if len(word) >= _SHORTEST:
                for form in {*forms, *(_DIGRAPHS.sub(r"\1", form) for form in forms)}:
                    if len(form) >= _SHORTEST:
                        self._parts.setdefault(form, owner)
            elif len(word) > 1:
                self._short.setdefault(forms[0], owner)

    def _logins(self, people: Sequence[tuple[list[str], _Owner]]) -> None:
        """Enter what two parts make in one word: `annberg`, `aberg`, `berga`."""
        parts = [
            (form, owner)
            for words, owner in people
            for word in words
            if keys(word)[0] not in PARTICLES
            for form in keys(word)
        ][: 2 * _LONGEST_NAME]
        for first, _ in parts:
            for last, owner in parts:
                if first == last:
                    continue
                for form in (first + last, first[0] + last, last + first[0]):
                    if len(form) >= _SHORTEST_LOGIN and form not in ORDINARY:
                        self._together.setdefault(form, owner)

    # --- finding it ----------------------------------------------------------------------------

    def _at(self, text: str, words: list[tuple[int, int]], at: int, hits: list[_Hit]) -> int:
        """Look at one word; return how many words what was found here takes, at least one."""
        start, end = words[at]
        word = text[start:end]
        if word[0] in self._numbers and (taken := self._number(text, words, at, hits)):
            return taken
        low = word.lower()
        if end - start == 1 and word != low:
            owner = self._initials.get(keys(low)[0])
            if owner is not None:
                hits.append(_Hit(start, end, owner, strong=False))
                return 1
        forms = (low,) if low.isascii() else keys(word)
        for form in forms:
            for sequence, owner in self._sequences.get(form, ()):
                taken = _follows(text, words, at, sequence)
                if taken:
                    last = words[at + taken - 1][1]
                    hits.append(_Hit(start, last, owner, strong=True, whole=taken > 1))
                    return taken
        if low in PARTICLES:
            hits.append(_Hit(start, end, None, strong=False))
        for form in forms:
            found = self._part(word, form)
            if found is not None:
                owner, cut, strong = found
                hits.append(_Hit(start, end - cut, owner, strong=strong))
                break
        return 1

    def _part(self, word: str, form: str) -> tuple[_Owner, int, bool] | None:
        """Return whose part of a name a word is, and how many of its letters are an ending."""
        owner = self._parts.get(form)
        if owner is not None:
            return owner, 0, form not in ORDINARY or word != word.lower()
        owner = self._together.get(form)
        if owner is not None:
            return owner, 0, True
        owner = self._short.get(form)
        if owner is not None:
            return owner, 0, word[0] != word[0].lower() and form not in ORDINARY
        if form[-1] == "s":
            owner = self._parts.get(form[:-1])
            if owner is not None:
                plain = form[:-1] not in ORDINARY or word != word.lower()
                return (owner, 1, True) if plain else None
        if len(form) > _LONG_ENOUGH and word[0] != word[0].lower():
            for size in (1, 2, 3, 4):
                stem, ending = form[:-size], form[-size:]
                if len(stem) < _LONG_ENOUGH - 1:
                    break
                if ending in _ENDINGS and (owner := self._stem(stem)) is not None:
                    return owner, 0, True
        return None

    def _stem(self, stem: str) -> _Owner | None:
        """Return whose name a stem is: the name itself, or the name without its last vowel."""
        if len(stem) >= _LONG_ENOUGH and stem in self._parts:
            return self._parts[stem]
        for vowel in ("a", "i", "y", "o", "e", "\u0430", "\u0439", "\u0438\u0439"):
            owner = self._parts.get(stem + vowel)
            if owner is not None:
                return owner
        return None

    def _number(self, text: str, words: list[tuple[int, int]], at: int, hits: list[_Hit]) -> int:
        """Look for a number under other separators: 030/901820 for 030 90 18 20."""
        for digits, owner in self._numbers[text[words[at][0]]]:
            made = ""
            for taken, (start, end) in enumerate(words[at : at + len(digits)], 1):
                if taken > 1 and start - words[at + taken - 2][1] > 3:  # noqa: PLR2004 - separators
                    break
                made += text[start:end]
                if not digits.startswith(made):
                    break
                if made == digits:
                    hits.append(_Hit(words[at][0], end, owner, strong=True))
                    return taken
        return 0


def _follows(text: str, words: list[tuple[int, int]], at: int, sequence: tuple[str, ...]) -> int:
    """Return how many words match a sequence from here on, 0 if not all of it stands here."""
    if at + len(sequence) > len(words):
        return 0
    for number, wanted in enumerate(sequence):
        start, end = words[at + number]
        if number and start - words[at + number - 1][1] > 3:  # noqa: PLR2004 - separators
            return 0
        word = text[start:end].lower()
        if word != wanted and (word.isascii() or wanted not in keys(word)):
            return 0
    return len(sequence)


def _linked(text: str, hits: list[_Hit]) -> Iterator[Span]:
    """Yield hits that stand together as one, and drop what is weak and stands alone."""
    group: list[_Hit] = []
    words: set[str] = set()
    for hit in hits:
        word = text[hit.start : hit.end].lower()
        apart = group and not _GAP.fullmatch(text, group[-1].end, hit.start)
        if apart or word in words or (group and (hit.whole or group[-1].whole)):
            yield from _spans(text, group)
            group, words = [], set()
        group.append(hit)
        words.add(word)
    yield from _spans(text, group)


def _spans(text: str, group: list[_Hit]) -> Iterator[Span]:
    """Yield a group's spans, one for each run of words of one column."""
    while group and group[-1].owner is None:
        group.pop()  # a particle belongs to what follows it
    if not group or not (any(hit.strong for hit in group) or _together(text, group)):
        return
    owners = [hit.owner for hit in group]
    for at in range(len(owners) - 1, -1, -1):
        if owners[at] is None:
            owners[at] = owners[at + 1]
    start = 0
    for at in range(1, len(group) + 1):
        if at == len(group) or owners[at] != owners[start]:
            owner = owners[start]
            if owner is not None:
                end = group[at - 1].end
                if end - group[at - 1].start == 1 and text[end : end + 1] == ".":
                    end += 1
                yield Span(group[start].start, end, owner.kind, owner.same)
            start = at


def _together(text: str, group: list[_Hit]) -> bool:
    """Return whether what is weak makes a name together: "J.M.", or all of it in lower case."""
    if len(group) < 2 or len({hit.start for hit in group}) < 2:  # noqa: PLR2004
        return False
    words = {text[hit.start : hit.end].lower() for hit in group if hit.owner is not None}
    if sum(len(word) > 1 for word in words) > 1:
        return True  # "will long": two parts of one name
    letters = [text[hit.start : hit.end] for hit in group]
    dotted = all(text[hit.end : hit.end + 1] == "." for hit in group)
    return dotted and len(set(letters)) > 1 and all(len(letter) == 1 for letter in letters)
