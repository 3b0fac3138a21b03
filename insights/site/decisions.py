"""What of a table people decided, and when: rows that can be examples for those that come."""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from insights.model import ColumnProfile, TableProfile
from insights.site import candidates
from insights.site.candidates import Candidate, Grade

_LABELS = re.compile(
    r"^(categor|class|kind$|type|typ$|label|tag$|intent|topic|theme|reason|cause|fault|failure|"
    r"defect|diagnos|system|component|severity|priorit|urgenc|impact|team|queue|group|department|"
    r"dept|route|disposition|outcome|decision|resolution|verdict|rating|risk|grade|kategor|art$|"
    r"ursache|grund|abteilung|catégor)"
)
_NOT = re.compile(r"^(id|guid|uuid|fk|country|city|region|state|language|lang|currency|unit)$")
_DECIDED = re.compile(
    r"^(clos|resolv|finish|complet|end|done|solv|decid|classif|label|review|ship|deliver|"
    r"geschlossen|erledigt|abgeschlossen)"
)
_MOST_WORDS = 4.0  # mean words of a label
_NUMBERS = ("integer", "decimal")


class Times(NamedTuple):
    """The columns that tell when a label was decided and when a row was there, and how well."""

    decided: str
    asked: str
    why: str


def labels(
    table: TableProfile, hidden: Collection[str], key: Collection[str]
) -> Iterator[Candidate]:
    """Yield the columns that look like what people decided, the best first.

    They repeat few short values. One that the undecided rows lack and whose name says so is good.
    """
    found = [
        (rank, made)
        for column in table.columns
        if column.name not in (*hidden, *key) and (made := _label(table, column)) is not None
        for rank in [("good", "fair", "poor").index(made.grade)]
    ]
    yield from (made for _, made in sorted(found, key=lambda one: one[0]))


def _label(table: TableProfile, column: ColumnProfile) -> Candidate | None:
    words = candidates.tokens(column.name)
    if (
        column.kind not in ("text", "char")
        or not column.values
        or column.words > _MOST_WORDS
        or column.moments
        or any(map(_NOT.match, words))
    ):
        return None
    named = any(map(_LABELS.match, words))
    open_ = table.sampled - column.filled
    grade: Grade = "poor"
    if named:
        grade = "good" if open_ else "fair"
    why = f"{len(column.values)} values, "
    why += f"{open_ / table.sampled:.0%} of the rows have none yet" if open_ else "in every row"
    return Candidate((column.name,), grade, why)


def times(
    table: TableProfile, hidden: Collection[str], key: Collection[str], cursor: str | None
) -> Times | None:
    """Return how an example is told to be of a row's past; None where no column does."""
    moments = [
        column
        for column in table.columns
        if column.name not in hidden
        and column.filled
        and (column.kind in ("datetime", "date") or column.moments == column.filled)
    ]
    made = [c for c in moments if c.filled == table.sampled and _is_made(c)]
    if made:
        decided = [c for c in moments if tells_of_decision(c)]
        changed = [c for c in moments if c.name == cursor or candidates.tells_of_changes(c)]
        if decided:
            return Times(decided[0].name, made[0].name, f"{decided[0].name} tells when")
        if changed:
            why = f"They were decided by {changed[0].name}, the time of the last change"
            return Times(changed[0].name, made[0].name, why)
        why = f"Nothing tells when they were decided: {made[0].name} stands for it"
        return Times(made[0].name, made[0].name, why)
    growing = [
        name
        for name in (*key, *filter(None, [cursor]))
        if table.column(name).kind in _NUMBERS and (table.column(name).rising or 0) == 1
    ]
    if len(key) == 1 and growing:
        why = f"No time tells when they were decided: {growing[0]}, which grows, stands for it"
        return Times(growing[0], growing[0], why)
    return None


def tells_of_decision(column: ColumnProfile) -> bool:
    """Return whether a column is a time that is set when a row is decided."""
    timed = column.kind in ("datetime", "date") or bool(column.moments)
    return timed and any(map(_DECIDED.match, candidates.tokens(column.name)))


def _is_made(column: ColumnProfile) -> bool:
    return candidates.tells_of_making(column) and not candidates.tells_of_changes(column)
