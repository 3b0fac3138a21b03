"""The door to striprtf: Rich Text as plain text."""

import re

from striprtf.striprtf import rtf_to_text

from insights import errors
from insights.documents.formats.cleaning import clean, squeeze
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

_MAGIC = b"{\\rtf"
_TITLE = re.compile(r"{\\title (?P<title>[^{}\\]{1,200})}")
# Hidden text and deletions; `\v0` is neither. striprtf shows them, and leaves footnotes out.
_UNSEEN = re.compile(r"{(?:\\[a-z]+-?\d* ?)*\\(?:v|deleted)(?![a-z\d])[^{}]*}")
_NOTE = re.compile(r"\\footnote(?![a-z\d]) ?")


def load(data: bytes, _: Limits) -> Loaded:
    """Return the text with a line a paragraph, cells parted by `|`.

    Raises:
        errors.KnowledgeError: If it is no Rich Text.
    """
    if not data.lstrip().startswith(_MAGIC):
        raise errors.KnowledgeError("is no Rich Text", fix="save it again as .rtf or .docx")
    source = data.decode("latin-1")  # every byte is itself: the text's code page is named in it
    title = _TITLE.search(source)
    source = _NOTE.sub(r"\\line ", _UNSEEN.sub("", source))
    text = _whole(rtf_to_text(source, encoding="cp1252", errors="replace"))
    return Loaded(
        title=usable(title["title"]) if title else "",
        text=squeeze(clean(text.replace("|", " | "))),
        is_markdown=False,
    )


def _whole(text: str) -> str:
    """Return a text whose characters above U+FFFF, written as two halves, are whole."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
