"""Marks in the place of data while Jinja renders, so that data never acts as control.

What a template prints is one string. Data in it is a mark, a private-use bracket around a nonce
and a number, and is put back as a segment of its own afterwards: the tokenizer then knows which
text is the template's and which is a row's.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from typing import Self

import msgspec

from insights.model import Segment

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9a-f]{{16}}):([0-9]+){_CLOSE}")


class Data(str):
    """Text that remembers where it came from while a template passes it on unchanged."""

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str) -> Self:
        """Make text that came from `source`."""
        data = super().__new__(cls, text)
        data.source = source
        return data


class Marks:
    """Collects the data of one rendering and puts a mark in its place.

    The nonce keeps text from forging a mark.
    """

    def __init__(self) -> None:
        self._nonce = secrets.token_hex(8)
        self._data: list[Segment] = []

    def put(self, value: object) -> str:
        """Return the mark that stands for a value; an empty one needs none."""
        text = "" if value is None else str(value)
        if not text:
            return ""
        self._data.append(
            Segment(text=text, is_template=False, source=getattr(value, "source", ""))
        )
        return f"{_OPEN}{self._nonce}:{len(self._data) - 1}{_CLOSE}"

    def split(self, text: str) -> tuple[Segment, ...]:
        """Return the rendered text as segments; neighbouring template text is one."""
        segments = []
        at = 0
        for match in _MARK.finditer(text):
            if match.group(1) != self._nonce:
                continue
            if match.start() > at:
                segments.append(Segment(text=text[at : match.start()], is_template=True))
            segments.append(self._data[int(match.group(2))])
            at = match.end()
        if at < len(text):
            segments.append(Segment(text=text[at:], is_template=True))
        return tuple(segments)

    @staticmethod
    def plain(text: str) -> str:
        """Return a template's own text without the signs of marks, which no script has."""
        return text.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd")

    def broken(self, segments: Iterable[Segment]) -> bool:
        """Tell whether part of a mark stands in what a template printed: it cut a content."""
        return any({_OPEN, _CLOSE} & set(one.text) for one in segments if one.is_template)

    def each(self, text: str, data: Callable[[str], str], rest: Callable[[str], str] = str) -> str:
        """Return the text with its data, and what stands between, changed by functions."""
        made = []
        for segment in self.split(text):
            if segment.is_template:
                made.append(rest(segment.text))
            else:
                made.append(self.put(Data(data(segment.text), segment.source)))
        return "".join(made)

    def changed(self, text: str, change: Callable[[str], str]) -> str:
        """Return the text with its letters' cases changed, as if the data stood in the text."""
        parts = self.split(text)
        whole = change("".join(part.text for part in parts))
        made, begin = [], 0
        for part in parts:
            piece = whole[begin : begin + len(part.text)]
            begin += len(part.text)
            if begin > len(whole) or len(change(part.text)) != len(part.text):
                return self.each(text, change, change)  # a letter became two (ß, ŉ)
            made.append(piece if part.is_template else self.put(Data(piece, part.source)))
        return "".join(made) if len(whole) == begin else self.each(text, change, change)

    def cut(self, text: str, at: str, most: int = 0) -> list[str]:
        """Return what stands between the matches of a pattern, as if the data stood in the text.

        Args:
            text: Text with marks.
            at: A regular expression.
            most: How many matches count; 0: all.
        """
        parts = self.split(text)

        def taken(start: int, end: int) -> str:
            made, begin = [], 0
            for part in parts:
                piece = part.text[max(start - begin, 0) : max(end - begin, 0)]
                made.append(piece if part.is_template else self.put(Data(piece, part.source)))
                begin += len(part.text)
            return "".join(made)

        plain = "".join(part.text for part in parts)
        found = [match.span() for match in re.finditer(at, plain)][: most or None]
        starts = [0, *(end for _, end in found)]
        ends = [*(start for start, _ in found), len(plain)]
        return [taken(start, end) for start, end in zip(starts, ends, strict=True)]

    def strip(self, text: str, chars: str | None, *, left: bool, right: bool) -> str:
        """Return the text without these characters at its ends, as if the data stood in it."""
        parts = list(self.split(text))
        for wanted, end, cut in ((left, 0, str.lstrip), (right, -1, str.rstrip)):
            while wanted and parts:
                kept = cut(parts[end].text, chars)
                if kept:
                    last = parts[end]
                    parts[end] = msgspec.structs.replace(last, text=kept)
                    break
                del parts[end]
        return "".join(p.text if p.is_template else self.put(Data(p.text, p.source)) for p in parts)
