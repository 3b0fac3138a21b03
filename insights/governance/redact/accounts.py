"""Numbers that money is moved by: payment cards and IBANs, by shape and checksum."""

import re
from collections.abc import Iterator
from functools import lru_cache

from stdnum import ean, luhn, numdb

from insights.governance.redact.context import THINGS, Words
from insights.governance.redact.digits import Group, chains, many
from insights.governance.redact.folding import Folded
from insights.governance.redact.signs import Sign, regular
from insights.governance.redact.spans import Span

_CARDS = Words(
    (r"cards?", r"credit", r"debit", r"kredit\w*", r"karten?\w*", r"visa", r"master ?card", r"amex",
     r"american express", r"maestro", r"carte", r"tarjeta", r"carta", r"cart\u00e3o", r"kaart",
     r"kort",
     r"pan", r"cc", r"ccn", r"diners?(?: club)?", r"jcb", r"discover", r"union ?pay", r"girocard"),
    THINGS,
)  # fmt: skip
# Prefixes of issuers with the lengths of their numbers (ISO/IEC 7812; the networks' own tables).
_ISSUERS: tuple[tuple[str, frozenset[int]], ...] = tuple(
    (prefix, frozenset(lengths))
    for prefixes, lengths in (
        ("4", (13, 16, 19)),  # Visa
        ("51 52 53 54 55 222 223 224 225 226 227 228 229 23 24 25 26 270 271 2720", (16,)),
        ("34 37", (15,)),  # American Express
        ("6011 644 645 646 647 648 649 65", (16, 17, 18, 19)),  # Discover
        ("300 301 302 303 304 305 3095 36 38 39", (14, 15, 16, 17, 18, 19)),  # Diners Club
        ("35", (16, 17, 18, 19)),  # JCB (3528 to 3589)
        ("1800 2131", (15,)),  # JCB, older
        ("5018 5020 5038 5893 6304 6390 0604 6759 676 56 57 58", (12, 13, 14, 15, 16, 17, 18, 19)),
        ("50 60 61 63 64 66 67 68 69", (16, 17, 18, 19)),  # Maestro and national schemes
        ("62 81", (16, 17, 18, 19)),  # UnionPay
        ("2200 2201 2202 2203 2204", (16, 17, 18, 19)),  # Mir
        ("508 82", (16,)),  # RuPay
        ("9792", (16,)),  # Troy
    )
    for prefix in prefixes.split()
)
_LONGEST_PREFIX = 4
SHORT, _LONG = 12, 19  # digits of a card
# How the digits of a card are grouped. Otherwise only two groups, however long, or single digits.
_GROUPINGS = frozenset(
    {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 3), (4, 4, 4, 1), (4, 4, 4),
     (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (6, 4, 4), (6, 6), (6, 13), (8, 8), (4, 4, 5), (5, 5, 6),
     (4, 5, 6), (4, 5, 4), (6, 4, 6), (4, 4, 8), (8, 4, 4), (4, 8, 4), (3, 4, 4, 4), (4, 4, 4, 2)}
)  # fmt: skip
_MOST_GROUPS = 5
_BEGINNINGS = frozenset(sizes[:taken] for sizes in _GROUPINGS for taken in range(1, len(sizes) + 1))
_EAN_LENGTH = 13
_PAIRS = 8  # groups of two digits in a card of sixteen

_IBAN_START = re.compile(r"(?<![^\W_])[A-Za-z]{2}[ \n._-]{0,3}\d[ \n._-]{0,3}\d")
_IBAN_REST = re.compile(r"(?:[ \n./_-]{0,3}+[A-Za-z0-9]){11,32}+")
_ALNUM = re.compile(r"[^A-Za-z0-9]+")
_RUN = re.compile(r"[A-Za-z0-9]{11,30}+(?![A-Za-z0-9])")
_EACH = re.compile(r"[A-Za-z0-9]")
CARD = Sign("numbers", (many(SHORT),))
IBAN = Sign("numbers", (regular(_IBAN_START.pattern + _IBAN_REST.pattern),))


def cards(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find payment cards of 12 to 19 digits: an issuer's prefix and length, and Luhn's digit."""
    for groups in chains(source.text, SHORT):
        at = 0
        while at < len(groups):
            taken = _card(source, groups, at)
            if taken:
                first, last = groups[at], groups[at + taken - 1]
                number = "".join(group.digits for group in groups[at : at + taken])
                yield Span(first.start, last.end, "CARD", number)
            at += taken or 1


def _card(source: Folded, groups: list[Group], at: int) -> int:  # noqa: PLR0911 - doubts in order
    """Return how many groups from here on make a card, 0 if none do."""
    first = groups[at].digits
    if len(first) > _LONG or (first[0] in "79" and first[:4] != "9792"):
        return 0
    before = source.text[groups[at].start - 1 : groups[at].start]
    if before.isalnum() or before == "+":
        return 0
    if len(first) == 1:
        return _singles(source, groups, at)
    if len(first) >= _LONGEST_PREFIX and not _lengths(first[:_LONGEST_PREFIX]):
        return 0
    number = ""
    sizes: tuple[int, ...] = ()
    for taken in range(1, min(_MOST_GROUPS, len(groups) - at) + 1):
        group = groups[at + taken - 1]
        number += group.digits
        sizes = (*sizes, len(group.digits))
        begins = sizes in _BEGINNINGS
        if len(number) > _LONG or (taken > 1 and len(number) < SHORT and not begins):
            break
        regular = taken <= 2 or sizes in _GROUPINGS  # noqa: PLR2004 - two groups: wrapped once
        if (
            regular
            and len(number) >= SHORT
            and _is_card(source, number, groups[at].start, group.end)
        ):
            return taken
    if sizes[0] == 2 and len(groups) - at >= _PAIRS:  # noqa: PLR2004 - pairs
        pairs = groups[at : at + _PAIRS]
        number = "".join(group.digits for group in pairs)
        if len(number) == 2 * _PAIRS and _CARDS.lean(source, pairs[0].start, pairs[-1].end) > 0:
            return _PAIRS if _is_card(source, number, pairs[0].start, pairs[-1].end) else 0
    return 0


def _singles(source: Folded, groups: list[Group], at: int) -> int:
    """Return how many single digits make a card: "4 1 1 1 …"."""
    number = ""
    for group in groups[at : at + _LONG]:
        if len(group.digits) != 1:
            break
        number += group.digits
    for taken in range(len(number), 15, -1):  # sixteen and more: shorter runs are readings
        if _is_card(source, number[:taken], groups[at].start, groups[at + taken - 1].end):
            return taken
    return 0


def _is_card(source: Folded, number: str, start: int, end: int) -> bool:
    if len(number) not in _lengths(number[:_LONGEST_PREFIX]) or not luhn.is_valid(number):
        return False
    if len(set(number)) == 1:
        return False
    after = source.text[end : end + 2]
    if after[:1].isalnum() or (after[:1] == "." and after[1:].isdigit()):
        return False
    if end - start > len(number) and len(number) > _EAN_LENGTH:
        return True  # grouped as on a card: no word makes it something else
    lean = _CARDS.lean(source, start, end)
    if len(number) == _EAN_LENGTH and number[0] in "45" and ean.is_valid(number):
        return lean > 0  # a barcode as well, and those are in use
    return lean >= 0


@lru_cache(maxsize=16_384)
def _lengths(prefix: str) -> frozenset[int]:
    found: frozenset[int] = frozenset()
    for issuer, lengths in _ISSUERS:
        if prefix.startswith(issuer):
            found |= lengths
    return found


def ibans(source: Folded, regions: tuple[str, ...]) -> Iterator[Span]:  # noqa: ARG001
    """Find IBANs: a country's length and form (SWIFT's registry) and the check of ISO 7064."""
    text = source.text
    done = 0
    for match in _IBAN_START.finditer(text):
        form = _iban_form(match.group()[:2].upper())
        rest = _IBAN_REST.match(text, match.end()) if form and match.start() >= done else None
        if form is None or rest is None:
            continue
        length, pattern = form
        head = _ALNUM.sub("", match.group()).upper()
        body = _ALNUM.sub("", rest.group()).upper()[: length - 4]
        if not pattern.fullmatch(body) or not _checks(body + head):
            # Of another length than the registry's: only in one piece.
            run = _RUN.match(text, match.end())
            body = "" if run is None else run.group().upper()
            if not body or " " in match.group() or not _checks(body + head):
                continue
            length = 4 + len(body)
        # The rest may run on into the words that follow: walk back to the number's last character.
        end = match.end()
        for found in _EACH.finditer(text, match.end(), rest.end()):
            length -= 1
            end = found.end()
            if length == 4:  # noqa: PLR2004 - country and check digits are before
                break
        if text[end : end + 1].isalnum():
            continue
        yield Span(match.start(), end, "IBAN", (head + body).casefold())
        done = end


def _checks(turned: str) -> bool:
    """Return whether an IBAN, its first four characters moved to the end, is 1 modulo 97."""
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


@lru_cache(maxsize=1024)
def _iban_form(country: str) -> tuple[int, re.Pattern[str]] | None:
    """Return how long a country's IBANs are, and the form of what follows their check digits."""
    found = numdb.get("iban").info(country)[0][1].get("bban", "")
    parts = re.findall(r"(\d+)!?([nac])", found)
    if not parts:
        return None
    signs = {"n": r"\d", "a": "[A-Z]", "c": "[A-Z0-9]"}
    pattern = "".join(f"{signs[kind]}{{{count}}}" for count, kind in parts)
    return 4 + sum(int(count) for count, _ in parts), re.compile(pattern)
