"""A folded copy of a text, in which one thing is written one way, with the way back.

NFKC; all white space a blank or a newline; format characters, controls and fillers dropped; every
dash a hyphen, every dot a full stop, every digit one of ten; HTML, percent and backslash escapes
decoded once, `[at]` and `(dot)` as people write them, and inline tags dropped. What looks the same
to a person is then found by one pattern, and `Folded.origin` says where it stands in the original.
"""

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import msgspec
import regex

_DASHES = "\u00ad\u02d7\u2043\u2212\u2796\u30fc\uff0d"  # besides those of category Pd
_DOTS = "\u00b7\u2022\u2024\u2219\u22c5\u3002\u30fb\uff61\u0701\u0702\u06d4"
_SLASHES = "\u2044\u2215\u29f8"
_COLONS = "\u2236\ua789\u02d0\u0589"
_MAP = {
    **dict.fromkeys(_DASHES[1:], "-"),  # U+00AD is a format character and dropped
    **dict.fromkeys(_DOTS, "."),
    **dict.fromkeys(_SLASHES, "/"),
    **dict.fromkeys(_COLONS, ":"),
    **dict.fromkeys("\u2018\u2019\u02bc\u00b4\u2032`", "'"),
    "\u0130": "I",  # its lower case is two characters, the only one of that kind
    **dict.fromkeys("\n\x0b\x0c\x85\u2028\u2029", "\n"),
    **dict.fromkeys("\u115f\u1160\u3164\uffa0\u2800\u034f\u180e", ""),  # fillers: seen as nothing
}
# Characters beside letters that NFKC leaves as they are and that are folded nevertheless.
_ODD = regex.compile(r"[\p{C}\p{Z}\p{Pd}\p{Nd}\p{M}" + regex.escape("".join(_MAP)) + "]")
# Where a piece may start that is not its own folded form. Newlines are told by themselves.
_SPECIAL = re.compile(r"[^ -~\n]+|[&%\\<\[({]")
_OWN_FORM = re.compile(r"[\n !-$')-;=-Z\]-z|}~]*+")  # it stands nowhere
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});?")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_WIDE_PERCENT = re.compile(r"%u([0-9A-Fa-f]{4})")
_LINE_TAG = re.compile(r"<(?:br ?/?|/?p|/?div|/?li|/?t[dr])>", re.IGNORECASE)
_BACKSLASH = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]{1,6})\})")
_SPELLED = re.compile(
    r" ?[\[({<] ?(?:(?P<at>at|@|\u00e4t)|(?P<dot>dot|punkt|point|punto|\.)) ?[\])}>] ?",
    re.IGNORECASE,
)
# Tags that stand inside a word without parting it.
_INLINE = re.compile(
    r"</?(?:a|abbr|b|bdi|bdo|big|code|em|font|i|mark|s|small|span|strong|sub|sup|tt|u|wbr)\b"
    r"[^<>\n]{0,200}>|<!--[^<>]{0,200}-->",
    re.IGNORECASE,
)
_PIECE = 48  # characters beside a line break that tell whether it may cut something
_PIECE_SIGN = re.compile(r"[0-9@]|://|\w[._+-]\w|[a-z][A-Z]|[A-Z]{6}|[^\x00-\x7f]")
_WINDOW = 160  # characters around such a break that are looked at
_JOINT = re.compile(r"(?<=[^\s])[ \t]{0,8}(?:\r\n|\r|\n|<br ?/?>)[ \t>]{0,8}(?=[^\s])")


class Folded:
    """A folded text. Built by `fold`.

    Attributes:
        text: The folded text.
        joints: Where line breaks were dropped, as positions in `text`; only of a joined copy.
    """

    __slots__ = ("_ends", "_folded", "_lower", "_starts", "joints", "text")

    def __init__(
        self,
        text: str,
        pieces: list[tuple[int, int, int]],
        joints: tuple[int, ...] = (),
    ) -> None:
        self.text = text
        self.joints = joints
        self._lower: str | None = None
        # (position in the folded text, start in the original, its end or -1 where both run along)
        self._folded = [piece[0] for piece in pieces]
        self._starts = [piece[1] for piece in pieces]
        self._ends = [piece[2] for piece in pieces]

    @property
    def identical(self) -> bool:
        """Whether the original is its own folded copy."""
        return not self._folded

    @property
    def lower(self) -> str:
        """The folded text in lower case, of the same length: telling words are looked for in it."""
        if self._lower is None:
            self._lower = self.text.lower()
        return self._lower

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """Return where `text[start:end]` stands in the original."""
        if not self._folded:
            return start, end
        first = bisect_right(self._folded, start) - 1
        begin = self._starts[first]
        if self._ends[first] < 0:
            begin += start - self._folded[first]
        last = bisect_right(self._folded, end - 1) - 1
        if self._ends[last] < 0:
            return begin, self._starts[last] + end - self._folded[last]
        return begin, self._ends[last]


class _Builder(msgspec.Struct):
    """Collects what the folded text is made of."""

    source: str
    parts: list[str] = msgspec.field(default_factory=list)
    pieces: list[tuple[int, int, int]] = msgspec.field(default_factory=list)
    length: int = 0
    at: int = 0  # how far the source has been taken

    def keep(self, until: int) -> None:
        """Take the source as it is up to a position."""
        if until > self.at:
            self.pieces.append((self.length, self.at, -1))
            self.parts.append(self.source[self.at : until])
            self.length += until - self.at
            self.at = until

    def put(self, made: str, until: int) -> None:
        """Stand `made` for the source up to a position."""
        if made:
            self.pieces.append((self.length, self.at, until))
            self.parts.append(made)
            self.length += len(made)
        self.at = until


def fold(text: str) -> Folded:
    """Return the folded copy."""
    if _OWN_FORM.fullmatch(text):
        return Folded(text, [])
    built = _Builder(text)
    _fold(built, len(text))
    if not built.pieces or built.pieces == [(0, 0, -1)]:
        return Folded(text, [])
    return Folded("".join(built.parts), built.pieces)


def _fold(built: _Builder, until: int) -> None:
    """Fold the source from where it stands up to a position, or up to the end of a piece there."""
    for match in _SPECIAL.finditer(built.source, built.at, until):
        start, end = max(match.start(), built.at), match.end()
        if start >= end:  # taken with what came before
            continue
        if match.group()[0] > "\x7e" or match.group()[0] < " ":
            _run(built, start, end)
        else:
            _escape(built, start)
    built.keep(until)


def folded(text: str) -> str:
    """Return the folded text alone."""
    return fold(text).text


def joined(text: str, known: Sequence[tuple[int, int]] = ()) -> Folded | None:
    """Return a folded copy of what stands around line breaks, without them.

    Only breaks count beside which something stands that may be a piece of a number or an address,
    and that is not found whole already: lines of prose and lists of addresses cost nothing.

    Args:
        text: The text.
        known: What was found in it, in order.
    """
    if not ("\n" in text or "\r" in text or "<br" in text):
        return None
    breaks = [match.span() for match in _JOINT.finditer(text)]
    if not breaks:
        return None
    kept: list[tuple[int, int]] = []
    at = 0
    for start, end in breaks:
        while at < len(known) and known[at][1] < start:
            at += 1
        ended = at < len(known) and known[at][0] < start
        whole = ended and known[at][1] == start
        following = at + 1 if whole else at
        begun = following < len(known) and known[following][0] == end
        before = "" if whole else text[max(0, start - _PIECE) : start].rsplit(None, 1)[-1]
        after = "" if begun else text[end : end + _PIECE].split(None, 1)[0]
        if _PIECE_SIGN.search(before) or _PIECE_SIGN.search(after):
            kept.append((start, end))
    return _around(text, kept) if kept else None


def _around(text: str, breaks: Sequence[tuple[int, int]]) -> Folded:
    """Return the folded surroundings of some line breaks, without the breaks."""
    built = _Builder(text)
    joints: list[int] = []
    for start, end in breaks:
        if start - _WINDOW > built.at:
            if built.length:
                _fold(built, min(len(text), built.at + _WINDOW))
            if start - _WINDOW > built.at:
                built.put("\n\n", start - _WINDOW)
        _fold(built, start)
        if built.at <= start:
            built.put("", end)
            joints.append(built.length)
    _fold(built, min(len(text), built.at + _WINDOW))
    return Folded("".join(built.parts), built.pieces, tuple(joints))


@lru_cache(maxsize=4096)
def _character(cluster: str) -> str:
    """Return the folded form of a character with its combining marks."""
    made: list[str] = []
    for char in unicodedata.normalize("NFKC", cluster):
        found = _MAP.get(char)
        if found is None:
            found = char
            category = unicodedata.category(char)
            if category[0] == "Z" or char == "\t":
                found = " "
            elif category in {"Cf", "Cc", "Cs", "Co", "Cn"} or "\ufe00" <= char <= "\ufe0f":
                found = ""
            elif category == "Pd":
                found = "-"
            elif category == "Nd":
                found = str(unicodedata.decimal(char))
            elif category in {"Mn", "Me"} and (not made or made[-1].isascii()):
                found = ""  # struck through or adorned: what NFKC could compose is composed
        made.append(found)
    return "".join(made)


def _run(built: _Builder, start: int, end: int) -> None:
    """Fold a run of characters beyond printable ASCII."""
    source = built.source
    run = source[start:end]
    if unicodedata.is_normalized("NFKC", run) and _ODD.search(run) is None:
        return  # kept with what follows
    if unicodedata.combining(run[0]) and start > built.at:
        start -= 1  # a mark belongs to the letter before it
    at = start
    while at < end:
        until = at + 1
        while until < end and unicodedata.combining(source[until]):
            until += 1
        cluster = source[at:until]
        if cluster == "\r":
            cluster = "" if source[until : until + 1] == "\n" else "\n"
        made = _character(cluster) if cluster else ""
        if made != source[at:until]:
            built.keep(at)
            built.put(made, until)
        at = until


def _escape(built: _Builder, start: int) -> None:  # noqa: C901 - one case a sign
    """Decode an escape, a spelled-out sign or an inline tag that stands here, if one does."""
    source = built.source
    char = source[start]
    if char == "&":
        if match := _ENTITY.match(source, start):
            decoded = html.unescape(match.group())
            if decoded != match.group():
                _decoded(built, start, match.end(), decoded)
    elif char == "%":
        if match := _PERCENT.match(source, start):
            _percent(built, start, match.group())
        elif match := _WIDE_PERCENT.match(source, start):
            _decoded(built, start, match.end(), chr(int(match[1], 16)))
    elif char == "\\":
        if match := _BACKSLASH.match(source, start):
            number = int(match[1] or match[2] or match[3], 16)
            if number <= 0x10FFFF:  # noqa: PLR2004 - Unicode's end
                _decoded(built, start, match.end(), chr(number))
    elif char == "<" and (match := _INLINE.match(source, start) or _LINE_TAG.match(source, start)):
        built.keep(start)
        built.put("\n" if _LINE_TAG.fullmatch(match.group()) else "", match.end())
    else:
        before = start - 1 if start > built.at and source[start - 1] == " " else start
        if match := _SPELLED.match(source, before):
            built.keep(before)
            built.put("@" if match["at"] else ".", match.end())


def _percent(built: _Builder, start: int, run: str) -> None:
    """Decode `%40%C3%BC`, each character standing for its own bytes."""
    raw = unquote_to_bytes(run)
    at = start
    for char in raw.decode("utf-8", "replace"):
        size = len(char.encode()) if char != "\ufffd" else 1
        _decoded(built, at, min(at + 3 * size, start + len(run)), char)
        at += 3 * size


def _decoded(built: _Builder, start: int, end: int, decoded: str) -> None:
    built.keep(start)
    made = "".join(_character(char) if char > "\x7e" or char < " " else char for char in decoded)
    built.put(made, end)
