"""Make text fit a legacy column: its character set, its length, and what old screens can show.

Nothing here can fail: a character the column cannot hold is replaced by its nearest plain form, a
text that is too long is cut between characters as people count them and ends in an ellipsis.
"""

import unicodedata
from typing import Literal

import msgspec
import regex

from insights.sinks.text import Policy, defused, mended, seen

Unit = Literal["characters", "bytes", "utf16"]

# What NFKD does not take apart, though every typist knows the plain form.
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019", "'"),  # single quotation marks
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),  # double quotation marks
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),  # dashes, minus
        "\u201a": ",",
        "\u2022": "*",  # bullet
        "\u2192": "->",
        "\u20ac": "EUR",
        "ß": "ss",
        "ø": "o",
        "Ø": "O",
        "æ": "ae",
        "Æ": "AE",
        "œ": "oe",
        "Œ": "OE",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
    }
)
# Controls (all but tab and newline), NUL among them, lone surrogates, and noncharacters.
_UNWANTED = regex.compile(r"[\p{Cc}\p{Cs}\uFFFE\uFFFF--[\t\n]]", flags=regex.VERSION1)
_GRAPHEME = regex.compile(r"\X")


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What a column holds: at most `length` `unit`s (None: any number) of an `encoding`.

    `encoding` is a Python codec name, None where the column holds all of Unicode. `bmp` says that
    characters beyond U+FFFF do not fit (MySQL's and MariaDB's utf8mb3). `policy` says where the
    text is shown: see `sinks.text`.
    """

    length: int | None = None
    unit: Unit = "characters"
    encoding: str | None = None
    bmp: bool = False
    policy: Policy = "plain"


def fit(text: str, room: Room) -> tuple[str, tuple[str, ...]]:
    """Return the text as the column can hold it, and what was done to it.

    Notes are `cleaned` (control and format characters taken out), `replaced` (characters the
    character set lacks), `defused` (what a page or a spreadsheet would run) and `cut`.
    """
    notes = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    clean = _UNWANTED.sub("", seen(lines))
    if clean != lines:
        notes.append("cleaned")
    clean = unicodedata.normalize("NFC", clean)
    held = _held(clean, room)
    if held != clean:
        notes.append("replaced")
    # After the character set: that may have made a plain sign of one that looked like it.
    safe = defused(held, room.policy)
    if safe != held:
        notes.append("defused")
    short = _cut(safe, room)
    if short != safe:
        notes.append("cut")
        short = mended(short, room.policy)
    return short, tuple(notes)


def _held(text: str, room: Room) -> str:
    if _holds(text, room):
        return text
    parts = []
    for char in text:
        if _holds(char, room):
            parts.append(char)
            continue
        plain = unicodedata.normalize("NFKD", char.translate(_PLAIN))
        kept = "".join(c for c in plain if _holds(c, room) and not unicodedata.combining(c))
        ignorable = unicodedata.category(char) in {"Mn", "Me", "Cf"}
        parts.append(kept or ("" if ignorable else "?"))
    return "".join(parts)


def _holds(text: str, room: Room) -> bool:
    if room.bmp and any(ord(char) > 0xFFFF for char in text):  # noqa: PLR2004 - the BMP's end
        return False
    if room.encoding is None:
        return True
    try:
        text.encode(room.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _cut(text: str, room: Room) -> str:
    if room.length is None or _size(text, room) <= room.length:
        return text
    mark = "…" if _holds("…", room) else "..."
    left = room.length - _size(mark, room)
    if left < 0:
        mark, left = "", room.length
    kept, end = [], 0
    for match in _GRAPHEME.finditer(text):
        size = _size(match.group(), room)
        if size > left:
            break
        left -= size
        end = match.end()
        kept.append(match.group())
    short = "".join(kept)
    words = short.rstrip()
    # Back to a word's end, unless that costs more than a fifth of the room.
    if mark and end < len(text) and not text[end].isspace() and words == short:
        at = max(short.rfind(" "), short.rfind("\n"))
        if at > len(short) * 4 // 5:
            words = short[:at].rstrip()
    return words + mark if mark else short


def _size(text: str, room: Room) -> int:
    if room.unit == "characters":
        return len(text)
    if room.unit == "utf16":
        return len(text.encode("utf-16-le")) // 2
    return len(text.encode(room.encoding or "utf-8"))
