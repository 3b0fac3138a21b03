"""Forms that only Adobe Reader draws (XFA): what their template says and what was filled in.

Their one page asks for another program. The form itself are XML parts within the PDF (XFA 3.3): a
template with texts and fields, and the data.
"""

import ctypes
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import pypdfium2.raw as pdfium

from insights.documents.formats.cleaning import clean, one_line
from insights.documents.formats.elements import BrokenXmlError, attribute, child, name, parsed

_HIDDEN = frozenset({"hidden", "invisible", "inactive"})
_MOST_PARTS = 1_000

Values = defaultdict[str, deque[str]]


def text(document: Any) -> str:  # noqa: ANN401 - pypdfium2 has no types of its own
    """Return a form's texts in their order, fields as `caption: value`, a line each."""
    parts = dict(_parts(document))
    values: Values = defaultdict(deque)
    for leaf, value in _filled(_root(parts.get("datasets"))):
        values[leaf].append(value)
    lines = [*_shown(_root(parts.get("template")), values)]
    # Rows that the form repeats: the template has one of them.
    lines += [f"{leaf}: {value}" for leaf, others in values.items() for value in others]
    return clean("\n".join(filter(None, lines)))


def _parts(document: Any) -> Iterator[tuple[str, bytes]]:  # noqa: ANN401
    for number in range(min(pdfium.FPDF_GetXFAPacketCount(document), _MOST_PARTS)):
        length = pdfium.FPDF_GetXFAPacketName(document, number, None, 0)
        called = ctypes.create_string_buffer(max(length, 1))
        pdfium.FPDF_GetXFAPacketName(document, number, called, length)
        size = ctypes.c_ulong()
        pdfium.FPDF_GetXFAPacketContent(document, number, None, 0, size)
        content = ctypes.create_string_buffer(max(size.value, 1))
        pdfium.FPDF_GetXFAPacketContent(document, number, content, size.value, size)
        yield called.value.decode("utf-8", "replace"), content.raw[: size.value]


def _root(part: bytes | None) -> Any:  # noqa: ANN401
    try:
        return parsed((part or b"").strip())
    except BrokenXmlError:
        return None


def _filled(datasets: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield what was filled in by the name of its field; lists of choices stand beside the data."""
    data = child(datasets, "data")
    for one in data.iter() if data is not None else ():
        value = one_line(one.text or "")
        if value and len(one) == 0:
            yield name(one), value


def _shown(template: Any, values: Values) -> Iterator[str]:  # noqa: ANN401
    waiting = [template] if template is not None else []
    while waiting:
        element = waiting.pop()
        if attribute(element, "presence") in _HIDDEN:
            continue
        called = name(element)
        if called == "draw":
            yield _said(child(element, "value"))
        elif called == "field":
            caption = _said(child(child(element, "caption"), "value"))
            given = values[attribute(element, "name")]
            value = given.popleft() if given else _said(child(element, "value"))
            yield ": ".join(filter(None, (caption, value)))
        else:
            waiting.extend(reversed(element))


def _said(value: Any) -> str:  # noqa: ANN401
    """Return a value's text, which may be a page of its own; a picture is none."""
    if value is None or child(value, "image") is not None:
        return ""
    return one_line(" ".join(value.itertext()))
