"""Which loader reads which file: the one list to add a format to.

A loader is a function from a file's bytes to `Loaded`. Its module is imported when its first file
is met, and by name: the supervisor knows the list, the loader's process the libraries.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path, PurePath

from insights import errors
from insights.documents.messages import Limits, Loaded

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
    ".odt": "opendocument",
    ".rtf": "rtf",
    ".pptx": "pptx",
    ".xlsx": "sheets",
    ".xlsm": "sheets",
    ".xlsb": "sheets",
    ".xls": "sheets",
    ".ods": "sheets",
    ".eml": "mail",
    ".msg": "outlook",
    ".csv": "csv",
    ".tsv": "csv",
}
SUFFIXES = frozenset(_MODULES)
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})  # where letters are recognised
# How files begin whose name says nothing; a package by the folder its parts are in.
_SIGNATURES = (
    (b"%PDF", ".pdf"), (b"{\\rtf", ".rtf"), (b"\x89PNG\r\n", ".png"), (b"\xff\xd8\xff", ".jpg"),
    (b"II*\0", ".tif"), (b"MM\0*", ".tif"),
)  # fmt: skip
_PACKAGES = ((b"word/", ".docx"), (b"xl/", ".xlsx"), (b"ppt/", ".pptx"))
_LOOKED_AT = 64 * 1024  # bytes


def suffix(name: str) -> str:
    """Return a file name's suffix as it stands in the list."""
    return PurePath(name).suffix.lower()


def suffixes(limits: Limits) -> frozenset[str]:
    """Return the suffixes of what is read within some limits: pictures only for their letters."""
    return SUFFIXES | _PICTURES if limits.ocr_pages else SUFFIXES


def named(name: str, data: bytes) -> str:
    """Return the name of a file with a suffix of the list, told by how it begins if need be.

    What is nothing else, and holds no NUL, is text.
    """
    if suffix(name) in SUFFIXES | _PICTURES:
        return name
    begin = data[:_LOOKED_AT]
    found = next((end for sign, end in _SIGNATURES if begin.lstrip().startswith(sign)), "")
    if begin.startswith(b"PK\x03\x04"):
        found = next((end for folder, end in _PACKAGES if folder in data), "")
    elif not found and b"<html" in begin[:1024].lower():
        found = ".html"
    elif not found and b"\0" not in begin:
        found = ".txt"
    return name + found


def read(name: str, data: bytes, limits: Limits) -> Loaded:
    """Return a file's title and text, by its name's suffix.

    Raises:
        errors.KnowledgeError: If the format is unknown, or the file is broken or holds no text.
        Exception: Whatever a library raises over a damaged file.
    """
    module = _MODULES.get(suffix(name))
    if suffix(name) in _PICTURES:
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


def recognised(name: str, data: bytes, page: int) -> str:
    """Return what stands on a page of a PDF or picture, from 0 on, by its picture.

    Raises:
        errors.KnowledgeError: If the page cannot be shown.
    """
    scans = import_module("insights.documents.formats.scans")
    read_page: Callable[[bytes, int], str] = (
        scans.picture if suffix(name) in _PICTURES else scans.read
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
