"""What every loader returns."""

import re
from dataclasses import dataclass, field
from pathlib import Path

# NUL and the other control characters that PostgreSQL refuses or nobody can read.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Loaded:
    """A file's content: Markdown with its headings, or plain text.

    `title` is empty where the file names none. `properties` are what the file says of itself
    (front matter); only declared filters among them are ever used.
    """

    title: str
    text: str
    is_markdown: bool = True
    properties: dict[str, str] = field(default_factory=dict)


def read_text(path: Path) -> str:
    """Return a text file's content: UTF-8 where it is valid, else Windows-1252, newlines unified.

    Windows-1252 because that is what old office software wrote; its five undefined bytes become
    U+FFFD.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    return clean(text)


def clean(text: str) -> str:
    """Return text with unified newlines and without control characters or lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    return _CONTROL.sub("", text)
