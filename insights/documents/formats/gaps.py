"""Blanks that a PDF only leaves room for: pdfium writes one where the gap is wide, and few are.

Programs that fill lines by narrowing them (groff) leave an eighth of the line's height between two
words; a letter's own neighbours have none.
"""

import ctypes
import itertools
from typing import Any

import pypdfium2.raw as pdfium

_NARROWEST = 0.1  # of the line's height, as pdftotext does
_SMALLER = 0.85  # of a letter's height: a raised number before it
_MOSTLY = 0.5  # of a line's neighbours have a gap: its letters are spaced out, not its words


def text(page: Any) -> str:  # noqa: ANN401 - pypdfium2 has no types of its own
    """Return a page's text, with a blank in each gap between two words.

    Args:
        page: A `PdfTextPage`.
    """
    shown = str(page.get_text_bounded())
    every = str(page.get_text_range())
    if len(every) != page.count_chars() or _letters(every) != _letters(shown):
        return shown  # the page has text outside of its box, or no places in it are known
    lines, at = [], 0
    for line in every.split("\n"):
        lines.append(_spaced(page.raw, line, at))
        at += len(line) + 1
    return "\n".join(lines)


def _letters(text: str) -> str:
    """Return a text without blanks, and with one of pdfium's two signs for a cut word."""
    return "".join(text.split()).replace("\x02", "\ufffe")


def _spaced(page: Any, line: str, at: int) -> str:  # noqa: ANN401
    """Return a line with its gaps as blanks; `at` is where it begins in the page's text."""
    rectangle = pdfium.FS_RECTF()
    place = ctypes.byref(rectangle)
    gaps: list[int] = []
    pairs = 0
    right = bottom = top = 0.0
    before = " "
    for number, character in enumerate(line):
        if not character.isspace() and pdfium.FPDFText_GetLooseCharBox(page, at + number, place):
            if not before.isspace():
                pairs += 1
                beside = min(top, rectangle.top) - max(bottom, rectangle.bottom)
                height = top - bottom
                wide = rectangle.left - right > _NARROWEST * height
                if wide and beside > height / 2 and _part(before, character):
                    gaps.append(number)
                elif character.isalpha() and line[:number].strip().isdecimal():
                    smaller = height < _SMALLER * (rectangle.top - rectangle.bottom)
                    if smaller and bottom > rectangle.bottom:  # a footnote's number
                        gaps.append(number)
            right, bottom, top = rectangle.right, rectangle.bottom, rectangle.top
        before = character
    if not gaps or len(gaps) > _MOSTLY * pairs:
        return line
    return " ".join(line[a:b] for a, b in itertools.pairwise([0, *gaps, len(line)]))


def _part(before: str, after: str) -> bool:
    """Tell whether a blank may stand between: none before a full stop, none behind a bracket."""
    return (after.isalnum() or after in "([{“‘„«") and before not in "([{“‘„«"
