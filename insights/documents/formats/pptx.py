"""The door to python-pptx: a section a slide, with its tables and the speaker's notes."""

import io
from collections.abc import Iterator
from typing import Any

import lxml.etree
import pptx
import pptx.exc
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.oxml.ns import qn

from insights import errors
from insights.documents.formats import archive
from insights.documents.formats.cleaning import clean, one_line
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

_DEEPEST_GROUP = 50
_MARGINS = (
    PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.HEADER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.SLIDE_NUMBER,
)  # fmt: skip
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}relIds"


def load(data: bytes, limits: Limits) -> Loaded:
    """Return each slide's texts from top to bottom as Markdown; hidden slides are left out.

    Raises:
        errors.KnowledgeError: If the file is damaged, locked, or an old `.ppt`.
    """
    archive.opened(data, limits, "presentation", ".pptx")
    try:
        show = pptx.Presentation(io.BytesIO(data))
        slides = [slide for slide in show.slides if slide.element.get("show") != "0"]
        met: set[str] = set()
        text = "\n\n".join(_slide(slide, number, met) for number, slide in enumerate(slides, 1))
        title = show.core_properties.title
    except (pptx.exc.PythonPptxError, KeyError, ValueError, AttributeError, SyntaxError) as exc:
        raise errors.KnowledgeError(
            "is no readable presentation", fix="save it again as .pptx"
        ) from exc
    first = slides[0].shapes.title if slides else None
    named = usable(title) or usable(first.text_frame.text if first is not None else "")
    return Loaded(title=named, text=clean(text))


def _slide(slide: Any, number: int, met: set[str]) -> str:  # noqa: ANN401 - has no types
    """Return a slide as a section; `met` are footers that other slides had."""
    title = slide.shapes.title
    heading = one_line(title.text_frame.text) if title is not None else ""
    parts = [f"## {heading or f'Slide {number}'}"]
    shapes = [shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id]
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        texts = [text for text in _texts(shape) if text]
        if _is_margin(shape):
            texts = [text for text in texts if text not in met]
            met.update(texts)
        parts.extend(texts)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        parts.append(slide.notes_slide.notes_text_frame.text.strip())
    return "\n\n".join(filter(None, parts))


def _is_margin(shape: Any) -> bool:  # noqa: ANN401
    return bool(shape.is_placeholder) and shape.placeholder_format.type in _MARGINS


def _texts(shape: Any, depth: int = 0) -> Iterator[str]:  # noqa: ANN401
    if getattr(shape, "shapes", None) is not None and depth < _DEEPEST_GROUP:
        for inner in shape.shapes:
            yield from _texts(inner, depth + 1)
    elif shape.has_text_frame:
        yield "\n".join(
            "  " * paragraph.level + f"- {text}"
            for paragraph in shape.text_frame.paragraphs
            if (text := one_line(_written(paragraph) or paragraph.text))
        )
    elif shape.has_table:
        yield "\n".join(
            " | ".join(one_line(cell.text) for cell in row.cells if not cell.is_spanned)
            for row in shape.table.rows
        )
    elif shape.has_chart:
        if shape.chart.has_title and shape.chart.chart_title.has_text_frame:
            yield one_line(shape.chart.chart_title.text_frame.text)
        yield _joined(_chart(shape.chart))
    else:
        yield _joined(_diagram(shape))


def _joined(lines: Iterator[str]) -> str:
    """Return lines; of a chart or diagram that the library does not know, nothing."""
    try:
        return "\n".join(lines)
    except Exception:  # noqa: BLE001 - the slide's other texts are read all the same
        return ""


def _written(paragraph: Any) -> str:  # noqa: ANN401
    """Return a paragraph's words: a break of its line parts them, numbers of slides are none."""
    return "".join(
        " " if part.tag == qn("a:br") else part.text
        for part in paragraph._p  # noqa: SLF001 - python-pptx tells of runs without the breaks
        if part.tag in (qn("a:r"), qn("a:br"))
    )


def _chart(chart: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield what a chart's axis and series are called, with their values, a line a category."""
    for plot in chart.plots:
        series = list(plot.series)
        names = [one_line(str(one.name or "")) for one in series]
        if any(names):
            yield " | ".join(["", *names]).strip()
        values = [list(one.values) for one in series]
        for at, category in enumerate(plot.categories):
            row = [f"{one[at]:.15g}" for one in values if at < len(one) and one[at] is not None]
            yield " | ".join([one_line(str(category)), *row])


def _diagram(shape: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the texts of a SmartArt, which stand in a part of their own."""
    for ids in shape.element.iter(_DIAGRAM):
        data = lxml.etree.fromstring(shape.part.related_part(ids.get(qn("r:dm"))).blob, _parser())
        for paragraph in data.iter(qn("a:p")):
            if text := one_line("".join(one.text or "" for one in paragraph.iter(qn("a:t")))):
                yield f"- {text}"


def _parser() -> Any:  # noqa: ANN401
    return lxml.etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
