"""Whole files within a Word document (`altChunk`), which Word shows as part of its text.

Programs that make documents of pages write them so: reports, minutes, exports of wikis.
"""

import posixpath
import zipfile
from typing import Any

from insights import errors
from insights.documents import registry
from insights.documents.formats import archive
from insights.documents.formats.elements import added, attribute, name, namespace, parsed
from insights.documents.messages import Limits

_LINKS = "word/_rels/document.xml.rels"


def put_in(story: Any, package: zipfile.ZipFile, limits: Limits) -> list[str]:  # noqa: ANN401 - lxml has no types
    """Put the text of each chunk in its place, a paragraph a line; return what could not be read.

    Args:
        story: The document's root element.
        package: The document.
        limits: Those of the document.
    """
    chunks = [element for element in story.iter() if name(element) == "altChunk"]
    if not chunks:
        return []
    links = {
        attribute(link, "Id"): attribute(link, "Target")
        for link in parsed(archive.part(package, _LINKS) or b"<none/>")
    }
    told = []
    for chunk in chunks:
        target = posixpath.normpath(posixpath.join("word", links.get(attribute(chunk, "id"), "")))
        target = target.removeprefix("word//")  # one that begins at the package's root
        try:
            text = registry.inner(posixpath.basename(target), archive.part(package, target), limits)
        except Exception as exc:  # noqa: BLE001 - a file of a stranger's as any other
            why = exc.what if isinstance(exc, errors.KnowledgeError) else type(exc).__name__
            told.append(f"{target} within it was left out: {why}")
            continue
        for line in filter(None, text.text.splitlines()):
            paragraph = chunk.makeelement(f"{namespace(chunk)}p")
            run = added(paragraph, f"{namespace(chunk)}r")
            added(run, f"{namespace(chunk)}t").text = line
            chunk.addprevious(paragraph)
    return told
