"""Markdown, with optional front matter of `name: value` lines."""

import re
from pathlib import Path

from insights.documents.loaded import Loaded, read_text

_FRONT = re.compile(r"\A---\n(?P<lines>.*?)\n---\n", re.DOTALL)
_TITLE = re.compile(r"^#[ \t]+(?P<title>.+?)[ \t#]*$", re.MULTILINE)


def load(path: Path) -> Loaded:
    """Return the text below the front matter; the title is the front matter's or the first `#`."""
    text = read_text(path)
    properties: dict[str, str] = {}
    if front := _FRONT.match(text):
        text = text[front.end() :]
        for line in front["lines"].splitlines():
            name, colon, value = line.partition(":")
            if colon and not name.startswith((" ", "#", "-")):
                properties[name.strip()] = value.strip().strip("'\"")
    title = properties.get("title", "")
    if not title and (heading := _TITLE.search(text)):
        title = heading["title"]
    return Loaded(title, text, properties=properties)
