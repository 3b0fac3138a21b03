"""The door to mammoth: Word documents as Word shows them with all changes accepted, each text once.

Mammoth knows insertions, moves, content controls, smart tags, notes, merged cells and text boxes.
What it passes over is put right in the package before: fields, formulas, drawings without an old
form beside them, hidden text, headings by another style's name, numbers, headers and footers.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import mammoth

from insights import errors
from insights.documents.formats import archive, chunks, markup
from insights.documents.formats.cleaning import one_line
from insights.documents.formats.elements import (
    BASES,
    BrokenXmlError,
    added,
    attribute,
    child,
    key,
    name,
    namespace,
    parsed,
    written,
)
from insights.documents.formats.titles import usable
from insights.documents.formats.word_numbers import Numbers, told
from insights.documents.messages import Limits, Loaded

# Both forms of the standard (ISO/IEC 29500), strict and transitional, by local names.
_STYLES = "word/styles.xml"
_DOCUMENT = "word/document.xml"
_NUMBERING = "word/numbering.xml"
_MARGIN = re.compile(r"word/(?:header|footer)\d*\.xml")
_STORY = re.compile(r"word/(?:document|footnotes|endnotes|header\d*|footer\d*)\.xml")
_NEEDED = re.compile(r"(?:\[Content_Types\]|_rels/\.|word/[^/]*|word/_rels/[^/]*|docProps/core)\S*")
_TRANSPARENT = frozenset({"fldSimple", "dir", "bdo", "ruby", "rubyBase"})
_KNOWN_AS = {"cr": "br", "ptab": "tab"}
_CONTENTS = re.compile(r"toc \d|toc heading", re.IGNORECASE)
_HEADING = re.compile(r"heading [1-6]|title", re.IGNORECASE)
_DEEPEST_HEADING = 6
_PAGE = re.compile(r"(?:page|seite|p\.|s\.)?[\s\d/|–-]*(?:(?:of|von)[\s\d]*)?", re.IGNORECASE)
_BACK = re.compile(r'<a href="#(?:foot|end)note-ref-\d+">↑</a>')
_STYLE_MAP = "p[style-name='Title'] => h1:fresh"


def load(data: bytes, limits: Limits) -> Loaded:
    """Return headings, paragraphs, lists, tables, boxes and notes in their order as Markdown.

    Raises:
        errors.KnowledgeError: If the file is damaged, locked, or an old `.doc`.
    """
    package = archive.opened(data, limits, "Word document", ".docx")
    if _DOCUMENT not in package.namelist():
        raise errors.KnowledgeError("is no readable Word document", fix="save it again as .docx")
    try:
        prepared, margins, doubts = _prepared(package, limits)
        page = mammoth.convert_to_html(
            prepared,
            style_map=_STYLE_MAP,
            convert_image=_no_image,
            include_embedded_style_map=False,
        ).value
    except (KeyError, ValueError, AttributeError) as exc:
        raise errors.KnowledgeError(
            "is no readable Word document", fix="save it again as .docx"
        ) from exc
    root = markup.tree(told(_BACK.sub("", page)))
    text = "" if root is None else markup.markdown(root)
    heading = "" if root is None else usable(markup.heading(root))
    return Loaded(
        title=usable(_core_title(package)) or heading,
        text="\n\n".join(filter(None, (*margins, text))),
        doubts=doubts,
    )


def _no_image(_: object) -> list[object]:
    return []


def _core_title(package: zipfile.ZipFile) -> str:
    core = archive.part(package, "docProps/core.xml")
    try:
        return parsed(core).findtext("{http://purl.org/dc/elements/1.1/}title") or ""
    except BrokenXmlError:
        return ""


def _prepared(
    package: zipfile.ZipFile, limits: Limits
) -> tuple[io.BytesIO, list[str], tuple[str, ...]]:
    """Return the package that mammoth reads, without pictures, headers and footers, and doubts."""
    styles = parsed(archive.part(package, _STYLES) or b"<none/>")
    contents = _mend_styles(styles)
    numbers = Numbers(parsed(archive.part(package, _NUMBERING) or b"<none/>"), styles)
    headings = {
        attribute(style, "styleId")
        for style in styles
        if _HEADING.fullmatch(attribute(child(style, "name"), "val"))
    }
    margins: dict[str, None] = {}
    doubts: list[str] = []
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        for name in dict.fromkeys(package.namelist()):
            if not _NEEDED.fullmatch(name):
                continue
            data = archive.part(package, name)
            if name == _STYLES:
                data = written(styles)
            elif _STORY.fullmatch(name):
                story = parsed(data)
                _mend_story(story, contents)
                if name == _DOCUMENT:
                    doubts += chunks.put_in(story, package, limits)
                    numbers.mark(story, headings.__contains__)
                if _MARGIN.fullmatch(name):
                    margins |= dict.fromkeys(_margin(story))
                    continue
                data = written(story)
            out.writestr(name, data)
    made.seek(0)
    return made, list(margins), tuple(doubts)


def _mend_styles(styles: Any) -> frozenset[str]:  # noqa: ANN401
    """Name styles that are headings by level or descent so; return those of tables of contents."""
    known = {attribute(style, "styleId"): style for style in styles if name(style) == "style"}
    contents = set()
    for identity, style in known.items():
        label = child(style, "name")
        called = attribute(label, "val")
        if _CONTENTS.fullmatch(called):
            contents.add(identity)
        elif label is not None and (named := _heading(style, known)) not in ("", called):
            label.set(key(label, "val"), named)
    return frozenset(contents)


def _heading(style: Any, known: dict[str, Any]) -> str:  # noqa: ANN401
    """Return the built-in heading that a style is or comes from, or its outline level makes it."""
    seen: set[str] = set()
    while style is not None and (identity := attribute(style, "styleId")) not in seen:
        if len(seen) == BASES:
            break
        seen.add(identity)
        called = attribute(child(style, "name"), "val")
        if _HEADING.fullmatch(called):
            return called
        level = attribute(child(child(style, "pPr"), "outlineLvl"), "val")
        if level.isdigit():
            number = int(level) + 1
            return f"heading {number}" if number <= _DEEPEST_HEADING else ""
        style = known.get(attribute(child(style, "basedOn"), "val"))
    return ""


def _mend_story(story: Any, contents: frozenset[str]) -> None:  # noqa: ANN401
    """Put into forms that mammoth reads what it would pass over; take out what is not shown."""
    for element in list(story.iter()):
        match name(element):
            case "p" if _style(element) in contents:
                _remove(element)
            case "r" if _vanishes(element):
                _remove(element)
            case other if other in _KNOWN_AS:
                element.tag = namespace(element) + _KNOWN_AS[other]
            case "oMath":
                _spell(element, story)
            case "AlternateContent":
                _choose(element)
            case "txbxContent":
                _box(element, story)
            case passed if passed in _TRANSPARENT:
                _unwrap(element)


def _choose(element: Any) -> None:  # noqa: ANN401
    """Keep one of two forms of a drawing: the old one, which mammoth reads, if it has text."""
    choice, fallback = child(element, "Choice"), child(element, "Fallback")
    if fallback is not None and (choice is None or _said(fallback) or not _said(choice)):
        if choice is not None:
            element.remove(choice)
    elif choice is not None:
        for other in list(element):
            if other is not choice:
                element.remove(other)
        _unwrap(choice)
        _unwrap(element)


def _box(content: Any, story: Any) -> None:  # noqa: ANN401
    """Take a text box out of a drawing: mammoth looks for boxes in old pictures only."""
    drawing = next((one for one in content.iterancestors() if name(one) == "drawing"), None)
    if drawing is None or drawing.getparent() is None or not _within(drawing, story):
        return
    picture = drawing.makeelement(f"{namespace(content)}pict")
    picture.append(content)
    drawing.addnext(picture)


def _spell(formula: Any, story: Any) -> None:  # noqa: ANN401
    """Write a formula as the text in it."""
    paragraph = next((one for one in story.iter() if name(one) == "p"), story)
    run = formula.makeelement(f"{namespace(paragraph)}r")
    added(run, f"{namespace(paragraph)}t").text = f" {one_line(''.join(_said(formula)))} "
    formula.getparent().replace(formula, run)


def _margin(story: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield a header's or footer's lines that say more than a page number."""
    for paragraph in story.iter():
        if name(paragraph) != "p":
            continue
        parts = (
            one.text if name(one) == "t" else " "
            for one in paragraph.iter()
            if name(one) in ("t", "tab", "br")
        )
        line = one_line("".join(part or "" for part in parts))
        if line and not _PAGE.fullmatch(line):
            yield line


def _said(element: Any) -> list[str]:  # noqa: ANN401
    return [one.text for one in element.iter() if name(one) == "t" and one.text]


def _vanishes(run: Any) -> bool:  # noqa: ANN401
    hidden = child(child(run, "rPr"), "vanish")
    return hidden is not None and attribute(hidden, "val") not in ("0", "false", "off")


def _style(paragraph: Any) -> str:  # noqa: ANN401
    return attribute(child(child(paragraph, "pPr"), "pStyle"), "val")


def _unwrap(element: Any) -> None:  # noqa: ANN401
    parent = element.getparent()
    if parent is not None:
        for inner in list(element):
            element.addprevious(inner)
        parent.remove(element)


def _remove(element: Any) -> None:  # noqa: ANN401
    if element.getparent() is not None:
        element.getparent().remove(element)


def _within(element: Any, story: Any) -> bool:  # noqa: ANN401
    return any(one is story for one in element.iterancestors())
