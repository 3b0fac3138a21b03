"""The door to Beautiful Soup: HTML pages become Markdown, so that their headings are kept."""

from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from insights.documents.loaded import Loaded, clean

_DROPPED = ("script", "style", "noscript", "template", "nav", "svg", "form", "iframe")
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt",
    "figcaption", "figure", "footer", "header", "html", "main", "ol", "p", "section", "summary",
    "table", "ul",
})  # fmt: skip


def load(path: Path) -> Loaded:
    """Return the page's main text as Markdown; navigation, scripts and forms are left out."""
    page = BeautifulSoup(path.read_bytes(), "lxml")
    for tag in page(_DROPPED):
        tag.decompose()
    title = page.title.get_text(" ", strip=True) if page.title else ""
    heading = page.find("h1")
    if heading is not None:
        title = heading.get_text(" ", strip=True)
    root = page.find("main") or page.body or page
    lines = (" ".join(line.split()) for line in clean("".join(_walk(root))).split("\n"))
    return Loaded(title, "\n".join(_squeeze(lines)))


def _walk(node: Tag) -> Iterator[str]:
    for child in node.children:
        if isinstance(child, NavigableString):
            if not isinstance(child, PreformattedString):  # comments, doctypes
                yield str(child).replace("\n", " ")
        elif isinstance(child, Tag):
            yield from _element(child)


def _element(tag: Tag) -> Iterator[str]:
    if tag.name in _HEADINGS:
        yield f"\n\n{_HEADINGS[tag.name]} {tag.get_text(' ', strip=True)}\n\n"
    elif tag.name == "pre":
        yield f"\n\n```\n{tag.get_text()}\n```\n\n"
    elif tag.name == "li":
        yield "\n- "
        yield from _walk(tag)
    elif tag.name == "tr":
        cells = (cell.get_text(" ", strip=True) for cell in tag.find_all(["td", "th"]))
        yield f"\n{' | '.join(cells)}\n"
    elif tag.name == "br":
        yield "\n"
    elif tag.name in _BLOCKS:
        yield "\n\n"
        yield from _walk(tag)
        yield "\n\n"
    else:
        yield from _walk(tag)


def _squeeze(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines with at most one empty one in a row."""
    empty = True
    for line in lines:
        if line or not empty:
            yield line
        empty = not line
