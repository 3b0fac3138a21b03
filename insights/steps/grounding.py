"""Do the numbers, dates and identifiers of a text stand in its sources?

Numbers are compared as numbers: `1,234.50`, `1.234,50` and `1234.5` are one, `12.34`, `3.0` and
`-5` are not 1,234, 30 and 5. A number that can be read two ways (`1,234`) counts as either. Dates
and times are compared as such, whatever their format; identifiers (`KB-0042`, `10.0.0.7`) by their
letters and digits. Words without a digit are not looked at.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache, partial
from pathlib import PurePosixPath
from typing import NamedTuple

from insights.model import Passage

Facts = frozenset[str]

_KEPT_PASSAGES = 1_024  # facts of a passage are some kilobytes
_CENTURY = 2000  # what a year of two digits belongs to
_TWO_DIGITS = 99
_LONG = 7  # digits from which on a number's hyphens mean nothing
_MOST_EXPONENT = 30
_LONGEST_LABEL = 12
# What is read around each digit: a date of words has one between its month and a digit.
_WORDS_AROUND = 2

_PLAIN_SIGNS = str.maketrans("\u2212\u2013\u2044", "--/")  # minus, en dash, fraction
_DIGIT = re.compile(r"\d")
_TO_BLANK = re.compile(r"\d[^ ]*")
_LETTERS = re.compile(r"[^\W\d_]{3,}")
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
# A run of letters, digits and what stands between them, with its sign, currency and point.
_WORD = re.compile(
    r"(?:(?<![^\s(\[{=:<>~\"'|])[-+](?=[$€£¥]?[.,]?\d))?[$€£¥]?(?:(?<![\w.,])[.,](?=\d))?"
    r"[^\W_][\w.,:;/'\u2019\-]*"
)
# What the patterns behind them cannot do without: these are found ten times as fast.
_MAY_BE_DATE = re.compile(r"\d[./-]\d\d?[./-]\d")
_MAY_BE_SPACED = re.compile(r"\d \d{3}")
_MAY_BE_MINUS = re.compile(r"\d-(?!\S)")
_SPACED = re.compile(r"(?<![\w.,])((?:(?<!\S)[-+])?\d{1,3}(?: \d{3})+(?:[.,]\d+)?)(?!\w|[.,]\d)")
_MINUS_BEHIND = re.compile(r"(?<![\w.,-])(\d[\d.,]*)-(?!\S)")  # as SAP prints what is negative
_GROUPED = {  # by the separator of thousands; 12,34,567 is Indian
    ",": re.compile(r"\d{1,3}(?:,\d{2})*(?:,\d{3})+(?:\.\d+)?"),
    ".": re.compile(r"\d{1,3}(?:\.\d{3})+(?:,\d+)?"),
    "'": re.compile(r"\d{1,3}(?:'\d{3})+(?:[.,]\d+)?"),
}
_PLAIN = re.compile(r"\d*[.,]?\d+")
_SCIENTIFIC = re.compile(r"(\d+)(?:\.(\d+))?e([-+]?\d{1,2})")
_NUMBER = re.compile(r"([-+]?)[$€£¥]?([.,]?\d[\d.,']*)([^\W\d_]{0,4})")
_PIECES = re.compile(r"[/:;,'_]|(?<=[^\W\d_])\.|\.(?=[^\W\d_])")
_BESIDE_LETTER = re.compile(r"(?<=[^\W\d_])[-/]|[-/](?=[^\W\d_])")
_LABEL = re.compile(r"(?<!\w)([^\W\d_]{1,12}) (\d[\w-]*)")
_LABEL_BEFORE = re.compile(r"(?<!\w)([^\W\d_]{1,12}) $")

_DATE_NUMERIC = re.compile(
    r"(?<![\d.,/-])(\d{4})([./-])(\d{1,2})\2(\d{1,2})(?![./-]?\d)"
    r"|(?<![\d.,/-])(\d{1,2})([./-])(\d{1,2})\6(\d{4})(?![./-]?\d)"
    r"|(?<![\d.,/-])(\d{2})([./-])(\d{2})\10(\d{2})(?![./-]?\d)"
)
_TIME = re.compile(
    r"(?<![\d:.,])(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?(?: ?([ap])\.?m\b\.?)?(?![\d:])"
)
# English, German, French, Spanish, Italian and Dutch.
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier janv enero ene gennaio gen januari",
            "feb february februar février févr febrero febbraio februari",
            "mar march märz mär mrz mars marzo maart mrt",
            "apr april avril avr abril abr aprile",
            "may mai mayo maggio mag mei",
            "jun june juni juin junio giugno giu",
            "jul july juli juillet juil julio luglio lug",
            "aug august août agosto ago augustus",
            "sep sept september septembre septiembre settembre",
            "oct october okt oktober octobre octubre ottobre ott",
            "nov november novembre noviembre",
            "dec december dez dezember déc décembre diciembre dic dicembre",
        ),
        start=1,
    )
    for name in names.split()
}
_ALSO_WORDS = frozenset({"may", "mars", "mag", "ago", "gen", "mei", "mar"})  # "3 may fail"
_MONTH = f"({'|'.join(sorted(_MONTHS, key=len, reverse=True))})"
_DAY = r"(\d{1,2})(?:st|nd|rd|th|er|º)?\.?"
_DATE_WORDS = re.compile(
    rf"(?<![\w.,]){_DAY}(?: de| of)?[ -]{_MONTH}(?!\w)(?:\.?(?: de)?,?[ -](\d{{4}})(?!\w))?"
    rf"|(?<!\w){_MONTH}\.? {_DAY}(?!\w|[.,:]\d)(?:,? (\d{{4}})(?!\w))?"
    rf"|(?<!\w){_MONTH}\.? (\d{{4}})(?!\w)"
)


class Claim(NamedTuple):
    """A number, date or identifier that a text states.

    Its `forms` are what it may be read as; `parts` are what else would do, if all of it is known.
    """

    shown: str
    forms: Facts
    parts: tuple[Facts, ...] = ()

    def stands(self, sources: Sequence[Facts]) -> bool:
        """Tell whether any source, or several together for its parts, says so."""
        if any(not self.forms.isdisjoint(known) for known in sources):
            return True
        return bool(self.parts) and all(
            any(not forms.isdisjoint(known) for known in sources) for forms in self.parts
        )


def unfounded(stated: Sequence[Claim], sources: Sequence[Facts]) -> str | None:
    """Return the first number, date or identifier that no source states; None if all stand."""
    return next((claim.shown for claim in stated if not claim.stands(sources)), None)


def of_row(row: Mapping[str, str | None]) -> Facts:
    """Return the facts of a row's values."""
    return frozenset().union(*(facts(value) for value in row.values() if value))


def of_passage(passage: Passage) -> Facts:
    """Return the facts of a passage, with those of its title and file name; kept for the next."""
    return _of_passage(passage.passage_id, passage.uri, passage.title, passage.text)


@lru_cache(maxsize=_KEPT_PASSAGES)
def _of_passage(_passage_id: int, uri: str, title: str, text: str) -> Facts:
    return facts(f"{PurePosixPath(uri).stem} {title}\n{text}")


def facts(text: str) -> Facts:
    """Return every form in which a source states its numbers, dates and identifiers."""
    text = _near_digits(_folded(text))
    if not text:
        return frozenset()
    found: set[str] = set()
    for claim in _claims(text):
        found.update(claim.forms, *claim.parts)
    found.update(*(_of_moment(form) for form in found if form.startswith("@")))
    found.update(_bare(f"{match[1]}{match[2]}") for match in _LABEL.finditer(text))
    for match in _MINUS_BEHIND.finditer(text) if _MAY_BE_MINUS.search(text) else ():
        found.update(_readings(f"-{match[1]}"))
    return frozenset(found)


def claims(text: str) -> list[Claim]:
    """Return what a text states: dates and times, then the numbers and identifiers left."""
    text = _near_digits(_folded(text))
    return _claims(text) if text else []


def _folded(text: str) -> str:
    """Return a text in one case, its compatibility forms, digits, signs and fractions plain."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return folded
    folded = folded.translate(_PLAIN_SIGNS)
    return _FOREIGN_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit.group())), folded)


def _near_digits(text: str) -> str:
    """Return the words with a digit and some around each: all that any pattern here looks at.

    Most of a text is far from a digit, and the patterns are slow.
    """
    found: list[str] = []
    end = 0
    for match in _TO_BLANK.finditer(text):
        begin, after = match.span()
        for _ in range(_WORDS_AROUND + 1):
            begin = text.rfind(" ", 0, begin) if begin > 0 else -1
        for _ in range(_WORDS_AROUND):
            after = text.find(" ", after + 1) if after >= 0 else -1
        if after < 0:
            after = len(text)
        if found and begin < end:
            found[-1] += text[end:after]
        else:
            found.append(text[begin + 1 : after])
        end = after
    return "\n".join(found)


def _claims(text: str) -> list[Claim]:
    found: list[Claim] = []

    def take(read: Callable[[re.Match[str]], Claim | None], match: re.Match[str]) -> str:
        claim = read(match)
        if claim is None:
            return match.group()
        found.append(claim)
        return " " * len(match.group())

    # Each pattern is slower than to see that it cannot match.
    if not _MONTHS.keys().isdisjoint(_LETTERS.findall(text)):
        text = _DATE_WORDS.sub(partial(take, _worded), text)
    if _MAY_BE_DATE.search(text):
        text = _DATE_NUMERIC.sub(partial(take, _dated), text)
    if ":" in text:
        text = _TIME.sub(partial(take, _timed), text)
    if _MAY_BE_SPACED.search(text):
        text = _SPACED.sub(partial(take, _spaced), text)
    for match in _words(text):
        word = match.group().rstrip(".,:;/'\u2019-")
        start = match.start()
        label = _LABEL_BEFORE.search(text[max(0, start - _LONGEST_LABEL - 2) : start])
        found.append(_claim(word, label[1] if label else ""))
    return found


def _words(text: str) -> Iterator[re.Match[str]]:
    """Yield the words with a digit; most have none, and are seen faster without the pattern."""
    at = 0
    for chunk in text.split():
        if _DIGIT.search(chunk):
            at = text.index(chunk, at)
            for match in _WORD.finditer(text, at, at + len(chunk)):
                if _DIGIT.search(match.group()):
                    yield match
            at += len(chunk)


@lru_cache(maxsize=4_096)
def _claim(word: str, label: str) -> Claim:
    """Return one word as a number, or as an identifier with the numbers it is made of."""
    forms = set(_readings(word))
    if forms:
        if label:
            forms.add(_bare(label + word))  # "KB 0042" is KB-0042
        return Claim(word, frozenset(forms))
    bare = _bare(word)
    forms.add(bare)
    digits = bare.replace("-", "").replace("/", "")
    if digits.isdecimal() and len(digits) >= _LONG:
        forms.add(f"~{digits}")
    pieces = [piece for piece in _PIECES.split(word) if piece]
    if len(pieces) == 1 and not any(char.isalpha() for char in word):
        pieces = [piece for piece in word.split("-") if piece]  # "10-15" is 10 and 15
    parts = [
        frozenset({*_readings(piece)} or {_bare(piece)})
        for piece in (pieces if len(pieces) > 1 else ())
        if _DIGIT.search(piece)
    ]
    return Claim(word, frozenset(forms), tuple(parts))


def _bare(word: str) -> str:
    """Return an identifier's spelling: hyphens beside letters mean nothing, between digits do."""
    return _BESIDE_LETTER.sub("", word.strip("-+.,:;/'\u2019 $€£¥"))


def _readings(word: str) -> Iterator[str]:
    """Yield a number's value under each convention of separators that it fits."""
    sign = "-" if word.startswith("-") else ""
    if match := _SCIENTIFIC.fullmatch(word.lstrip("+-")):
        yield from _scientific(sign, match)
        return
    match = _NUMBER.fullmatch(word.replace("\u2019", "'").replace(" ", "'"))
    if match is None:
        return
    digits = match[2]
    if digits.isdecimal() and len(digits) >= _LONG and not match[3]:
        yield f"~{digits}"
    for separator, pattern in _GROUPED.items():
        if pattern.fullmatch(digits) and not digits.startswith("0"):
            whole, _, fraction = digits.replace(separator, "").replace(",", ".").partition(".")
            yield _value(sign, whole, fraction)
    if _PLAIN.fullmatch(digits):
        whole, _, fraction = digits.replace(",", ".").partition(".")
        yield _value(sign, whole, fraction)


def _value(sign: str, whole: str, fraction: str) -> str:
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    value = whole + (f".{fraction}" if fraction else "")
    return "#0" if value == "0" else f"#{sign}{value}"


def _scientific(sign: str, match: re.Match[str]) -> Iterator[str]:
    whole, fraction, exponent = match[1], match[2] or "", int(match[3])
    yield match.group()  # 1E5 may be a part's number
    if abs(exponent) <= _MOST_EXPONENT:
        point = len(whole) + exponent
        digits = "0" * -point + (whole + fraction).ljust(point, "0")
        yield _value(sign, digits[: max(point, 0)], digits[max(point, 0) :])


def _spaced(match: re.Match[str]) -> Claim:
    """Return numbers that blanks part as one number, or as those that they are."""
    parts = tuple(frozenset(_readings(part)) for part in match[1].split())
    return Claim(match[1], frozenset(_readings(match[1])), parts)


def _dated(match: re.Match[str]) -> Claim | None:
    """Return a date of numbers; day and month, or the year's end, may be read in several ways."""
    first, second, third = (
        int(match[at]) for at in ((1, 3, 4) if match[1] else (5, 7, 8) if match[5] else (9, 11, 12))
    )
    forms = set()
    for year, month, day in (
        (first, second, third),
        (third, second, first),
        (third, first, second),
    ):
        try:
            found = date(year if year > _TWO_DIGITS else _CENTURY + year, month, day)
        except ValueError:
            continue
        forms.add(f"@{found.isoformat()}")
    if not forms:
        return None
    return Claim(match.group(), frozenset({*forms, _bare(match.group())}))


def _worded(match: re.Match[str]) -> Claim:
    """Return a date whose month is a word: with a year, a day, or both."""
    day, name, year = next(
        parts
        for parts in (
            (match[1], match[2], match[3]),
            (match[5], match[4], match[6]),
            (None, match[7], match[8]),
        )
        if parts[1]
    )
    month = f"{_MONTHS[name]:02}"
    parts: tuple[Facts, ...] = ()
    if day is None:
        form = f"@{year}-{month}"
    else:
        form = f"@{year or ''}-{month}-{int(day):02}"
        if year is None and name in _ALSO_WORDS:
            parts = (frozenset({_value("", day, "")}),)
    return Claim(match.group(), frozenset({form}), parts)


def _timed(match: re.Match[str]) -> Claim | None:
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if hour > 24 or minute > 59 or second > 59:  # noqa: PLR2004 - a clock's
        return None
    if match[4]:
        hour = hour % 12 + (12 if match[4] == "p" else 0)
    form = f"@t{hour:02}:{minute:02}" + (f":{second:02}" if second else "")
    return Claim(match.group(), frozenset({form, _bare(match.group())}))


def _of_moment(form: str) -> Iterator[str]:
    """Yield what else a source says with a date or a time: its parts."""
    if form.startswith("@t"):
        yield form[:7]  # without seconds
    elif form[1] != "-":
        year, month, *day = form[1:].split("-")
        yield f"#{int(year)}"
        yield f"@{year}-{month}"
        if day:
            yield f"@-{month}-{day[0]}"
