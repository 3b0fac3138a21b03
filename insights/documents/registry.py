"""Which loader reads which file: the one list to add a format to.

A loader is a function from a file's bytes to `Loaded`. Its module is imported when its first file
is met, and by name: the supervisor knows the list, the loader's process the libraries.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec

from insights import errors
from insights.documents import signatures
from insights.documents.messages import Limits, Loaded
from insights.documents.signatures import PICTURES, suffix

Loader = Callable[[bytes, Limits], Loaded]

_MODULES = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    ".doc": "docx",
    ".odt": "opendocument",
    ".rtf": "rtf",
    ".pptx": "pptx",
    ".xlsx": "sheets",
    ".xlsm": "sheets",
    ".xlsb": "sheets",
    ".xls": "sheets",
    ".ods": "sheets",
    ".eml": "mail",
    ".mht": "mail",
    ".mhtml": "mail",
    ".msg": "outlook",
    ".ics": "calendar",
    ".csv": "csv",
    ".tsv": "csv",
}
SUFFIXES = frozenset(_MODULES)
_MODULES[signatures.XML_SHEET] = "spreadsheetml"


def suffixes(limits: Limits) -> frozenset[str]:
    """Return the suffixes of what is read within some limits: pictures only for their letters."""
    return SUFFIXES | PICTURES if limits.ocr_pages else SUFFIXES


def named(name: str, data: bytes) -> str:
    """Return the name of a file with a suffix of the list, told by how it begins if need be.

    What is nothing else, and holds no NUL, is text.
    """
    if suffix(name) in SUFFIXES | PICTURES:
        return name
    return name + signatures.unnamed(data)


def read(name: str, data: bytes, limits: Limits) -> Loaded:
    """Return a file's title and text, by its name's suffix unless that is plainly wrong.

    Raises:
        errors.KnowledgeError: If the format is unknown, or the file is broken or holds no text.
        Exception: Whatever a library raises over a damaged file.
    """
    module = _MODULES.get(suffix(name)) and _MODULES.get(signatures.meant(name, data))
    if suffix(name) in PICTURES:
        if not limits.ocr_pages:
            raise errors.KnowledgeError(
                "is a picture", fix="set ocr_pages to have its letters recognised"
            )
        module = "pictures"
    if module is None:
        raise errors.KnowledgeError(
            f"no loader for {suffix(name) or 'files without a suffix'}",
            fix=f"use one of {', '.join(sorted(SUFFIXES))}",
        )
    if len(data) > limits.file_bytes:
        raise errors.KnowledgeError(
            f"is larger than {limits.file_bytes // 1024**2} MiB", fix="split it"
        )
    loader: Loader = import_module(f"insights.documents.formats.{module}").load
    loaded = loader(data, limits)
    if not loaded.text.strip():
        raise errors.KnowledgeError(
            "holds no text", fix="a scanned file needs character recognition first"
        )
    if len(loaded.text) > limits.text_chars:
        raise errors.KnowledgeError(
            f"holds more than {limits.text_chars:,} characters of text", fix="split it"
        )
    return loaded


_DEEPEST = 3  # files in files: mails in mails, parts of documents
_nested = 0  # this process reads one document at a time


def inner(name: str, data: bytes, limits: Limits) -> Loaded:
    """Return the title and text of a file within another.

    Raises:
        errors.KnowledgeError: As `read`, and where files are nested too deeply.
    """
    global _nested  # noqa: PLW0603 - loaders take bytes alone
    if _nested >= _DEEPEST:
        raise errors.KnowledgeError("is nested too deeply in other files")
    _nested += 1
    try:
        # Pages are recognised by their number in the whole file.
        return read(name, data, msgspec.structs.replace(limits, ocr_pages=0))
    finally:
        _nested -= 1


def recognised(name: str, data: bytes, page: int) -> str:
    """Return what stands on a page of a PDF or picture, from 0 on, by its picture.

    Raises:
        errors.KnowledgeError: If the page cannot be shown.
    """
    scans = import_module("insights.documents.formats.scans")
    read_page: Callable[[bytes, int], str] = (
        scans.picture if suffix(name) in PICTURES else scans.read
    )
    return read_page(data, page)


def load(path: Path) -> Loaded:
    """Read one file in this process, which the loader never does: for tools and tests.

    Raises:
        errors.KnowledgeError: As `read`.
    """
    try:
        return read(path.name, path.read_bytes(), Limits())
    except OSError as exc:
        raise errors.KnowledgeError(
            f"cannot be read: {exc.strerror}", where=str(path), fix="check the file's rights"
        ) from exc
    except errors.KnowledgeError as exc:
        raise errors.KnowledgeError(exc.what, where=str(path), fix=exc.fix) from exc
