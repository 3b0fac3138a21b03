"""Markdown, with optional front matter in YAML or TOML."""

import re
import tomllib
from datetime import date

import yaml

from insights.documents.formats.cleaning import one_line
from insights.documents.formats.encoding import decode
from insights.documents.formats.titles import usable
from insights.documents.messages import Limits, Loaded

_FRONT = re.compile(
    r"\A\s*?---[ \t]*\n(?P<lines>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_TOML = re.compile(
    r"\A\s*?\+\+\+[ \t]*\n(?P<lines>.*?)^\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE
)
_TITLE = re.compile(r"^#[ \t]+(?P<title>\S.*)$", re.MULTILINE)
_FENCED = re.compile(r"^(?P<fence>```+|~~~+).*?(?:^(?P=fence)[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
# A comment is shown by nobody; one within code, by its fence or between backticks, is.
_UNSAID = re.compile(
    r"(?P<code>^(?P<fence>```+|~~~+).*?(?:^(?P=fence)[ \t]*$|\Z)|`[^`\n]*`)|<!--.*?-->",
    re.MULTILINE | re.DOTALL,
)
_LONGEST_FRONT = 64 * 1024  # more is no front matter, and the parser is not fast


def load(data: bytes, _: Limits) -> Loaded:
    """Return the text below the front matter; the title is the front matter's or the first `#`.

    A file of nothing but front matter says its title.
    """
    text, doubts = decode(data)
    properties: dict[str, str] = {}
    for form, read in ((_FRONT, _properties), (_TOML, _of_toml)):
        front = form.match(text[:_LONGEST_FRONT])
        if front is not None and (found := read(front["lines"])) is not None:
            properties, text = found, text[front.end() :]
            break
    end = text.rfind("-->") + 3  # below it a comment would be looked for to the end of the text
    if end >= 3:  # noqa: PLR2004 - there is one
        text = _UNSAID.sub(lambda found: found["code"] or "", text[:end]) + text[end:]
    title = one_line(properties.get("title", ""))
    if not title and (heading := _TITLE.search(_FENCED.sub("", text))):
        title = usable(heading["title"].rstrip(" \t#"))
    return Loaded(
        title=title, text=text if text.strip() else title, properties=properties, doubts=doubts
    )


def _properties(lines: str) -> dict[str, str] | None:
    """Return front matter's values as texts; None where it is none but a text between rules.

    YAML's base types are texts alone: `007` stays what it is, `yes` is no boolean, and there is
    nothing that a file could construct. Lists become their parts with commas.
    """
    try:
        values = yaml.load(lines, Loader=yaml.BaseLoader)  # noqa: S506 - makes texts only
    except (yaml.YAMLError, RecursionError, ValueError):
        return _by_lines(lines)
    if values is None or values == "":
        return {}
    if not isinstance(values, dict):
        return None
    return {str(name): _text(value) for name, value in values.items() if isinstance(name, str)}


def _of_toml(lines: str) -> dict[str, str] | None:
    """Return what Hugo's front matter says; None where it is none."""
    try:
        values = tomllib.loads(lines)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | date) else _text(value)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(one_line(part) for part in value if isinstance(part, str))
    return one_line(value) if isinstance(value, str) else ""


def _by_lines(lines: str) -> dict[str, str] | None:
    """Read what people write who do not know YAML: `title: Reset: the short way`."""
    properties: dict[str, str] = {}
    for line in lines.splitlines():
        name, colon, value = line.partition(":")
        if colon and re.fullmatch(r"[\w-]+", name.strip()) and not name.startswith((" ", "-")):
            properties[name.strip()] = value.strip().strip("'\"")
    return properties or None
