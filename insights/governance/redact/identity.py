"""What a state knows people by: national ids, tax and health numbers, passports, birth dates.

Three kinds of evidence, in this order: a form that hardly anything else has, with its checksum
(`_EVIDENT`); the stream's `regions`, for which more is an id of that country (`countries.alone`),
and all that passes one of its checks right behind a word for a person; and the words beside a
number ("SSN", "Steuer-ID"), beside which any country's id counts.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType

from insights.governance.redact import countries
from insights.governance.redact.context import READINGS, THINGS, Words, any_of, begun
from insights.governance.redact.folding import Folded
from insights.governance.redact.signs import APART, Sign, regular
from insights.governance.redact.spans import Span, compact

_IDS = Words(countries.WORDS, (*THINGS, "phone", "tel", "call", "iban"))
_WEAK = Words(countries.WORDS, (*THINGS, *READINGS, "phone", "tel", "call", "iban"))
# Words for persons that are known by ids: they count where a number follows at once.
_HOLDER = re.compile(
    rf"(?<![^\W\d_])(?:{any_of(countries.HOLDERS)})(?:'s)?"
    r"(?:[ \n]{0,2}(?:id|no|nr|num|number|nummer|code)\.?)?"
    r"(?:[ \n]{0,2}(?:is|was|ist|lautet|est|es|\u00e8|:|=|#|-)){0,2}[ \n\"'(#]{0,3}\Z"
)
_BEFORE = 48  # characters in which one stands
_NAMED_IDS = re.compile(
    rf"{any_of(countries.CERTAIN)}(?![^\W\d_])"
    r"(?:[ \n]{0,2}(?:card|no|nr|num|number|nummer|id|code|\(ssn\)|\(nino\)))?\.?"
    r"(?:[ \n]{0,2}(?:is|was|ist|lautet|est|es|\u00e8|:|=|#|-)){0,2}[ \n\"'(#]{0,3}"
    r"(?P<id>(?:[a-z]{1,4}[ -]?)?\d[a-z0-9]*+(?:[ \n./-]{1,2}[a-z]?\d[a-z0-9]*+|[ -][a-z]\b){0,6})"
)
_DIGITS = re.compile(r"\d+")
FEWEST = 6  # digits or letters of an id beside a word that says so
_TOKEN = re.compile(r"[A-Za-z]{0,4}\d[A-Za-z0-9]*+(?:[ \n./-]{1,3}[A-Za-z0-9]{1,10}+){0,3}")
_BEGINS = re.compile(r"(?<![^\W_])[A-Za-z]{0,4}\d")
_PARTS = re.compile(r"[A-Za-z0-9]+")
_LETTERS = 6  # before the first digit of an id, in one piece (`countries.PREFIX`)
_LENGTHS = range(7, 21)
_REACH = 128  # characters behind a telling word, more than any word is looked for (`context`)

_FILLER = (
    r"(?![^\W\d_])(?:[ \n.:#'\"()=-]|no|nr|num\w*|nummer|is|ist|lautet|n\u00b0|\u00ba|de|holder|of"
    r"|my|es|est){0,12}"
)
_PASSPORTS = re.compile(
    any_of((
        r"passports?", r"reise ?pass", r"pass(?: ?nummer|[ -]?nr)", r"personalausweis\w*",
        r"ausweis\w*",
        r"identity card", r"id[ -]card", r"passeport", r"carte d'identit\u00e9", r"pasaporte",
        r"passaporto",
        r"passaporte", r"paspoort", r"carta d'identit\u00e0", r"documento de identidad",
        r"green card",
        r"visa (?:no|number)", r"travel document",
    ))
    + _FILLER
    + r"(?P<id>[a-z]{0,3}\d[a-z0-9]{4,11}+|[a-z][a-z0-9]{2}\d[a-z0-9]{3,8}+)"
)  # fmt: skip
_LICENCES = re.compile(
    any_of((
        r"driv(?:er|ing)(?:'?s)?'? licen[cs]e", r"dl", r"f(?:\u00fc|ue)hrerschein\w*",
        r"fahrausweis\w*",
        r"permis de conduire", r"permiso de conducir", r"carnet de conducir",
        r"patente(?: di guida)?",
        r"rijbewijs\w*", r"k\u00f6rkort\w*", r"k\u00f8rekort\w*", r"ajokortti\w*",
        r"carta de condu\u00e7\u00e3o", r"prawo jazdy",
    ))
    + _FILLER
    + r"(?P<id>[a-z]{0,6}\d[a-z0-9]{2,17}+(?:[ /-][a-z]{0,4}\d[a-z0-9]{1,8}+){0,4})"
)  # fmt: skip
_GB_LICENCE = re.compile(r"[A-Z9]{5}\d[0156]\d[0-3]\d\d[A-Z9]{2}\w[A-Z]{2}(?!\w)")
_MONTH = (
    r"(?:jan|feb|m\u00e4r|maer|mar|apr|mai|may|jun|jul|aug|sep|o[kc]t|nov|de[zc]|ene|abr|ago|dic|gen|mag"
    r"|giu|lug|set|ott|f\u00e9v|avr|juin|juil|ao\u00fb|d\u00e9c|mei|maart)[^\W\d_]{0,8}"
)
_DATE = (
    r"\d{1,2} ?[./-] ?\d{1,2} ?[./-] ?(?:\d{4}|\d{2})|\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{8}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\.?(?: of| de)? ?-?{_MONTH}\.?,?(?: de)?[ -]\d{{4}}"
    rf"|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
)
_BIRTHS = re.compile(
    any_of((
        r"born", r"birth(?: ?da(?:te|y))?", r"date of birth", r"d\.? ?o\.? ?b", r"b-?day",
        r"geb(?:oren)?",
        r"geburts(?:datum|tag)", r"geb\.-?datum", r"n\u00e9e?", r"naissance", r"nacid[oa]",
        r"nacimiento",
        r"nat[oa]", r"nascita", r"nascid[oa]", r"nascimento", r"geboorte(?:datum)?", r"f\u00f8dt",
        r"f\u00f8dselsdato", r"f\u00f6dd", r"f\u00f6delsedatum", r"syntynyt", r"syntym\u00e4aika",
        r"urodzon[ya]", r"data urodzenia", r"narozen[\u00fda]?",
        r"\u0440\u043e\u0434\u0438\u043b\w*",
    ))
    + r"(?:[ \n.:,=()'\"*-]|on|the|am|is|was|ist|le|el|il|den|op|date|\(dd[^)]{0,10}\)"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day){0,10}"
    rf"(?P<date>{_DATE})(?!\d)"
)  # fmt: skip
_FORMS = "|".join(
    regular(one.pattern.pattern) for some in countries.EVIDENT.values() for one in some
)
_NUMBER = rf"\d(?:[a-z0-9 \n./-]*\d){{{FEWEST - 2}}}"  # the digits of an id that no form tells
NATIONAL_ID = Sign(
    "ids",
    (
        rf"(?:^|[^0-9a-z.-])(?:{_FORMS})",
        rf"{APART}{regular(any_of(countries.WORDS))}(?s:.*){_NUMBER}",
    ),
)
REGIONAL_ID = Sign("ids", (*NATIONAL_ID.patterns, _NUMBER))  # which no word need tell
PASSPORT = Sign("words", (APART + regular(_PASSPORTS.pattern),))
LICENCE = Sign("words", (APART + regular(_LICENCES.pattern), regular(_GB_LICENCE.pattern)))
BIRTH_DATE = Sign("words", (APART + regular(_BIRTHS.pattern),))


def national_ids(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:
    """Find national ids and tax numbers."""
    yield from _evident(source)
    words = list(_IDS.mentions(source))
    for word in words:
        match = _NAMED_IDS.match(source.lower, word)
        if match is None:
            continue
        value = compact(match["id"])
        if len(value) >= FEWEST and sum(map(str.isdigit, value)) >= FEWEST - 1:
            yield Span(*match.span("id"), "NATIONAL_ID", value)
    wanted = tuple(dict.fromkeys(name for region in regions for name in countries.ids(region)))
    for start, end in [(0, len(source.text))] if wanted else _behind(words):
        yield from _regional(source, wanted, start, end)


def _behind(words: list[int]) -> list[tuple[int, int]]:
    """Return the stretches in which an id may begin that a word before it tells, in order."""
    made: list[tuple[int, int]] = []
    for word in words:
        if made and word <= made[-1][1]:
            made[-1] = made[-1][0], word + _REACH
        else:
            made.append((word, word + _REACH))
    return made


def _evident(source: Folded) -> Iterator[Span]:
    text = source.text
    done = 0
    for digits in _DIGITS.finditer(text):
        start = digits.start()
        if start < done:
            continue
        before = text[start - 1] if start else " "
        if before in " \n./_-" or (before.isalpha() and _may_begin(text, start)):
            prefix = countries.PREFIX.search(text, max(0, start - countries.LONGEST_PREFIX), start)
            if prefix is not None:
                span = _of_form(source, prefix.start(), countries.LETTERS)
                if span is not None:
                    yield span
                    done = span.end
                    continue
        if not (before.isalnum() or before in ".-"):
            span = _of_form(source, start, len(digits.group()))
            if span is not None:
                yield span
                done = span.end


def _may_begin(text: str, start: int) -> bool:
    """Return whether few letters stand before a digit, and no other digit before those."""
    at = start - 1
    while at >= 0 and text[at].isalpha():
        at -= 1
        if start - at > _LETTERS + 1:
            return False
    return at < 0 or not text[at].isdigit()


def _of_form(source: Folded, start: int, begins: int) -> Span | None:
    for evident in countries.EVIDENT.get(begins, ()):
        match = evident.pattern.match(source.text, start)
        if match is None:
            continue
        value = compact(match.group())
        if evident.check is not None and not _valid(evident.check, match.group(), value):
            continue
        if evident.weight <= _IDS.lean(source, start, match.end()):
            return Span(start, match.end(), "NATIONAL_ID", value)
    return None


def _regional(source: Folded, wanted: tuple[str, ...], start: int, end: int) -> Iterator[Span]:
    """Find ids of the stream's countries, and beside telling words those of all countries."""
    text = source.text
    done = 0
    for begin in _BEGINS.finditer(text, start, end):
        at = begin.start()
        match = _TOKEN.match(text, at) if at >= done else None
        if match is None or match.end() - at < _LENGTHS.start:
            continue
        checks: tuple[str, ...] | None = None
        told = False
        ends = [part.end() for part in _PARTS.finditer(text, *match.span())]
        for until in reversed(ends):
            if text[until : until + 1].isalnum():
                continue
            written = text[at:until]
            value = compact(written)
            if len(value) not in _LENGTHS or sum(map(str.isdigit, value)) < FEWEST - 1:
                continue
            if checks is None:
                checks, told = _checks(source, at, until, wanted)
            if not checks:
                break
            if not (told or _stands_alone(text, at, until)):
                continue
            tried = checks if told else countries.alone(checks, written, value)
            if any(_valid(name, written, value) for name in tried):
                yield Span(at, until, "NATIONAL_ID", value)
                done = until
                break


def _checks(
    source: Folded, start: int, end: int, wanted: tuple[str, ...]
) -> tuple[tuple[str, ...], bool]:
    """Return the checks that a number may pass, and whether a word says that it is an id."""
    lean = _WEAK.lean(source, start, end)
    if lean > 0:
        return (*countries.ALL, *wanted), True
    if lean < 0:
        return (), False
    if wanted and _HOLDER.search(source.lower[max(0, start - _BEFORE) : start]):
        return countries.checked(wanted), True
    return wanted, False


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Return whether no code or number goes on before or after it: RE-2026-65707, 1234567.89."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    joins = before[-1:] in {*"-/._:,#"} and before[:1].isalnum()
    goes_on = after[:1] in {*"-/._:,"} and after[1:].isalnum()
    return not (joins or goes_on)


def _valid(name: str, written: str, value: str) -> bool:
    """Return whether an id passes its country's check, as written or without its separators."""
    module = _module(name)
    for number in (value.upper(), written.upper()):
        try:
            if module.is_valid(number):
                return True
        except (ValueError, IndexError, KeyError):  # a check that did not expect such a text
            continue
    return False


@lru_cache(maxsize=256)
def _module(name: str) -> ModuleType:
    return countries.module(name)


def passports(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find numbers of passports and identity cards, beside the word."""
    for match in begun(_PASSPORTS, source.lower):
        yield Span(*match.span("id"), "PASSPORT", compact(match["id"]))


def licences(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find numbers of driving licences, beside the word or in the British form."""
    for match in begun(_LICENCES, source.lower):
        if sum(map(str.isdigit, match["id"])) >= FEWEST - 2:
            yield Span(*match.span("id"), "LICENCE", compact(match["id"]))
    for match in _GB_LICENCE.finditer(source.text):
        if match.start() and source.text[match.start() - 1].isalnum():
            continue
        yield Span(match.start(), match.end(), "LICENCE", compact(match.group()))


def birth_dates(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find dates beside "born", "Geburtsdatum" and the like."""
    for match in begun(_BIRTHS, source.lower):
        yield Span(*match.span("date"), "BIRTH_DATE", compact(match["date"]))
