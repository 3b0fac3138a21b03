"""The door to lxml's HTML parser: what a browser shows of a page, as Markdown, each text once.

The tree is walked with a stack of its own: a page may be nested a hundred thousand deep. Every
element is entered and left once, so that the work grows with the page and not with its depth.
"""

import re
from enum import IntEnum
from typing import Any

import lxml.html

from insights.documents.formats.cleaning import clean, one_line, squeeze
from insights.documents.formats.numerals import written
from insights.documents.formats.survey import Survey, typed

_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "details", "dialog",
    "div", "dl", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr",
    "html", "legend", "main", "nav", "p", "section", "summary", "table", "textarea",
})  # fmt: skip
_LINES = frozenset({"tr", "dt", "dd", "option"})
_APART = frozenset({"button", "select", "label", "img"})  # inline, but words of their own
_CELLS = frozenset({"td", "th"})
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_DEEPEST_LIST = 6
_DEEPEST = 1_900  # libxml2 ends a page at 2,048
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]*)(?=[\s>/])(?![^<>]{0,1000}/>)")
_CLOSING = frozenset({
    "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option", "br", "hr", "img",
    "input", "meta", "link", "col", "area", "base", "wbr", "param", "source", "track", "embed",
})  # fmt: skip
_ARRANGING = re.compile(
    r"</?(div|span|font|b|i|u|s|em|strong|big|small|center|tt|code|a|nobr|section|article|main"
    r"|header|footer|aside|form|label|blockquote|dir|menu|address|o:p|st1:\w+)(?=[\s>/])[^<>]*>",
    re.IGNORECASE,
)


class _Gap(IntEnum):
    """What separates two texts; the wider of two wishes wins."""

    NONE = 0
    BLANK = 1
    LINE = 2
    PARAGRAPH = 3


_WRITTEN = {_Gap.NONE: "", _Gap.BLANK: " ", _Gap.LINE: "\n", _Gap.PARAGRAPH: "\n\n"}


def tree(text: str) -> Any:  # noqa: ANN401 - lxml has no types
    """Return a page's root element; None where there is no element at all.

    Raises:
        RecursionError: If it is nested deeper than libxml2 goes, which would leave out the rest
            without a word. Before, what only arranges and never closed is taken out.
    """
    if _depth(text) > _DEEPEST:
        text = _ARRANGING.sub(lambda tag: "<br>" if tag[1].lower() in _BLOCKS else "", text)
        if _depth(text) > _DEEPEST:
            raise RecursionError
    parser = lxml.html.HTMLParser(huge_tree=True, remove_comments=True, remove_pis=True)
    parser.feed(f"<!DOCTYPE html>{text}")
    root = parser.close()
    for frame in () if root is None or "srcdoc" not in text else list(root.iter("iframe")):
        if page := frame.get("srcdoc"):
            frame.tag, frame.text = "div", None
            if (shown := tree(page)) is not None:
                frame.extend(shown.findall("body"))
    return root


def _depth(text: str) -> int:
    """Return how deep elements are nested at most, whatever closes by itself left out."""
    depth = deepest = 0
    for tag in _TAG.finditer(text):
        if tag[2].lower() not in _CLOSING:
            depth = max(depth - 1, 0) if tag[1] else depth + 1
            deepest = max(deepest, depth)
    return deepest


def title(root: Any) -> str:  # noqa: ANN401
    """Return the text of `<title>`."""
    found = root.find(".//title")
    return "" if found is None else one_line("".join(found.itertext()))


def heading(root: Any) -> str:  # noqa: ANN401
    """Return the text of the first `<h1>`."""
    found = root.find(".//h1")
    return "" if found is None else one_line(clean("".join(found.itertext())))


def markdown(root: Any) -> str:  # noqa: ANN401
    """Return what is shown as Markdown: headings, lists, tables as `cell | cell` lines, code."""
    page = _Page(Survey(root))
    waiting: list[tuple[Any, bool]] = [(root, False)]
    while waiting:
        element, entered = waiting.pop()
        if entered:
            page.leave(element)
        elif page.enter(element):
            page.text(element.text)
            waiting.append((element, True))
            waiting.extend((child, False) for child in reversed(element))
            continue
        if element is not root:
            page.text(element.tail)
    return squeeze(clean(page.written()))


class _Page:
    """What has been written, and what the next text will find before it."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._pieces: list[str] = []
        self._gap = _Gap.NONE
        self._mark = ""  # what begins the next line: "## ", "- "
        self._inline = 0  # within headings and cells, where no line ends
        self._raw = 0  # within `<pre>`
        self._tables: list[bool] = []  # of each open table: it arranges
        self._cells = 0  # begun in this row
        # Each open list's next number, 0 for bullets, and how it is written.
        self._lists: list[tuple[int, str]] = []

    def written(self) -> str:
        return "".join(self._pieces)

    def text(self, text: str | None) -> None:
        if not text:
            return
        if self._raw:
            self._pieces.append(text)
            return
        words = text.split()
        if not words or text[0].isspace():
            self._need(_Gap.BLANK)
        if words:
            self._begin()
            self._pieces.append(" ".join(words))
            if text[-1].isspace():
                self._need(_Gap.BLANK)

    def enter(self, element: Any) -> bool:  # noqa: ANN401
        """Begin an element; False where nothing of it is shown."""
        tag = element.tag
        if not self._survey.shows(element):
            return False
        if tag == "pre" and not self._raw:
            if not "".join(element.itertext()).strip():
                return False
            self._code()
        elif tag in _HEADINGS:
            self._need(_Gap.PARAGRAPH)
            self._mark = "" if self._inline else f"{_HEADINGS[tag]} "
            self._inline += 1
        elif tag == "input":
            self.text(f" {typed(element)} ")
        elif tag in _LISTS or tag == "li":
            self._list(element)
        else:
            self._block(element)
        return True

    def _block(self, element: Any) -> None:  # noqa: ANN401
        tag = element.tag
        if tag in _CELLS:
            self._cell()
        elif tag == "br":
            self._need(_Gap.LINE)
        elif tag in _LINES:
            self._need(_Gap.LINE)
            self._cells = 0
        elif tag in _BLOCKS:
            self._need(_Gap.PARAGRAPH)
            if tag == "table":
                self._tables.append(self._survey.arranges(element))
        elif tag in _APART:
            self._need(_Gap.BLANK)

    def leave(self, element: Any) -> None:  # noqa: ANN401
        tag = element.tag
        if tag == "pre" and self._raw:
            self._raw = 0
            if not self._inline:
                self._pieces.append("\n```")
            self._need(_Gap.PARAGRAPH)
        elif tag in _HEADINGS:
            self._inline -= 1
            self._mark = ""
            self._need(_Gap.PARAGRAPH)
        elif tag in _LISTS:
            self._lists.pop()
            self._need(_Gap.LINE if self._lists else _Gap.PARAGRAPH)
        elif tag == "li":
            self._mark = ""
            self._need(_Gap.LINE)
        else:
            self._end_block(tag)

    def _end_block(self, tag: str) -> None:
        if tag in _CELLS and self._relates():
            self._inline -= 1
            self._need(_Gap.BLANK)
        elif tag in _LINES:
            self._need(_Gap.LINE)
        elif tag in _BLOCKS or tag in _CELLS:
            self._need(_Gap.PARAGRAPH)
            if tag == "table":
                self._tables.pop()
        elif tag in _APART:
            self._need(_Gap.BLANK)

    def _need(self, gap: _Gap) -> None:
        """Ask for at least so much between what was written and what will be."""
        if self._raw:
            if gap > _Gap.BLANK:
                self._pieces.append("\n")
        elif not self._mark:
            self._gap = max(self._gap, _Gap.BLANK if self._inline else gap)

    def _begin(self) -> None:
        """Write the gap and the mark that a text finds before it."""
        if self._pieces:
            self._pieces.append(_WRITTEN[self._gap])
        self._pieces.append(self._mark)
        self._gap, self._mark = _Gap.NONE, ""

    def _code(self) -> None:
        self._need(_Gap.PARAGRAPH)
        self._begin()
        if not self._inline:
            self._pieces.append("```\n")
        self._raw = 1

    def _list(self, element: Any) -> None:  # noqa: ANN401
        if element.tag != "li":
            self._need(_Gap.LINE if self._lists else _Gap.PARAGRAPH)
            start = _number(element, "start", 1) if element.tag == "ol" else 0
            self._lists.append((start, element.get("type") or "1"))
            return
        self._need(_Gap.LINE)
        mark = "-"
        if self._lists and self._lists[-1][0]:
            following, form = self._lists[-1]
            number = _number(element, "value", following)
            self._lists[-1] = (number + 1, form)
            mark = element.get("marker") or f"{written(number, form)}."
        if not self._inline:
            self._mark = "  " * (min(len(self._lists), _DEEPEST_LIST) - 1) + f"{mark} "

    def _relates(self) -> bool:
        """Tell whether the innermost table relates values, a line a row."""
        return bool(self._tables) and not self._tables[-1]

    def _cell(self) -> None:
        if not self._relates():
            self._need(_Gap.PARAGRAPH)
            return
        self._inline += 1
        self._cells += 1
        if self._cells > 1:
            begins = self._gap >= _Gap.LINE or not self._pieces  # an empty cell was the first
            self._gap = self._gap if begins else _Gap.NONE
            self._begin()
            self._pieces.append("|" if begins else " |")
            self._gap = _Gap.BLANK


def _number(element: Any, name: str, default: int) -> int:  # noqa: ANN401
    given = (element.get(name) or "").strip()
    return int(given) if re.fullmatch(r"[0-9]{1,6}", given) else default
