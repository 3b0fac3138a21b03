"""Lists of contents with dots: they repeat the headings and say nothing about their subject."""

import itertools
import re
from collections.abc import Sequence

_LONGEST = 400
_LINE = re.compile(r"\S\s*(?:[.·…_‥]\s?){4,}\s*(?:(?P<page>\d{1,4})|[ivxlc]{1,7})$", re.IGNORECASE)
_FEWEST = 3
_RISING = 0.8  # of the steps from one entry's page to the next


def without_contents(lines: Sequence[str], last_page: int, *, goes_on: bool = False) -> list[str]:
    """Return lines without the entries of a list of contents, if they are one.

    Their numbers rise and are pages that there are; a price list with dots has others.

    Args:
        lines: A page's lines, or a whole text's.
        last_page: The last number that a page can have.
        goes_on: The page before had such a list, so that a single entry may be its end.
    """
    found = [
        (at, match)
        for at, line in enumerate(lines)
        if len(line) <= _LONGEST and (match := _LINE.search(line))
    ]
    pages = [int(match["page"]) for _, match in found if match["page"]]
    steps = [later >= earlier for earlier, later in itertools.pairwise(pages)]
    few = len(found) < _FEWEST and not (goes_on and found)
    if few or max(pages, default=0) > last_page or sum(steps) < _RISING * len(steps):
        return list(lines)
    entries = {at for at, _ in found}
    return [line for at, line in enumerate(lines) if at not in entries]
