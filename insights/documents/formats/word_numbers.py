"""Numbers that a Word document does not hold but shows: of headings, clauses and steps.

Mammoth makes lists of them, each of which begins with 1, and leaves those of headings out. So a
number is written where it is shown, unless it is a list's own: then the list is told it.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from insights.documents.formats.elements import BASES, added, attribute, child, key, name, namespace
from insights.documents.formats.numerals import written

_LEVELS = 9
_FORMS = {"lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I"}
_SILENT = frozenset({"bullet", "none", ""})
_PLACE = re.compile(r"%([1-9])")
_OF_A_LIST = re.compile(r"(\d{1,6})[.)]?")
# Between these stands the number of a list's item until mammoth has made the list; private use.
_BEGIN, _END = "\ue001", "\ue002"
_ITEM = re.compile(f"<li>((?:<[a-z]+>)*){_BEGIN}(\\d+){_END}")
_MARK = re.compile(f"{_BEGIN}\\d*{_END}")


class Numbers:
    """What a document's lists number, and how far they have counted.

    Args:
        numbering: The root of its part `numbering`.
        styles: The root of its styles.
    """

    def __init__(self, numbering: Any, styles: Any) -> None:  # noqa: ANN401 - lxml has no types
        self._styles = {attribute(one, "styleId"): one for one in styles if name(one) == "style"}
        self._levels: dict[str, dict[int, Any]] = {}
        self._lists: dict[str, str] = {}
        self._begins: dict[str, dict[int, int]] = {}
        links: dict[str, str] = {}
        for one in numbering:
            identity = attribute(one, "abstractNumId")
            if name(one) == "abstractNum":
                levels = (level for level in one if name(level) == "lvl")
                self._levels[identity] = {_whole(attribute(lv, "ilvl")): lv for lv in levels}
                links[identity] = attribute(child(one, "numStyleLink"), "val")
            elif name(one) == "num":
                number = attribute(one, "numId")
                self._lists[number] = attribute(child(one, "abstractNumId"), "val")
                self._begins[number] = {
                    _whole(attribute(level, "ilvl")): _whole(attribute(start, "val"), 1)
                    for level in one
                    if (start := child(level, "startOverride")) is not None
                }
        for number, identity in self._lists.items():
            if link := links.get(identity):
                linked = attribute(_numbered(self._styles.get(link), "numId"), "val")
                self._lists[number] = self._lists.get(linked, identity)
        self._counts: defaultdict[str, list[int | None]] = defaultdict(lambda: [None] * _LEVELS)

    def mark(self, story: Any, is_heading: Callable[[str], bool]) -> None:  # noqa: ANN401
        """Write the number of each paragraph into it.

        Args:
            story: The root of the document.
            is_heading: Tells it of a style's identity.
        """
        for paragraph in list(story.iter("{*}p")):
            properties = child(paragraph, "pPr")
            style = attribute(child(properties, "pStyle"), "val")
            if name(paragraph.getparent()) == "del" or not (
                label := self._label(properties, style)
            ):
                continue
            if is_heading(style):
                _write(paragraph, properties, f"{label} ")
            elif found := _OF_A_LIST.fullmatch(label):
                _write(paragraph, properties, f"{_BEGIN}{found[1]}{_END}")
            else:
                _write(paragraph, properties, f"{label} ")
                _unlist(paragraph, properties)

    def _label(self, properties: Any, style: str) -> str:  # noqa: ANN401
        found = self._found(properties, style)
        if found is None:
            return ""
        number, level = found
        identity = self._lists.get(number, "")
        levels = self._levels.get(identity, {})
        if level not in levels or not 0 <= level < _LEVELS:
            return ""
        counts = self._counts[identity]
        begin = self._begins[number].pop(level, None)
        last = counts[level]
        counts[level] = begin if begin is not None else _start(levels[level])
        if begin is None and last is not None:
            counts[level] = last + 1
        counts[level + 1 :] = [None] * (_LEVELS - level - 1)
        if _form(levels[level]) in _SILENT:
            return ""
        legal = child(levels[level], "isLgl") is not None

        def shown(place: re.Match[str]) -> str:
            at = int(place[1]) - 1
            count, form = counts[at], levels.get(at)
            count = count if count is not None else _start(form)
            if _form(form) == "decimalZero":
                return f"{count:02}"
            return written(count, "1" if legal else _FORMS.get(_form(form), "1"))

        return _PLACE.sub(shown, attribute(child(levels[level], "lvlText"), "val")).strip()

    def _found(self, properties: Any, style: str) -> tuple[str, int] | None:  # noqa: ANN401
        """Return the list and level that number a paragraph, by itself or by its style."""
        own = child(properties, "numPr")
        if (number := attribute(child(own, "numId"), "val")) != "":
            return (number, _whole(attribute(child(own, "ilvl"), "val"))) if number != "0" else None
        seen: set[str] = set()
        while style in self._styles and style not in seen and len(seen) < BASES:
            seen.add(style)
            if number := attribute(_numbered(self._styles[style], "numId"), "val"):
                level = attribute(_numbered(self._styles[style], "ilvl"), "val")
                levels = self._levels.get(self._lists.get(number, ""), {})
                linked = [
                    at
                    for at, one in levels.items()
                    if attribute(child(one, "pStyle"), "val") in seen
                ]
                return (number, (linked or [_whole(level)])[0]) if number != "0" else None
            style = attribute(child(self._styles[style], "basedOn"), "val")
        return None


def told(page: str) -> str:
    """Return the page that mammoth made with the numbers of its lists' items."""
    return _MARK.sub("", _ITEM.sub(r'<li value="\2">\1', page))


def _numbered(style: Any, wanted: str) -> Any:  # noqa: ANN401
    return child(child(child(style, "pPr"), "numPr"), wanted)


def _write(paragraph: Any, properties: Any, text: str) -> None:  # noqa: ANN401
    run = paragraph.makeelement(f"{namespace(paragraph)}r")
    words = added(run, f"{namespace(paragraph)}t")
    words.text = text
    words.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    if properties is None:
        paragraph.insert(0, run)
    else:
        properties.addnext(run)


def _unlist(paragraph: Any, properties: Any) -> None:  # noqa: ANN401
    """Have a paragraph be none of a list: its number is text now."""
    space = namespace(paragraph)
    if properties is None:
        properties = paragraph.makeelement(f"{space}pPr")
        paragraph.insert(0, properties)
    for one in list(properties):
        if name(one) == "numPr":
            properties.remove(one)
    none = added(properties, f"{space}numPr")
    for part in ("ilvl", "numId"):
        added(none, f"{space}{part}").set(f"{space}val", "0")


def _form(level: Any) -> str:  # noqa: ANN401
    form = child(level, "numFmt")
    return attribute(form, "val") if form is not None and key(form, "val") else "decimal"


def _start(level: Any) -> int:  # noqa: ANN401
    return _whole(attribute(child(level, "start"), "val"), 1)


def _whole(text: str, default: int = 0) -> int:
    return int(text[:6]) if text.isdecimal() else default
