"""The words beside a number, which tell what it is: "call", "part no.", "IBAN", "firmware".

A number whose shape is not enough is judged by the nearest telling word before it, and by the unit
after it. Only a short stretch is looked at, so the work for one candidate is bounded.
"""

import re
from collections.abc import Iterable, Iterator

from insights.governance.redact.folding import Folded

_BACK = 64  # characters before a candidate that are looked at
_ON = 16  # characters after it

_NUMBER = r"(?:[ .:-]{1,3}(?:no|nr|num|number|nummer|num\u00e9ro|n\u00famero)(?![^\W\d_]))?"
_ONLY_NUMBERS = re.compile(
    r"(?:[^\w;]|[\d_]|(?<![^\W\d_])(?:and|bis|code|from|id|is|ist|no|nr|num|numbers?|nummern?|of|oder|or"
    r"|the|to|und|v|ver|von|was|lautet|now|new|neu[^\W\d_]*|a|b|c|e|l)(?![^\W\d_]))*"
)  # each character begins one of them only: nothing is walked twice


def any_of(words: Iterable[str]) -> str:
    """Return a pattern of any of these patterns, sorted by first letters so that most fail at once.

    They are in lower case and for lower-case text: a literal letter is compared without folding.
    """
    groups: dict[str, list[str]] = {}
    for word in words:
        tail = word[1:]
        literal = word[:1].isalpha() and not tail.startswith(("?", "*", "{", "+"))
        groups.setdefault(word[0] if literal else "", []).append(tail if literal else word)
    parts = [
        f"{first}(?:{'|'.join(rest)})" if first else "|".join(rest)
        for first, rest in sorted(groups.items(), reverse=True)
    ]
    return f"(?:{'|'.join(parts)})"


def begun(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yield the matches before which no letter stands, from left to right, none within another.

    Asked after the match: a pattern that asks first is tried at every character, while the engine
    skips to the letters that one may begin with.
    """
    at = 0
    while match := pattern.search(text, at):
        start = match.start()
        if start and text[start - 1].isalpha():
            at = start + 1
        else:
            yield match
            at = match.end()


class Words:
    """Telling words: those that speak for a kind of personal data, and those against.

    All are patterns in lower case, looked for in lower-case text.

    Args:
        for_: Words for it.
        against: Words against it.
        after: Words that speak for it when they follow ("mobile", "office").
    """

    def __init__(
        self, for_: Iterable[str], against: Iterable[str], after: Iterable[str] = ()
    ) -> None:
        both = f"(?P<yes>{any_of(for_)}{_NUMBER})|(?P<no>{any_of(against)})"
        self._telling = re.compile(rf"(?<![^\W\d_])(?:{both})(?![^\W\d_])")
        following = any_of(after) if after else "(?!)"
        self._for = re.compile(rf"(?<![^\W\d_]){any_of(for_)}(?![^\W\d_])")
        self._after = re.compile(rf"[\s,:()-]{{0,3}}{following}(?![^\W\d_])")

    def lean(self, source: Folded, start: int, end: int) -> int:
        """Return 1 where the words beside `text[start:end]` speak for it, -1 against, 0 neither.

        A word against counts where nothing but numbers stands between it and the candidate: "part
        0445-110, 0445-111", but not "the ticket of Ann, 0171/555 1234".
        """
        lower = source.lower
        if self._after.match(lower, end):
            return 1
        before = lower[max(0, start - _BACK) : start]
        found = 0
        for match in self._telling.finditer(before):
            if match["yes"] is not None:
                found = 1
            elif _ONLY_NUMBERS.fullmatch(before, match.end()):
                found = -1
        return found

    def mentions(self, source: Folded) -> Iterator[int]:
        """Yield where words for it stand in the text."""
        return (match.start() for match in self._for.finditer(source.lower))


# What numbers are that nobody is called by, in the languages that tickets come in.
THINGS = (
    r"art(?:ikel|icle)?s?(?:[ .-]{0,2}(?:nr|no|number|nummer|id))?",
    r"auftrag\w*",
    r"asset\w*",
    r"batch\w*",
    r"best(?:ell)?(?:ung|nr|nummer)\w*",
    r"barcodes?",
    r"beleg\w*",
    r"bolt\w*",
    r"bugs?",
    r"build\w*",
    r"cas(?:e|es|[ -]?no|[ -]?nr)?",
    r"catalog\w*",
    r"charge(?:n\w*)?",
    r"chassis",
    r"commande\w*",
    r"commits?",
    r"contrat",
    r"ean",
    r"equipment",
    r"ersatzteil\w*",
    r"factura",
    r"facture",
    r"fattura",
    r"firmware",
    r"ger(?:ä|ae)t\w*",
    r"gtin\w*",
    r"handle",
    r"iccid",
    r"imei\w*",
    r"imsi",
    r"incident\w*",
    r"invoices?",
    r"isbn\w*",
    r"issn",
    r"items?",
    r"jobs?",
    r"kit",
    r"lieferschein\w*",
    r"lot",
    r"material\w*",
    r"meters?",
    r"mod(?:el|ell)?s?(?:nummer)?",
    r"msg[ _-]?id",
    r"orders?(?:[ _-]?(?:no|nr|id))?",
    r"ordine",
    r"orden",
    r"oe(?:m|[ -]?nr)?",
    r"parts?",
    r"pedido",
    r"pids?",
    r"pieces?",
    r"p/?n",
    r"po",
    r"products?",
    r"produkt\w*",
    r"process",
    r"quote",
    r"rechnung\w*",
    r"ref(?:erence|erenz|[ .]?no|[ .]?nr)?",
    r"releases?",
    r"rev(?:ision)?",
    r"r(?:é|e)f(?:é|e)rence",
    r"rfc",
    r"rma",
    r"sach(?:nummer|nr)",
    r"s/?n",
    r"seri(?:al|e|en)\w*",
    r"shipment",
    r"sim(?:[ -]?card)?",
    r"skus?",
    r"sn",
    r"spare\w*",
    r"sscc",
    r"teil(?:e|enr|enummer|nr|nummer)?",
    r"tickets?",
    r"tracking",
    r"transaction",
    r"typ(?:e|en)?(?:nr|nummer)?",
    r"upc",
    r"vin",
    r"vorgang\w*",
    r"waybill",
    r"werkstoff\w*",
    r"zeichnung\w*",
    r"z(?:ä|ae)hler\w*",
)
# What is measured, counted or told in versions and chapters.
READINGS = (
    r"abschnitt",
    r"amounts?",
    r"ausgabe",
    r"betrag",
    r"between",
    r"bios",
    r"build",
    r"chapters?",
    r"codes?",
    r"coordinates?",
    r"counts?",
    r"dates?",
    r"datum",
    r"dims?",
    r"dimensions?",
    r"drehmoment",
    r"driver",
    r"durations?",
    r"figures?",
    r"freq(?:uency|uencies|uenz)?",
    r"from version",
    r"ids?",
    r"kapitel",
    r"latenc(?:y|ies)",
    r"levels?",
    r"lengths?",
    r"lines?",
    r"ma(?:ß|ss)e?",
    r"measure\w*",
    r"menge",
    r"mess\w*",
    r"pages?",
    r"patch",
    r"ports?",
    r"preis\w*",
    r"pressure\w*",
    r"prices?",
    r"punkt",
    r"ranges?",
    r"rates?",
    r"readings?",
    r"samples?",
    r"schicht",
    r"sections?",
    r"seite",
    r"shifts?",
    r"sizes?",
    r"speeds?",
    r"stand",
    r"steps?",
    r"sum(?:me)?",
    r"temp(?:erature|eratur)?s?",
    r"time(?:s|stamp|stamps)?",
    r"tol(?:erance|eranz)?",
    r"torques?",
    r"totals?",
    r"units?",
    r"values?",
    r"versions?",
    r"voltages?",
    r"vom",
    r"werte?n?",
    r"zeit(?:en)?",
    r"zeichnung",
    r"ziffer",
)
_UNITS = re.compile(
    r" ?(?:%|\u20ac|\$|\u00a3|\u00b0|[kM]?(?:Pa|W|V|A|Hz|B|bit|Nm|N|m|g|l|Wh|\u03a9|Ohm)\b"
    r"|[mcdn]m\b"
    r"|mbar\b|bar\b|psi\b|ms\b|s\b|min\b|h\b|rpm\b|U/min|EUR|USD|CHF|GBP|x\b|pcs\b|pieces\b|pc\b"
    r"|Stk\b|St(?:\u00fc|ue)ck\b|units\b|items\b|rows\b|bytes\b|kWh\b|ml\b|mg\b|kg\b|km\b|mA\b|mV\b)"
)


def measured(text: str, end: int) -> bool:
    """Return whether a unit follows: then it is a quantity."""
    return _UNITS.match(text, end, end + _ON) is not None
