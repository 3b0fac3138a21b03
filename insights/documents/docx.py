"""The door to python-docx: heading styles become Markdown headings."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
import docx.opc.exceptions
from docx.table import Table

from insights import errors
from insights.documents.loaded import Loaded, clean

_BROKEN = (
    docx.opc.exceptions.PackageNotFoundError,
    zipfile.BadZipFile,
    KeyError,
    ValueError,
    SyntaxError,  # lxml's XMLSyntaxError
)
_HEADING = re.compile(r"^heading (?P<level>[1-6])$", re.IGNORECASE)


def load(path: Path) -> Loaded:
    """Return paragraphs, lists and tables in their order as Markdown.

    Raises:
        errors.KnowledgeError: If the file is damaged or an old `.doc`.
    """
    try:
        document = docx.Document(str(path))
        title = document.core_properties.title or ""
        blocks = list(_blocks(document))
    except _BROKEN as exc:
        raise errors.KnowledgeError(
            "is no readable Word document", fix="save it again as .docx"
        ) from exc
    if not title:
        title = next((b.removeprefix("# ") for b in blocks if b.startswith("# ")), "")
    return Loaded(clean(title).strip(), clean("\n\n".join(blocks)))


def _blocks(document: Any) -> Iterator[str]:  # noqa: ANN401 - python-docx has no types
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            yield "\n".join(
                " | ".join(" ".join(cell.text.split()) for cell in row.cells) for row in block.rows
            )
            continue
        text = block.text.strip()
        if not text:
            continue
        style = block.style.name if block.style is not None else ""
        if style == "Title":
            yield f"# {text}"
        elif heading := _HEADING.match(style):
            yield f"{'#' * int(heading['level'])} {text}"
        elif style.startswith("List"):
            yield f"- {text}"
        else:
            yield text
