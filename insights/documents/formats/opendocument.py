"""OpenDocument texts (ODT) as they are shown: changes accepted, notes in their place, once.

The file's own elements are few and are HTML's by other names, so that they are renamed and walked
as a page. (odfdo escapes the hyphen of `P-200` and leaves out headers.)
"""

from typing import Any

import lxml.html

from insights import errors
from insights.documents.formats import archive, markup
from insights.documents.formats.elements import BrokenXmlError, added, attribute, name, parsed
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

# ISO/IEC 26300. Not shown: what was deleted, comments, and lists of contents.
_UNSEEN = frozenset({
    "tracked-changes", "annotation", "annotation-end", "table-of-content", "sequence-decls",
    "variable-decls", "user-field-decls", "forms", "script", "title", "desc", "note-citation",
})  # fmt: skip
_RENAMED = {
    "p": "p", "list": "ul", "list-item": "li", "list-header": "li", "table": "table",
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
    for part in ("header", "footer"):
        margins = [one for one in styles.iter() if name(one) == part]
        for margin in margins[:1]:
            _renamed(margin, page)
    body = next((one for one in content.iter() if name(one) == "body"), None)
    if body is not None:
        _renamed(body, page)
    title = meta.findtext(".//{http://purl.org/dc/elements/1.1/}title")
    text = markup.markdown(page)
    return Loaded(title=usable(title) or usable(markup.heading(page)), text=text)


def _renamed(source: Any, target: Any) -> None:  # noqa: ANN401
    """Copy an element's content into a page, each element by HTML's name."""
    waiting: list[tuple[Any, Any]] = [(source, target)]
    while waiting:
        old, new = waiting.pop()
        _append(new, old.text)
        for child in old:
            called = name(child)
            if called and called not in _UNSEEN and attribute(child, "display") != "none":
                made = added(new, _tag(child, called))
                made.text = " " * _blanks(child) if called in ("s", "tab") else None
                waiting.append((child, made))
            _append(new, child.tail)


def _tag(element: Any, called: str) -> str:  # noqa: ANN401
    if called == "h":
        level = attribute(element, "outline-level")
        return f"h{min(int(level), _DEEPEST_HEADING) if level.isdigit() and int(level) else 1}"
    return _RENAMED.get(called, "span")


def _append(element: Any, text: str | None) -> None:  # noqa: ANN401
    if text and len(element):
        element[-1].tail = (element[-1].tail or "") + text
    elif text:
        element.text = (element.text or "") + text


def _blanks(element: Any) -> int:  # noqa: ANN401
    count = attribute(element, "c")
    return min(int(count), 100) if count.isdigit() else 1
