"""The door to python-pptx: a section a slide, with its tables and the speaker's notes."""

import io
import re
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
_FRACTION = re.compile(r"-?\d+\.\d+(?:[eE][-+]?\d+)?")  # Office writes 0.6 as 0.6000000000000001
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
        yield _joined(_chart(shape.chart._chartSpace))  # noqa: SLF001 - it knows no chart in 3D
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


def _chart(space: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield a chart's titles, what its series are called, and their values, a line a category."""
    for title in space.iter(qn("c:title")):
        yield one_line("".join(part.text or "" for part in title.iter(qn("a:t"))))
    alike: dict[tuple[tuple[int, str], ...], list[Any]] = {}
    for series in space.iter(qn("c:ser")):
        categories = _points(series, "c:cat", "c:xVal")
        alike.setdefault(tuple(sorted(categories.items())), []).append(series)
    for places, group in alike.items():
        names = [
            one_line(
                "".join(
                    part.text or "" for one in each.iter(qn("c:tx")) for part in one.iter(qn("c:v"))
                )
            )
            for each in group
        ]
        if any(names):
            yield " | ".join(["", *names]).strip()
        values = [_points(each, "c:val", "c:yVal") for each in group]
        categories = dict(places)
        for at in sorted({*categories, *(at for one in values for at in one)}):
            yield " | ".join([categories.get(at, ""), *(one[at] for one in values if at in one)])


def _points(series: Any, *kinds: str) -> dict[int, str]:  # noqa: ANN401
    """Return the values of a series by their places; of categories in levels the innermost."""
    found: dict[int, str] = {}
    for kind in kinds:
        for part in series.iter(qn(kind)):
            for point in part.iter(qn("c:pt")):
                value = point.find(qn("c:v"))
                text = one_line("" if value is None else value.text or "")
                if text and text != "NaN":
                    found.setdefault(int(point.get("idx", "0")), _plain(text))
    return found


def _plain(text: str) -> str:
    return f"{float(text):.15g}" if _FRACTION.fullmatch(text) else text


def _diagram(shape: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the texts of a SmartArt, which stand in a part of their own."""
    for ids in shape.element.iter(_DIAGRAM):
        data = lxml.etree.fromstring(shape.part.related_part(ids.get(qn("r:dm"))).blob, _parser())
        for paragraph in data.iter(qn("a:p")):
            if text := one_line("".join(one.text or "" for one in paragraph.iter(qn("a:t")))):
                yield f"- {text}"


def _parser() -> Any:  # noqa: ANN401
    return lxml.etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
