"""Telephone numbers: by the numbering plans where a country is known, else by how they are written.

`+` and `00` tell the country; `regions` of a stream tell whose national numbers to look for,
however they are grouped. Of other numbers the shape decides ("(030) 1234567", "212-555-0199"), and
the words beside it, which may also speak against it: dates, ranges, readings and part numbers are
grouped like telephone numbers.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import phonenumbers

from insights.governance.redact.context import READINGS, THINGS, Words, measured
from insights.governance.redact.folding import Folded
from insights.governance.redact.signs import Sign, regular
from insights.governance.redact.spans import Span

_CANDIDATE = re.compile(
    r"(?:\+[ \n]?|\(\+?)?\d(?:[ \n./()_-]{0,4}+\d){5,19}+"
    r"(?P<extension> {0,2}(?:x|ext\.?|extension|durchwahl|app\.?|poste|int\.?) {0,2}"
    r"\d{1,6}(?!\w))?",
    re.IGNORECASE,
)
_NOT_DIGIT = re.compile(r"\D+")
_DIGITS = re.compile(r"\d+")
_DATES = re.compile(
    r"(?<!\d)(?:\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?!\d)|\d{4}([./-])\d{1,2}\2\d{1,2}(?!\d)"
    r"|\d{1,2}\.\d{1,2}\.?(?: ?- ?| bis )\d{1,2}\.\d{1,2}(?!\d))"
)
_TALK = Words(
    (r"tel\w*", r"phones?", r"phone[ -]?n\w*", r"call(?:s|ed|ing|er)?", r"callback", r"dial\w*",
     r"mobile?", r"mobil\w*", r"cell(?:phone|ular)?", r"handy\w*", r"natel", r"fax", r"fon",
     r"desk",
     r"ruf\w*", r"r(?:\u00fc|ue)ckruf\w*", r"anruf\w*", r"erreich\w*", r"reach\w*", r"contacts?",
     r"kontakt\w*", r"text(?:ed)? (?:me|him|her|us)", r"sms", r"whats ?app", r"signal", r"telegram",
     r"hotline", r"landline",
     r"(?:my|his|her|their|our|your|contact|new|work|home) (?:\w+ )?number",
     r"number (?:is|was)", r"ring", r"rang", r"voice ?mail", r"durchwahl", r"festnetz",
     r"nummer ist",
     r"t\u00e9l(?:\u00e9phone)?", r"appel\w*", r"portable", r"joindre", r"tel(?:e|\u00e9)fono\w*",
     r"m\u00f3vil", r"llam\w*", r"cellulare", r"chiam\w*", r"telefoon\w*", r"bel(?:len)?",
     r"ring\w*",
     r"puhelin\w*", r"telemovel", r"telem\u00f3vel", r"celular", r"ligar", r"pager",
     r"toll[ -]?free",
     r"\u0442\u0435\u043b\w*", r"\u7535\u8bdd", r"\u96fb\u8a71", r"at home", r"[tmfpo] ?[:.]"),
    (*THINGS, *READINGS, r"iban", r"konto\w*", r"accounts?", r"customer (?:no|nr|number|id)",
     r"kunden(?:nr|nummer)", r"ssn", r"tax",
     r"cards?", r"no", r"nr", r"numbers?", r"nummer", r"tan", r"pin", r"vat", r"ust\w*", r"swift",
     r"isin", r"wkn", r"plz", r"zip", r"box", r"urlaub"),
    (r"office", r"fax", r"mobile", r"mobil", r"home", r"work", r"cell",
     r"\(?(?:office|mobile|home)\)?",
     r"desk", r"privat", r"direct"),
)  # fmt: skip
_DAY = re.compile(  # 20251129, 29112025
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d\d"
)
_PRICE = re.compile(r"\d+[./]\d\d?")  # 7974756.61, 66594134/68
_RANGE = re.compile(r"\d{4}-\d{4}")  # of years, readings, parts
_STEPS = re.compile(r"\d{1,6}(?:\.\d{1,6}){3,}")  # 1.3.6.1.2.1.1.1.0: a place in a tree of names
_NANP = re.compile(r"(?:\+?1[ .-]?)?(?:\(\d{3}\)[ .-]{0,2}|\d{3}([ .-]))\d{3}[ .-]\d{4}$")
_AREA = re.compile(r"\(0?\d{1,5}\)")
_TRUNK = re.compile(r"0\d{1,5}[ \n]?[ /-][ \n]?\d|0\d{1,4}\.\d{2,3}\.\d{2}")
_FRENCH = re.compile(r"0\d(?:([. -])\d\d)(?:\1\d\d){3}$")
# What libphonenumber tells of a plan by what its numbers are for; its general form is far wider.
_GIVEN_OUT = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip",
    "pager", "uan", "voicemail",
)  # fmt: skip
_FEWEST, _MOST = 7, 15  # digits (E.164)
LOCAL = 6  # digits of a number within a town, found beside its words only
PHONE = Sign("numbers", (regular(_CANDIDATE.pattern),))


def phones(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:
    """Find telephone and fax numbers, with their extensions."""
    text = source.text
    position = 0
    while match := _CANDIDATE.search(text, position):
        start, end = match.span()
        position = end
        before = text[max(0, start - 2) : start]
        if before[-1:].isalnum():
            position = _after_digits(text, start)
            continue
        if before[-1:] == "+":
            start -= 1
        found = _phone(source, start, end, match["extension"], regions)
        if found is not None:
            yield found


def _after_digits(text: str, start: int) -> int:
    match = _DIGITS.match(text, start)
    return match.end() if match else start + 1


def _phone(
    source: Folded, start: int, end: int, extension: str | None, regions: tuple[str, ...]
) -> Span | None:
    """Return the number within a candidate; of a longer one, the part that is a number."""
    text = source.text
    base = end - len(extension or "")
    if text[end : end + 1].isalnum():
        if not extension:
            base = end = _last_gap(text, start, end)
        if base <= start:
            return None
    candidate = text[start:base]
    digits = _NOT_DIGIT.sub("", candidate)
    if candidate.count("\n") > 1 or len(digits) < LOCAL:
        return None
    if candidate.count("(") != candidate.count(")"):
        if candidate.startswith("(") and ")" not in candidate:
            start += 1
        elif "(" in candidate[1:] and ")" not in candidate:
            base = end = start + len(candidate[: candidate.rfind("(")].rstrip())
        candidate = text[start:base]
        digits = _NOT_DIGIT.sub("", candidate)
    kind = _judge(source, start, base, candidate, digits, bool(extension), regions)
    if kind:
        return Span(start, end, "PHONE", _same(candidate, digits))
    return None


def _last_gap(text: str, start: int, end: int) -> int:
    """Return where the last group before a letter begins: "030 1234567 5b"."""
    at = end
    while at > start and text[at - 1].isdigit():
        at -= 1
    while at > start and not text[at - 1].isdigit():
        at -= 1
    return at


def _same(candidate: str, digits: str) -> str:
    """Return what tells a number, however it is written: its digits from the end."""
    if candidate.startswith(("+", "(+")):
        return "+" + digits
    return "+" + digits[2:] if digits.startswith("00") else digits


def _judge(  # noqa: C901, PLR0911 - one question after the other
    source: Folded,
    start: int,
    end: int,
    candidate: str,
    digits: str,
    extended: bool,  # noqa: FBT001 - private
    regions: tuple[str, ...],
) -> bool:
    text = source.text
    if text[end : end + 1] in {".", ","} and text[end + 1 : end + 2].isdigit():
        return False
    plus = candidate.startswith(("+", "(+"))
    if plus or candidate.startswith(("00", "(00")):
        number = digits if plus else digits.removeprefix("00")
        if international(number):
            return plus or extended or _TALK.lean(source, start, end) >= 0
        if plus:
            return _TALK.lean(source, start, end) > 0
    before = text[start - 1 : start]
    if before in {".", ",", "-", "/", ":"} and text[start - 2 : start - 1].isdigit():
        return False
    if _FRENCH.match(candidate):
        return _TALK.lean(source, start, end) >= 0
    if len(digits) > _MOST or _DATES.search(candidate) is not None or _is_place(candidate):
        return False
    lean = _TALK.lean(source, start, end)
    if lean >= 0 and any(_national(digits, region) for region in regions):
        usual = not (measured(text, end) or _other(text, start, candidate))
        if lean > 0 or usual:
            return True
    if lean < 0:  # but an area code in brackets is nothing else's
        return _AREA.match(candidate) is not None and len(digits) > _FEWEST
    if lean > 0:
        return _may_be(candidate, digits)
    if extended:
        return len(digits) >= _FEWEST
    return not measured(text, end) and _shaped(text, start, candidate, digits)


def _other(text: str, start: int, candidate: str) -> bool:
    """Return whether digits of a national plan are written as a day, a price, a range, a code."""
    code = text[start - 1 : start] in {*"-/._:#,"} and text[start - 2 : start - 1].isalnum()
    return code or any(form.fullmatch(candidate) for form in (_DAY, _PRICE, _RANGE))


def _is_place(candidate: str) -> bool:
    """Return whether digits are an object identifier or a chapter: mostly steps of one digit."""
    steps = candidate.split(".")
    return _STEPS.fullmatch(candidate) is not None and 2 * sum(map(len, steps)) < 3 * len(steps)


def _may_be(candidate: str, digits: str) -> bool:
    """Return whether a number beside "call" or "tel" can be one."""
    groups = _DIGITS.findall(candidate)
    if "." in candidate and len(groups) > 1 and all(len(group) == 3 for group in groups[1:]):  # noqa: PLR2004
        return len(digits) > _FEWEST  # 1.234.567 is a quantity
    if _PRICE.fullmatch(candidate):
        return False
    return candidate.count("/") <= 1 or " / " not in candidate  # 7.2 / 12.0 / 16.4


def _shaped(text: str, start: int, candidate: str, digits: str) -> bool:
    """Return whether a number without telling words is written as only telephone numbers are."""
    if _AREA.match(candidate):
        return len(digits) >= _FEWEST
    if text[start - 1 : start] in {"#", "$", "\u20ac"}:
        return False
    groups = _DIGITS.findall(candidate)
    if _NANP.match(candidate):
        spaced = " " in candidate and "-" not in candidate and "." not in candidate
        return not (spaced and _rising(groups))
    if _TRUNK.match(candidate):
        return _trunk(candidate, groups, digits)
    if " " in candidate and not any(sign in candidate for sign in "./-()"):
        usual = 4 <= len(groups) <= 5 and all(2 <= len(group) <= 4 for group in groups)  # noqa: PLR2004
        thousands = all(len(group) == 3 for group in groups[1:])  # noqa: PLR2004
        fours = all(len(group) == 4 for group in groups)  # noqa: PLR2004
        return usual and not (thousands or fours or _rising(groups)) and 9 <= len(digits) <= 12  # noqa: PLR2004
    return False


def _trunk(candidate: str, groups: list[str], digits: str) -> bool:
    """Return whether a number with a leading zero is one of a national plan, not a part's."""
    if not 9 <= len(digits) <= 12:  # noqa: PLR2004 - national numbers with their trunk digit
        return False
    if "/" in candidate:
        return len(groups) <= 5  # noqa: PLR2004
    if " " in candidate or "\n" in candidate:
        return not _rising(groups)
    if len(groups) >= 4:  # noqa: PLR2004 - 055-789-92-64
        return len(groups[0]) >= 2 and not _rising(groups)  # noqa: PLR2004
    dashes = candidate.count("-")
    return dashes == 1 and len(groups[0]) >= 3 and len(groups[1]) >= 5  # noqa: PLR2004


def _rising(groups: list[str]) -> bool:
    """Return whether the groups are a series of readings: each above the one before, or below."""
    if any(group[0] == "0" for group in groups):
        return False
    values = [int(group) for group in groups]
    pairs = list(pairwise(values))
    return all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs)


@lru_cache(maxsize=1)
def _calling_codes() -> dict[str, frozenset[int]]:
    """Return the possible lengths of national numbers by country calling code (libphonenumber)."""
    found: dict[str, frozenset[int]] = {}
    for code, names in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        lengths: set[int] = set()
        for name in names:
            if name == "001":
                plan = phonenumbers.PhoneMetadata.metadata_for_nongeo_region(code)
            else:
                plan = phonenumbers.PhoneMetadata.metadata_for_region(name)
            if plan is not None and plan.general_desc is not None:
                lengths.update(plan.general_desc.possible_length)
        found[str(code)] = frozenset(lengths)
    return found


def international(number: str) -> bool:
    """Return whether digits are a calling code and as many digits as its plan has."""
    for size in (1, 2, 3):
        lengths = _calling_codes().get(number[:size])
        if lengths is not None:
            national = number[size:]
            return len(national) in lengths or (
                national.startswith("0") and len(national) - 1 in lengths  # +49 (0)30 …
            )
    return False


@lru_cache(maxsize=64)
def _plan(region: str) -> tuple[str, re.Pattern[str]] | None:
    """Return a region's trunk prefix and the pattern of the numbers that its plan has given out."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region.upper())
    if metadata is None:
        return None
    given = [
        f"(?:{one.national_number_pattern})"
        for one in (getattr(metadata, name) for name in _GIVEN_OUT)
        if one is not None and one.national_number_pattern
    ]
    return metadata.national_prefix or "", re.compile("|".join(given) or "(?!)")


def _national(digits: str, region: str) -> bool:
    """Return whether digits are a national number of a region, with or without trunk prefix."""
    plan = _plan(region)
    if plan is None or len(digits) < _FEWEST:
        return False
    prefix, pattern = plan
    national = digits.removeprefix(prefix) if prefix else digits
    if prefix not in {"", "1"} and national == digits:
        return False  # without the trunk prefix any number would do
    return pattern.fullmatch(national) is not None
