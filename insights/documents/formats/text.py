"""Plain text."""

from insights.documents.formats.contents import without_contents
from insights.documents.formats.encoding import decode
from insights.documents.messages import Limits, Loaded

_LAST_PAGE = 2_000


def load(data: bytes, _: Limits) -> Loaded:
    """Return the text as it is, without a list of contents; a text file names no title."""
    text, doubts = decode(data)
    text = "\n".join(without_contents(text.split("\n"), _LAST_PAGE))
    return Loaded(text=text, is_markdown=False, doubts=doubts)
