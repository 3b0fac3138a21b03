"""What text may do where a legacy screen, a page or a spreadsheet shows it.

A model repeats what it read, and what it read was typed by strangers. `plain` is for screens that
show characters as they are, `html` for pages that print a column into their markup without escaping
it, `csv` for lists that end in a spreadsheet. All three take out what nobody can see.
"""

import html
from typing import Literal

import regex

Policy = Literal["plain", "html", "csv"]

# Format characters: bidi controls and overrides, zero-width spaces, soft hyphens, tags, and fillers
# that show as nothing. Joiners stay where a script or an emoji needs them between two characters.
_JOINED = r"[\p{Extended_Pictographic}\uFE0F\U0001F3FB-\U0001F3FF]"
_SHAPING = r"[\p{Arabic}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Khmer}\p{Mongolian}\p{Syriac}]"  # noqa: E501
_UNSEEN = regex.compile(
    rf"(?<={_JOINED})\u200D(?={_JOINED})(*SKIP)(*FAIL)"
    rf"|(?<={_SHAPING})[\u200C\u200D](?={_SHAPING})(*SKIP)(*FAIL)"
    r"|[\p{Cf}\u115F\u1160\u3164\uFFA0\u2800\u034F--[\u0600-\u0605\u06DD\u070F\u08E2]]",  # signs
    flags=regex.VERSION1,
)
_SCRIPTS = regex.compile(r"(?i)\b((?:java|vb|live)script|data)(\s*):")
_FORMULA = regex.compile(r"[\s\"']*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20|%]")
_NUMBER = regex.compile(r"[+-]?\d[\d.,'\u2019 ]*%?\s*$")
_HALF = regex.compile(r"&[#\w]{0,9}(?=(?:\u2026|\.\.\.)?\Z)")


def seen(text: str) -> str:
    """Return a text without characters that are not seen but change how the rest is."""
    made: str = _UNSEEN.sub("", text.replace("\u2028", "\n").replace("\u2029", "\n"))
    return made


def defused(text: str, policy: Policy) -> str:
    """Return a text that does nothing but show, where the policy says it is shown."""
    if policy == "html":
        # A script's address is parted, for pages that make links of what looks like one.
        return html.escape(_SCRIPTS.sub(r"\1\2 :", text), quote=True)
    if policy == "csv" and _FORMULA.match(text) and not _NUMBER.match(text):
        return f"'{text}"
    return text


def mended(text: str, policy: Policy) -> str:
    """Return a text that was cut, without half an entity at its end."""
    return _HALF.sub("", text) if policy == "html" else text
