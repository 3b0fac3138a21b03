"""Pages become one text, without running lines and contents, with words whole."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from insights.documents.formats.cleaning import squeeze
from insights.documents.formats.contents import without_contents

_CUT = re.compile(r"(?<=\w)[-\u2010]\n\s*(?P<tail>\w{1,60})")
_HEAD = re.compile(r"\w{1,60}\Z")
_WORD = re.compile(r"\w+(?:-\w+)*")
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"^[\W_]*(?:page|seite|blatt|p\.|s\.)?\s*(?:#|[ivxlc]{1,7})(?:\s*(?:/|of|von|-)\s*#)?[\W_]*$",
    re.IGNORECASE,
)
_EDGE = 3  # lines at the top and at the bottom in which a running one is looked for
_OFTEN = 3  # pages at least that it runs over …
_SHARE = 0.05  # … and of all: left and right pages differ, and every chapter may
_LONGEST_RUNNING = 80  # characters of a running line: longer ones are text
_UNCOUNTED = 20  # pages that a book may lack here or count in front
_NUMBERING = re.compile(
    r"^(?:chapter|kapitel|section|abschnitt|appendix|anhang)?[\s\dA-Z]?[\d.)]*\s+", re.IGNORECASE
)
_MARKDOWN = re.compile(r"^(?=#{1,6}\s|```|~~~)", re.MULTILINE)
_SUSPENDED = frozenset({"und", "oder", "bzw", "and", "or", "et", "ou", "en", "of", "y", "o", "e"})


class Heading(NamedTuple):
    """An entry of an outline: its text, its level from 1 on, the page it leads to, from 0 on."""

    title: str
    level: int
    page: int


def joined(pages: Sequence[str], outline: Sequence[Heading]) -> str:
    """Return the text of all pages, with the outline's entries as Markdown headings."""
    words = Counter(word.lower() for page in pages for word in _WORD.findall(page))
    lines = [
        [line.strip() for line in _whole(page, words).split("\n") if line.strip()] for page in pages
    ]
    without = list(_without_contents(_without_running(lines), len(pages)))
    if not outline:
        return squeeze("\n\n".join("\n".join(page) for page in without))
    entries: dict[int, list[Heading]] = {}
    for heading in outline:
        entries.setdefault(heading.page, []).append(heading)
    named = {_key(heading.title): heading.page for heading in outline}
    headed = [
        _headed(page, entries.get(number, []), named, number) for number, page in enumerate(without)
    ]
    return squeeze("\n\n".join(headed))


def _whole(page: str, words: Counter[str]) -> str:
    """Join words that a line's end cut in two; a hyphen stays where it belongs to the word."""

    def join(match: re.Match[str]) -> str:
        before, tail = page[max(match.start() - 60, 0) : match.start()], match["tail"]
        found = _HEAD.search(before)
        head = found[0] if found else ""
        if tail.lower() in _SUSPENDED:
            return f"- {tail}"
        cut = head[-1:].islower() and tail[:1].islower()
        if cut and words[f"{head}{tail}".lower()] >= words[f"{head}-{tail}".lower()]:
            return tail
        return f"-{tail}"

    return _CUT.sub(join, page)


def _without_running(pages: Sequence[list[str]]) -> Iterator[list[str]]:
    """Leave out headers and footers, but for the first time that each is met."""
    seen: Counter[tuple[str, int]] = Counter()
    for number, page in enumerate(pages):
        edges = (*page[:_EDGE], *page[max(len(page) - _EDGE, _EDGE) :])
        seen.update({key for line in edges for key in _running(line, number)})
    often = max(_OFTEN, _SHARE * len(pages))
    met: set[str] = set()
    for number, page in enumerate(pages):
        kept = []
        for at, line in enumerate(page):
            inside, shape = _EDGE <= at < len(page) - _EDGE, _DIGITS.sub("#", line)
            if inside or all(seen[key] < often for key in _running(line, number)):
                kept.append(line)
            elif not _PAGE_NUMBER.match(shape) and shape not in met:
                met.add(shape)
                kept.append(line)
        yield kept


def _running(line: str, page: int) -> list[tuple[str, int]]:
    """Return what a line may have in common with those at other pages' edges.

    That is all of it, or all but one number that goes with the pages.
    """
    if len(line) > _LONGEST_RUNNING:
        return []
    keys = [(line, 0)]
    for digits in _DIGITS.finditer(line):
        shape = f"{line[: digits.start()]}#{line[digits.end() :]}"
        keys.append((shape, int(digits[0][:6]) - page))
    return keys


def _without_contents(pages: Iterator[list[str]], count: int) -> Iterator[list[str]]:
    goes_on = False
    for page in pages:
        kept = without_contents(page, count + _UNCOUNTED, goes_on=goes_on)
        goes_on = len(kept) < len(page)
        yield kept


def _headed(lines: list[str], entries: list[Heading], named: dict[str, int], number: int) -> str:
    """Return a page with its outline's entries as headings: where they stand, else above it."""
    wanted = {_key(entry.title): entry for entry in reversed(entries)}
    text: list[str] = []
    at = 0
    while at < len(lines):
        for count in (1, 2):  # a heading may be broken in two
            key = _key(" ".join(lines[at : at + count]))
            if (entry := wanted.pop(key, None)) is not None:
                text.append(_heading(entry, " ".join(lines[at : at + count])))
                at += count
                break
        else:
            # A list of contents without dots: the entry and the number of a page elsewhere.
            bare = re.sub(r"\s+\d{1,4}$", "", lines[at])
            if bare == lines[at] or named.get(_key(bare), number) == number:
                text.append(_MARKDOWN.sub("    ", lines[at]))
            at += 1
    above = [_heading(entry) for entry in entries if wanted.get(_key(entry.title)) is entry]
    return "\n".join((*above, *text))


def _heading(entry: Heading, stands: str = "") -> str:
    """Return an entry as a heading: as it stands on the page if that says more, its number."""
    title = max(entry.title, stands, key=len)
    return f"\n{'#' * min(entry.level, 6)} {title}\n"


def _key(title: str) -> str:
    return "".join(filter(str.isalnum, _NUMBERING.sub("", title, count=1))).casefold()
