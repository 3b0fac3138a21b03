"""Merged cells of a sheet: what spans several rows or columns belongs to each of them.

Libraries give the text of merged cells to the first one alone, so that a record below would not say
its region, and of a header in two lines the lower one would have `Plan` and `Actual` twice.
"""

from collections.abc import Iterable, Sequence

Range = tuple[tuple[int, int], tuple[int, int]]
"""First and last cell, row before column, from 0 on."""


def filled(
    rows: Sequence[list[str]], ranges: Iterable[Range], start: tuple[int, int]
) -> Sequence[list[str]]:
    """Return rows in which cells merged downwards have their text each, and headers are one line.

    Args:
        rows: A sheet's cells; none of a row without any value.
        ranges: What is merged.
        start: Row and column of the first of the cells.
    """
    across: dict[int, list[tuple[int, int]]] = {}
    for (top, left), (bottom, right) in ranges:
        first, column = top - start[0], left - start[1]
        if not 0 <= first < len(rows) or not 0 <= column < len(rows[first]):
            continue
        if left == right:
            for row in filter(None, rows[first + 1 : bottom - start[0] + 1]):
                row[column] = row[column] or rows[first][column]
        elif top == bottom:
            across.setdefault(first, []).append((column, right - start[1] + 1))
    if across:
        _join(rows, min(across), across[min(across)])
    return rows


def _join(rows: Sequence[list[str]], at: int, spans: Sequence[tuple[int, int]]) -> None:
    """Write the groups of a header before the names below them, where names need them."""
    if at + 1 >= len(rows):
        return
    groups, names = rows[at], list(rows[at + 1])
    filled_names = [name for name in names if name]
    for begin, end in spans:
        for column in range(begin, min(end, len(names))):
            names[column] = f"{groups[begin]} {names[column]}".strip() if names[column] else ""
    ours = [name for name in names if name]
    spanned = {column for begin, end in spans for column in range(begin, end)}
    alone = [text for column, text in enumerate(groups) if text and column not in spanned]
    needed = len(set(filled_names)) < len(filled_names) and len(set(ours)) == len(ours)
    if needed and all(text in names for text in alone):
        rows[at][:] = [""] * len(groups)
        rows[at + 1][:] = names
