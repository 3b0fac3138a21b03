"""What a workbook's number formats write around a number: `%`, a currency, a unit, leading zeros.

A cell of .125 is read as `12.5%`, one of 4711 as `04711`, if that is what its program shows. Only
what stands around a number and before it is taken over; thousands stay without separators.
"""

import math
import re
from dataclasses import dataclass

_LARGEST = 1e15  # above it not every digit is stored
_LEAST_SHARE = 0.025  # of a number that rounding may change
# A format's parts (ECMA-376, 18.8.31): text, a sign by itself, a blank as wide as a sign, a sign
# that fills the cell, a currency with its language, a condition or colour, placeholders.
_PART = re.compile(
    r'"(?P<text>[^"]*)"|\\(?P<sign>.)|_.|\*.|\[\$(?P<money>[^\]-]*)(?:-[^\]]*)?\]|\[[^\]]*\]'
    r"|(?P<number>General|[0#?][0#?.,]*)|(?P<bare>[^0#?])",
    re.IGNORECASE,
)
_SHOWN = frozenset("$€£¥₹% ")  # may stand in a format by themselves
_BUILT_IN = {9: "0%", 10: "0.00%"}  # 5 to 8 and 44 are the currency of whoever looks


@dataclass(frozen=True)
class Format:
    """How a format writes numbers.

    Attributes:
        before: What stands before the number.
        after: What stands behind it.
        decimals: How many it has at least; None: as many as are stored.
        digits: How many stand before the point at least.
        percent: It is a hundred times as large as what is stored.
    """

    before: str
    after: str
    decimals: int | None
    digits: int
    percent: bool

    def written(self, value: float) -> str:
        """Return a number as it is shown; as it is stored where that leaves less than two digits.

        Nothing where it cannot be written so.
        """
        shown = abs(value * 100 if self.percent else value)
        if not math.isfinite(shown) or shown >= _LARGEST:
            return ""
        text = f"{shown:.15g}"
        if self.decimals is not None:
            rounded = f"{shown:.{self.decimals}f}"
            text = rounded if abs(float(rounded) - shown) <= _LEAST_SHARE * shown else text
        whole, point, rest = text.partition(".")
        minus = "-" if value < 0 and float(text) else ""
        return f"{minus}{self.before}{whole.zfill(self.digits)}{point}{rest}{self.after}"


def of(code: str) -> Format | None:
    """Return what a format's code writes; None where it adds nothing to the number, or is a date.

    Its first section counts: those for negative numbers and zero differ in signs and colours.
    """
    before = after = number = ""
    for part in _PART.finditer(_first(code)):
        literal = part["text"] or part["sign"] or part["money"] or part["bare"] or ""
        if part["bare"] and part["bare"] not in _SHOWN:
            return None  # a date, a fraction, an exponent, text
        if part["number"]:
            if number:
                return None
            number = part["number"]
        elif number:
            after += literal
        else:
            before += literal
    before, after = before.lstrip(), after.rstrip()
    whole, _, fraction = number.partition(".")
    general = number.lower() == "general"
    decimals = None if general else sum(sign in "0#?" for sign in fraction)
    digits = 0 if general else whole.count("0")
    if not number or number.endswith(",") or not (before or after or digits > 1):
        return None
    return Format(before, after, decimals, digits, "%" in f"{before}{after}")


def built_in(number: int) -> Format | None:
    """Return what a format writes that a workbook names by its number alone."""
    return of(_BUILT_IN[number]) if number in _BUILT_IN else None


def _first(code: str) -> str:
    """Return the first section of a format, at a `;` that is no text."""
    for sign in re.finditer(r'"[^"]*"|\\.|;', code):
        if sign[0] == ";":
            return code[: sign.start()]
    return code
