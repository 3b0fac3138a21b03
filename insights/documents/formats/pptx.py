"""The door to python-pptx: a section a slide, with its tables and the speaker's notes."""

import io
from collections.abc import Iterator
from typing import Any

import pptx
import pptx.exc

from insights import errors
from insights.documents.formats import archive
from insights.documents.formats.cleaning import clean, one_line
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

_DEEPEST_GROUP = 50


def load(data: bytes, limits: Limits) -> Loaded:
    """Return each slide's texts from top to bottom as Markdown; hidden slides are left out.

    Raises:
        errors.KnowledgeError: If the file is damaged, locked, or an old `.ppt`.
    """
    archive.opened(data, limits, "presentation", ".pptx")
    try:
        show = pptx.Presentation(io.BytesIO(data))
        slides = [slide for slide in show.slides if slide.element.get("show") != "0"]
        text = "\n\n".join(_slide(slide, number) for number, slide in enumerate(slides, 1))
        title = show.core_properties.title
    except (pptx.exc.PythonPptxError, KeyError, ValueError, AttributeError, SyntaxError) as exc:
        raise errors.KnowledgeError(
            "is no readable presentation", fix="save it again as .pptx"
        ) from exc
    first = slides[0].shapes.title if slides else None
    named = usable(title) or usable(first.text_frame.text if first is not None else "")
    return Loaded(title=named, text=clean(text))


def _slide(slide: Any, number: int) -> str:  # noqa: ANN401 - python-pptx has no types
    title = slide.shapes.title
    heading = one_line(title.text_frame.text) if title is not None else ""
    parts = [f"## {heading or f'Slide {number}'}"]
    shapes = [shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id]
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        parts.extend(_texts(shape))
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        parts.append(slide.notes_slide.notes_text_frame.text.strip())
    return "\n\n".join(filter(None, parts))


def _texts(shape: Any, depth: int = 0) -> Iterator[str]:  # noqa: ANN401
    if getattr(shape, "shapes", None) is not None and depth < _DEEPEST_GROUP:
        for inner in shape.shapes:
            yield from _texts(inner, depth + 1)
    elif shape.has_text_frame:
        yield "\n".join(
            "  " * paragraph.level + f"- {text}"
            for paragraph in shape.text_frame.paragraphs
            if (text := one_line("".join(run.text for run in paragraph.runs) or paragraph.text))
        )
    elif shape.has_table:
        yield "\n".join(
            " | ".join(one_line(cell.text) for cell in row.cells if not cell.is_spanned)
            for row in shape.table.rows
        )
    elif shape.has_chart and shape.chart.has_title and shape.chart.chart_title.has_text_frame:
        yield one_line(shape.chart.chart_title.text_frame.text)
