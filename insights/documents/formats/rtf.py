"""The door to striprtf: Rich Text as plain text.

What striprtf shows that is hidden is taken out before, and what it passes over is put where it
reads: notes, text boxes, and signs of the font Symbol.
"""

import re

from striprtf.striprtf import rtf_to_text

from insights import errors
from insights.documents.formats.cleaning import clean, squeeze
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

_MAGIC = b"{\\rtf"
_TITLE = re.compile(r"{\\title (?P<title>[^{}]{1,400})}")
_PAGE = re.compile(r"\\ansicpg(?P<number>\d{1,5})")
# What a file of a Macintosh or of DOS says in the place of `\ansi`, or as its code page.
_MACHINE = re.compile(r"\A\s*{\\rtf\d*\s*\\(?P<name>mac|pca?)(?![a-z])")
_OF_MACHINE = {
    "mac": "mac_roman", "pc": "cp437", "pca": "cp850", "10000": "mac_roman", "10006": "mac_greek",
    "10007": "mac_cyrillic", "10029": "mac_latin2", "10081": "mac_turkish",
}  # fmt: skip
# Hidden text and deletions; `\v0` is neither. striprtf shows them, and leaves footnotes out.
_UNSEEN = re.compile(r"{(?:\\[a-z]+-?\d* ?)*\\(?:v|deleted)(?![a-z\d])[^{}]*}")
_NOTE = re.compile(r"\\footnote(?![a-z\d]) ?")
_ESCAPED = re.compile(r"\\(?P<sign>[\\{}])")
_BRACE = re.compile(r"\\[^a-z]|[{}]")
_GROUP = re.compile(r"{\\(?:\*\\shpinst|\*\\fldinst|s(?:hp(?:txt)?|p)(?![a-z]))")
_LONGEST_FIELD = 2_000  # characters: of a sign it is one word and its font
_SYMBOL = re.compile(r"\bSYMBOL\s+(?:0x(?P<hex>[0-9a-f]{2,4})|(?P<code>\d{1,5}))\b", re.IGNORECASE)
_CONTROL = re.compile(r"\\[a-z]+-?\d* ?|[{}\s]")
# The encoding of Adobe's font Symbol, from 0x20 and from 0xA0 on.
_LOW = (
    " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_"
    "‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
)
_HIGH = "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑"


def load(data: bytes, _: Limits) -> Loaded:
    """Return the text with a line a paragraph, cells parted by `|`.

    Raises:
        errors.KnowledgeError: If it is no Rich Text.
    """
    if not data.lstrip().startswith(_MAGIC):
        raise errors.KnowledgeError("is no Rich Text", fix="save it again as .rtf or .docx")
    source = data.decode("latin-1")  # every byte is itself: the text's code page is named in it
    # A brace or backslash that is text begins no group and no control word, for striprtf neither.
    source = _ESCAPED.sub(lambda match: f"\\'{ord(match['sign']):02x}", source)
    title = _TITLE.search(source)
    page = _PAGE.search(source)
    source = _NOTE.sub(r"\\line ", _UNSEEN.sub("", _mended(source)))
    encoding = _OF_MACHINE.get(page["number"] if page else "", "")
    if page and encoding:  # which striprtf does not know
        source, page = source.replace(page[0], "", 1), None
    machine = None if page else _MACHINE.match(source)
    encoding = encoding or (_OF_MACHINE[machine["name"]] if machine else "cp1252")
    head = f"{{\\rtf1\\ansi{page[0] if page else ''} "
    return Loaded(
        title=usable(_text(f"{head}{title['title']}}}", encoding)) if title else "",
        text=squeeze(clean(_text(source, encoding).replace("|", " | "))),
        is_markdown=False,
    )


def _mended(source: str) -> str:
    """Have text boxes and signs of the font Symbol be read."""
    if not _GROUP.search(source):
        return source
    ends = _ends(source)
    pieces, at = [], 0
    for match in _GROUP.finditer(source):
        start, opening = match.start(), match[0]
        end = ends.get(start, 0)
        if start < at or not end:
            continue
        if opening.endswith("\\sp"):  # a setting of a box, whose text is read where it stands
            pieces.append(source[at:start])
            at = end
        elif "shp" in opening:
            pieces.append(source[at:start] + "{\\par")
            at = match.end()
        elif end - start < _LONGEST_FIELD:
            result = ends.get(source.find("{", end, end + 3), end)
            if sign := _sign(source[start:end], source[end : min(result, end + _LONGEST_FIELD)]):
                pieces.append(f"{source[at:start]}\\u{ord(sign)}?")
                at = end
    return "".join((*pieces, source[at:]))


def _ends(source: str) -> dict[int, int]:
    """Return where each group ends, by where it begins."""
    ends: dict[int, int] = {}
    open_: list[int] = []
    for brace in _BRACE.finditer(source):
        if brace[0] == "{":
            open_.append(brace.start())
        elif brace[0] == "}" and open_:
            ends[open_.pop()] = brace.end()
    return ends


def _sign(field: str, result: str) -> str:
    """Return what a field of a sign shows whose result is left to the reader."""
    found = _SYMBOL.search(field)
    if found is None or _CONTROL.sub("", result):
        return ""
    code = int(found["hex"], 16) if found["hex"] else int(found["code"])
    if "symbol" not in field[found.end() :].lower():
        return chr(code) if 0x20 < code < 0xD800 else ""  # noqa: PLR2004 - no half of a pair
    low, high = code % 0x1000 - 0x20, code % 0x1000 - 0xA0
    return _LOW[low] if 0 <= low < len(_LOW) else _HIGH[high] if 0 <= high < len(_HIGH) else ""


def _text(source: str, encoding: str) -> str:
    """Return a text whose characters above U+FFFF, written as two halves, are whole."""
    text = str(rtf_to_text(source, encoding=encoding, errors="replace"))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
