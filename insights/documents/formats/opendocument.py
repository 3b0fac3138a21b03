"""OpenDocument texts (ODT) as they are shown: changes accepted, notes in their place, once.

The file's own elements are few and are HTML's by other names, so that they are renamed and walked
as a page. (odfdo escapes the hyphen of `P-200` and leaves out headers.)
"""

from typing import Any, NamedTuple

import lxml.html

from insights import errors
from insights.documents.formats import archive, markup
from insights.documents.formats.elements import BrokenXmlError, added, attribute, name, parsed
from insights.documents.formats.outline import Numbering
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

# ISO/IEC 26300. Not shown: what was deleted, comments, and lists of contents.
_UNSEEN = frozenset({
    "tracked-changes", "annotation", "annotation-end", "table-of-content", "sequence-decls",
    "variable-decls", "user-field-decls", "forms", "script", "title", "desc", "note-citation",
})  # fmt: skip
_RENAMED = {
    "p": "p", "list-item": "li", "list-header": "li", "table": "table",
    "table-row": "tr", "table-cell": "td", "covered-table-cell": "td", "line-break": "br",
    "text-box": "div", "note-body": "div", "section": "div", "caption": "p",
}  # fmt: skip
_DEEPEST_HEADING = 6


def load(data: bytes, limits: Limits) -> Loaded:
    """Return headings, paragraphs, lists, tables, boxes and notes as Markdown.

    Raises:
        errors.KnowledgeError: If the file is damaged or locked.
    """
    package = archive.opened(data, limits, "OpenDocument text", ".odt")
    if b"encryption-data" in archive.part(package, "META-INF/manifest.xml"):
        raise errors.KnowledgeError("is encrypted", fix="store it without a password")
    try:
        content = parsed(archive.part(package, "content.xml"))
        styles = parsed(archive.part(package, "styles.xml") or b"<none/>")
        meta = parsed(archive.part(package, "meta.xml") or b"<none/>")
    except BrokenXmlError as exc:
        raise errors.KnowledgeError(
            "is no readable OpenDocument text", fix="save it again as .odt"
        ) from exc
    page = lxml.html.Element("div")
    numbering = Numbering(styles, content)
    for part in ("header", "footer"):
        margins = [one for one in styles.iter() if name(one) == part]
        for margin in margins[:1]:
            _renamed(margin, page, numbering)
    body = next((one for one in content.iter() if name(one) == "body"), None)
    if body is not None:
        _renamed(body, page, numbering)
    title = meta.findtext(".//{http://purl.org/dc/elements/1.1/}title")
    text = markup.markdown(page)
    return Loaded(title=usable(title) or usable(markup.heading(page)), text=text)


def _renamed(source: Any, target: Any, numbering: Numbering) -> None:  # noqa: ANN401
    """Copy an element's content into a page, each element by HTML's name."""
    waiting: list[tuple[Any, Any, _Lists]] = [(source, target, _Lists())]
    while waiting:
        old, new, lists = waiting.pop()
        _append(new, old.text)
        item = numbering.start(old, lists.style, lists.depth) - 1 if name(old) == "list" else 0
        for child in old:
            called = name(child)
            if called == "list-item":
                start = attribute(child, "start-value")
                item = int(start[:6]) if start.isdecimal() else item + 1
            if called and called not in _UNSEEN and attribute(child, "display") != "none":
                inner = lists._replace(numbers=(*lists.numbers, item)) if item else lists
                waiting.append((child, *_made(child, new, inner, numbering)))
            _append(new, child.tail)


class _Lists(NamedTuple):
    """The lists that are open: how many, the style of the innermost, the number of each's item."""

    depth: int = 0
    style: str = ""
    numbers: tuple[int, ...] = ()


def _made(
    element: Any,  # noqa: ANN401
    target: Any,  # noqa: ANN401
    lists: _Lists,
    numbering: Numbering,
) -> tuple[Any, _Lists]:
    """Add an element by HTML's name; return it, and the lists that its content is in."""
    called = name(element)
    made = None
    if called == "h":
        level = attribute(element, "outline-level")
        number = min(int(level), _DEEPEST_HEADING) if level.isdigit() and int(level) else 1
        made = added(target, f"h{number}")
        _append(made, numbering.heading(element))
    elif called == "list":
        style = attribute(element, "style-name") or lists.style
        lists = lists._replace(depth=lists.depth + 1, style=style)
        made = _list(element, target, lists, numbering)
    elif called == "list-item" and _heads(element):
        made = added(target, "div")
    else:
        made = added(target, _RENAMED.get(called, "span"))
        made.text = " " * _blanks(element) if called in ("s", "tab") else None
        made.tail = " " if called == "number" else None
        if called == "list-item":
            made.set("value", str(lists.numbers[-1]) if lists.numbers else "1")
            if label := numbering.label(lists.style, lists.numbers):
                made.set("marker", label)
    return made, lists


def _list(
    element: Any,  # noqa: ANN401
    target: Any,  # noqa: ANN401
    lists: _Lists,
    numbering: Numbering,
) -> Any:  # noqa: ANN401
    items = [one for one in element if name(one) == "list-item"]
    if any(map(_heads, items)):
        return added(target, "div")
    if not (form := numbering.form(lists.style, lists.depth)):
        return added(target, "ul")
    made = added(target, "ol")
    made.set("start", str(numbering.start(element, lists.style, lists.depth)))
    made.set("type", form)
    return made


def _heads(item: Any) -> bool:  # noqa: ANN401
    """Tell whether a list's item only numbers a heading, in it or in a list within."""
    while item is not None and len(item) == 1 and name(item[0]) in ("list", "list-item"):
        item = item[0]
    return item is not None and any(name(one) == "h" for one in item)


def _append(element: Any, text: str | None) -> None:  # noqa: ANN401
    if text and len(element):
        element[-1].tail = (element[-1].tail or "") + text
    elif text:
        element.text = (element.text or "") + text


def _blanks(element: Any) -> int:  # noqa: ANN401
    count = attribute(element, "c")
    return min(int(count), 100) if count.isdigit() else 1
