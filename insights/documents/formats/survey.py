"""What must be known of a page before it is walked: what it does not show, what its tables are for.

One pass over all elements in their order, so that the work does not grow with nesting.
"""

import re
from dataclasses import dataclass
from typing import Any

UNSEEN = frozenset({
    "script", "style", "noscript", "template", "svg", "iframe", "object", "embed", "audio", "video",
    "canvas", "head", "title", "meta", "link", "map", "datalist", "noframes", "noembed",
    "annotation", "annotation-xml",
})  # fmt: skip
_HIDDEN = re.compile(
    r"(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all)", re.IGNORECASE
)
_TYPED = frozenset({"", "text", "search", "email", "number", "tel", "url", "date", "time", "month"})
_TICKED = {"checkbox": ("\u2610", "\u2612"), "radio": ("\u25cb", "\u25c9")}
# A table with one of these in a cell arranges a page; the others relate values to each other.
_ARRANGED = frozenset({"table", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "hr"})
_FEW_LINKS = 4  # a list of fewer links may be part of the text
_MOSTLY = 0.7  # of its characters are links: it leads somewhere and says nothing


@dataclass
class _Menu:
    """What stands in a menu or list: characters, those of links, links, those within the page."""

    characters: int = 0
    linked: int = 0
    links: int = 0
    within: int = 0

    def add(self, inner: "_Menu") -> None:
        """Count what stands in a list within it."""
        self.characters += inner.characters
        self.linked += inner.linked
        self.links += inner.links
        self.within += inner.within


class Survey:
    """A page's elements that are left out, and its tables that only arrange.

    Args:
        root: The page's root element (lxml).
    """

    def __init__(self, root: Any) -> None:  # noqa: ANN401 - lxml has no types
        self._dropped: set[Any] = set()
        self._layout: set[Any] = set()
        self._tables: list[Any] = []  # open ones, as the next two
        self._links: list[Any] = []
        self._menus: list[_Menu] = []
        self._scan(root)

    def shows(self, element: Any) -> bool:  # noqa: ANN401
        """Tell whether a browser shows an element, and whether it says something.

        Menus and lists of contents do not: they are links, to other pages and to headings of this
        one. Other lists of links stay, they may be all that a page has.
        """
        tag = element.tag
        if not isinstance(tag, str) or tag in UNSEEN or element in self._dropped:
            return False
        if tag in ("html", "body"):  # hidden ones are shown by a script, when the page is complete
            return True
        if tag == "dialog" and element.get("open") is None:
            return False
        style = element.get("style")
        return element.get("hidden") is None and not (style and _HIDDEN.search(style))

    def arranges(self, table: Any) -> bool:  # noqa: ANN401
        """Tell whether a table arranges its page, so that its cells are blocks of their own."""
        return table in self._layout

    def _scan(self, root: Any) -> None:  # noqa: ANN401
        waiting: list[tuple[Any, bool]] = [(root, False)]
        while waiting:
            element, entered = waiting.pop()
            if isinstance(element.tag, str) and element.tag not in UNSEEN and not entered:
                self._enter(element)
                self._count(element.text)
                waiting.append((element, True))
                waiting.extend((child, False) for child in reversed(element))
                continue
            if entered:
                self._leave(element)
            self._count(element.tail)

    def _enter(self, element: Any) -> None:  # noqa: ANN401
        tag = element.tag
        if tag in _ARRANGED and self._tables:
            self._layout.add(self._tables[-1])
        if tag == "table":
            self._tables.append(element)
        elif tag == "select":
            self._choose(element)
        elif tag == "a" and (target := (element.get("href") or "").strip()):
            self._links.append(element)
            if self._menus:
                self._menus[-1].links += 1
                self._menus[-1].within += target.startswith("#")
        if _may_be_menu(element):
            self._menus.append(_Menu())

    def _leave(self, element: Any) -> None:  # noqa: ANN401
        if element.tag == "table":
            self._tables.pop()
        elif self._links and self._links[-1] is element:
            self._links.pop()
        if not _may_be_menu(element):
            return
        menu = self._menus.pop()
        if self._menus:
            self._menus[-1].add(menu)
        named = element.tag == "nav" or element.get("role") is not None
        contents = menu.links >= _FEW_LINKS and menu.within == menu.links
        if menu.linked >= _MOSTLY * menu.characters and (named or contents):
            self._dropped.add(element)

    def _count(self, text: str | None) -> None:
        if text and self._menus:
            length = len(text.strip())
            self._menus[-1].characters += length
            self._menus[-1].linked += length if self._links else 0

    def _choose(self, select: Any) -> None:  # noqa: ANN401
        """Keep what a closed list shows: its selected option, else its first."""
        if select.get("multiple") is not None or (select.get("size") or "1") != "1":
            return
        options = list(select.iter("option"))
        shown = next((one for one in options if one.get("selected") is not None), None)
        shown = shown if shown is not None else next(iter(options), None)
        self._dropped.update(option for option in options if option is not shown)


def typed(element: Any) -> str:  # noqa: ANN401
    """Return what an input field shows; of a box or a choice, whether it is ticked."""
    kind = (element.get("type") or "").strip().lower()
    if kind in _TICKED:
        return _TICKED[kind][element.get("checked") is not None]
    return str(element.get("value") or "") if kind in _TYPED else ""


def _may_be_menu(element: Any) -> bool:  # noqa: ANN401
    return element.tag in ("nav", "ul", "ol") or element.get("role") in ("navigation", "menu")
