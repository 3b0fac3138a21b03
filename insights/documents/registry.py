"""Which loader reads which file: the one list to add a format to.

A loader is a function from a path to `Loaded`. Its module is imported when its first file is met,
so that a site without PDFs never loads the PDF library.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from insights import errors
from insights.documents.loaded import Loaded

Loader = Callable[[Path], Loaded]

_MODULES = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".csv": "csv",
}
SUFFIXES = frozenset(_MODULES)


def load(path: Path) -> Loaded:
    """Return a file's title and text.

    Raises:
        errors.KnowledgeError: If the format is unknown, or the file is broken or holds no text.
    """
    module = _MODULES.get(path.suffix.lower())
    if module is None:
        raise errors.KnowledgeError(
            f"no loader for {path.suffix or 'files without a suffix'}",
            where=str(path),
            fix=f"use one of {', '.join(sorted(SUFFIXES))}",
        )
    loader: Loader = import_module(f"insights.documents.{module}").load
    try:
        loaded = loader(path)
    except OSError as exc:
        raise errors.KnowledgeError(
            f"cannot be read: {exc.strerror}", where=str(path), fix="check the file's rights"
        ) from exc
    except errors.KnowledgeError as exc:
        raise errors.KnowledgeError(exc.what, where=str(path), fix=exc.fix) from exc
    if not loaded.text.strip():
        raise errors.KnowledgeError(
            "holds no text", where=str(path), fix="a scanned file needs character recognition first"
        )
    return loaded
