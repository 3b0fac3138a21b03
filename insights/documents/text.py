"""Plain text."""

from pathlib import Path

from insights.documents.loaded import Loaded, read_text


def load(path: Path) -> Loaded:
    """Return the text as it is; a text file names no title."""
    return Loaded("", read_text(path), is_markdown=False)
