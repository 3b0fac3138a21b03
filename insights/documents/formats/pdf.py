"""The door to pdfium: a PDF's text as it is read, its outline as headings.

Chosen over pypdf, which needs `cryptography` for AES, glues the words of some pages together and
takes four times the processor time (docs/knowledge.md has the figures).
"""

import ctypes
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from insights import errors
from insights.documents.formats import columns, gaps, pages, xfa
from insights.documents.formats.cleaning import clean, one_line
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded, scan_mark

_SHOWN_FIELDS = frozenset({
    pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX,
    pdfium.FPDF_FORMFIELD_LISTBOX,
})  # fmt: skip
_TICKED = frozenset({pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON})
_HIDDEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_CUT = re.compile("[\x02\ufffe]")  # pdfium's word for a hyphen at a line's end; it joins the lines
# Old TeX draws an accent before its letter: f¨ur.
_DRAWN = re.compile("(?P<accent>[\u00a8\u02dd\u02c7\u02d8\u02da])(?P<letter>[A-Za-z])")
_COMBINED = {
    "\u00a8": "\u0308",
    "\u02dd": "\u030b",
    "\u02c7": "\u030c",
    "\u02d8": "\u0306",
    "\u02da": "\u030a",
}
_DEEPEST_OUTLINE = 6
_LARGEST_OUTLINE = 20_000


def opened(data: bytes) -> Any:  # noqa: ANN401 - pypdfium2 has no types of its own
    """Return a document.

    Raises:
        errors.KnowledgeError: If the file is damaged or needs a password to be opened.
    """
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        if exc.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise errors.KnowledgeError("is encrypted", fix="store it without a password") from exc
        raise errors.KnowledgeError(
            "is no readable PDF", fix="open it and export it again"
        ) from exc


def load(data: bytes, limits: Limits) -> Loaded:
    """Return the pages' text in reading order, with running headers and footers left out.

    It is Markdown where the file has an outline, whose entries become its headings.

    Raises:
        errors.KnowledgeError: If the file is damaged, needs a password to be opened, or is a form
            whose texts cannot be found.
    """
    document = opened(data)
    kind = document.get_formtype()
    title = usable(document.get_metadata_dict().get("Title"))
    if kind == pdfium.FORMTYPE_XFA_FULL:
        return Loaded(title=title, text=_form(document), is_markdown=False)
    if kind != pdfium.FORMTYPE_NONE:
        document.init_forms()
    read, pictures = [], 0
    scans: list[int] = []
    for number in range(len(document)):
        try:
            page = document[number]
        except pypdfium2.PdfiumError:  # a damaged page among good ones
            read.append("")
            pictures += 1
            continue
        text = _text(page)
        fields = "\n".join(_fields(document, page))
        shown = clean("\n".join(filter(None, (text, fields)))).replace("\ue000", "")
        if not text.strip() and _is_picture(page):
            if len(scans) < limits.ocr_pages:
                scans.append(number)
                shown = "\n".join(filter(None, (scan_mark(number), shown)))
            else:
                pictures += 1
        read.append(shown)
        page.close()
    outline = list(_outline(document))
    body = pages.joined(read, outline)
    doubts = (f"{pictures} of its {len(read)} pages show a picture and hold no text",)
    return Loaded(
        title=title,
        text=body,
        is_markdown=bool(outline),
        doubts=doubts if pictures and body.strip() else (),
        scans=tuple(scans),
        digest=hashlib.sha256(data).digest() if scans else b"",
    )


def _form(document: Any) -> str:  # noqa: ANN401
    if text := xfa.text(document):
        return text
    raise errors.KnowledgeError(
        "is a form that only Adobe Reader shows (XFA)", fix="print it to a PDF there"
    )


def _text(page: Any) -> str:  # noqa: ANN401 - pypdfium2 has no types of its own
    textpage = page.get_textpage()
    try:
        text = columns.read(textpage) or gaps.text(textpage)
        return _DRAWN.sub(_composed, _CUT.sub("-\n", text))
    finally:
        textpage.close()


def _composed(match: re.Match[str]) -> str:
    letter = unicodedata.normalize("NFC", match["letter"] + _COMBINED[match["accent"]])
    return letter if len(letter) == 1 else match[0]


def _is_picture(page: Any) -> bool:  # noqa: ANN401
    return next(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]), None) is not None


def _outline(document: Any) -> Iterator[pages.Heading]:  # noqa: ANN401
    for number, bookmark in enumerate(document.get_toc(max_depth=_DEEPEST_OUTLINE)):
        if number >= _LARGEST_OUTLINE:
            return
        destination = bookmark.get_dest()
        page = destination.get_index() if destination is not None else None
        title = one_line(clean(bookmark.get_title()))
        if page is not None and title:
            yield pages.Heading(title, bookmark.level + 1, page)


def _fields(document: Any, page: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield what is written into a page's form fields, and its text notes that are always shown."""
    for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind == pdfium.FPDF_ANNOT_FREETEXT:
                yield _wide(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
            elif kind == pdfium.FPDF_ANNOT_WIDGET and not _is_hidden(annotation):
                yield _field(document.formenv, annotation)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _is_hidden(annotation: Any) -> bool:  # noqa: ANN401
    return bool(pdfium.FPDFAnnot_GetFlags(annotation) & _HIDDEN)


def _field(environment: Any, annotation: Any) -> str:  # noqa: ANN401
    if environment is None:  # a page cut out of a form: its fields are there, the form is not
        value = _wide(pdfium.FPDFAnnot_GetStringValue, annotation, b"V")
        name = _wide(pdfium.FPDFAnnot_GetStringValue, annotation, b"T")
        written = _wide(pdfium.FPDFAnnot_GetStringValue, annotation, b"FT") != "Btn"
        return f"{one_line(name)}: {one_line(value)}" if written and value.strip() else ""
    kind = pdfium.FPDFAnnot_GetFormFieldType(environment, annotation)
    ticked = kind in _TICKED and pdfium.FPDFAnnot_IsChecked(environment, annotation)
    if kind not in _SHOWN_FIELDS and not ticked:
        return ""
    value = _wide(pdfium.FPDFAnnot_GetFormFieldValue, environment, annotation)
    name = _wide(pdfium.FPDFAnnot_GetFormFieldAlternateName, environment, annotation) or _wide(
        pdfium.FPDFAnnot_GetFormFieldName, environment, annotation
    )
    return f"{one_line(name)}: {one_line(value)}" if value.strip() else ""


def _wide(function: Any, *arguments: Any) -> str:  # noqa: ANN401
    """Call one of pdfium's functions that fill a buffer with UTF-16, length in bytes."""
    length = function(*arguments, None, 0)
    if length <= 2:  # noqa: PLR2004 - nothing but its end
        return ""
    buffer = ctypes.create_string_buffer(length)
    function(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), length)
    return buffer.raw[:length].decode("utf-16-le", "replace").rstrip("\x00")
