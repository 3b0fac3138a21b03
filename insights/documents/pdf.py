"""The door to pypdf."""

import logging
from pathlib import Path

import pypdf
import pypdf.errors

from insights import errors
from insights.documents.loaded import Loaded, clean

# pypdf reports every oddity of every file; what matters here is whether text came out.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def load(path: Path) -> Loaded:
    """Return the pages' text, one blank line between pages; the title is the document's own.

    Raises:
        errors.KnowledgeError: If the file is damaged or encrypted.
    """
    try:
        reader = pypdf.PdfReader(path)
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = [] if locked else [page.extract_text() for page in reader.pages]
        title = reader.metadata.title if reader.metadata and not locked else None
    except OSError:
        raise
    except Exception as exc:  # damaged files raise anything from ValueError to RecursionError
        raise errors.KnowledgeError(
            f"is no readable PDF ({type(exc).__name__})", fix="open it and export it again"
        ) from exc
    if locked:
        raise errors.KnowledgeError("is encrypted", fix="store it without a password")
    return Loaded(clean(title or "").strip(), clean("\n\n".join(pages)), is_markdown=False)
