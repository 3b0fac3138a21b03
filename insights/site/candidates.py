"""What of a table may serve as key, cursor and text, and what in it is personal: pure guesses.

They are made of types, indexes, names and the counts of a sample (`model.TableProfile`), each with
a grade and the reason, so that a person can choose where two would do.
"""

import re
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

from insights.model import ColumnProfile, TableProfile

Grade = Literal["good", "fair", "poor"]

SMALL = 10_000  # rows above which a page must walk an index: `run` refuses a stream otherwise
_SWEPT_PER_S = 20_000.0  # rows that a sweep compares in a second; half of what was measured
_SHARE = 0.02  # of the time that sweeps may take
_LEAST_SWEEP_S, _MOST_SWEEP_S, _CALM_SWEEP_S = 30.0, 6 * 3600.0, 15 * 60.0
_MOST_SHOWN = 8
_FEW = 5  # values, of which one alone says nothing of the others
_TEXT = 2.0  # mean words below which values are names of places and codes, not text
_PROSE = 3.0  # words from which on a value is no single name
_NAMES = 0.6  # share of values that look like names of persons

_TOKEN = re.compile(r"[A-ZÀ-Þ]+(?![a-zß-ÿ])|[A-ZÀ-Þ]?[a-zß-ÿ]+|\d+")
_CHANGES = re.compile(
    r"^(updat|upd$|modif|mod$|chang|chg|edit|mtime|touch|alter|revis|last(mod|upd|chang|edit)|"
    r"(date|time|dt)(mod|upd|chang)|rowver|geänd|geaend|änder|aender|maj$|actualiz|gewijz)"
)
_PERSONS = frozenset(
    [
        "by",
        "user",
        "usr",
        "uid",
        "who",
        "person",
        "name",
        "login",
        "von",
        "durch",
        "par",
        "por",
        "author",
        "editor",
    ]
)
_MOMENTS = frozenset(
    ["ts", "stamp", "timestamp", "date", "time", "at", "on", "dt", "datum", "zeit", "epoch"]
)
_MADE = re.compile(
    r"^(creat|insert|enter|add|post|submit|receiv|regist|report|log|open|order|start|occur|book|"
    r"date|time|stamp|timestamp|ts|erstellt|erfasst|angelegt|invoice|requested?)"
)
_DIRECT = re.compile(
    r"^(e?mail|phone|fax|mobile|cell|tel|telephone|telefon|handy|iban|bic|ssn|birth\w*|dob|born|"
    r"surname|firstname|lastname|forename|fullname|middlename|username|nachname|vorname|prenom|"
    r"passport|licen[cs]e|adress\w*|address\w*|street|strasse|straße|zip|zipcode|postal\w*|"
    r"postcode|plz|card|signature|password|passwd|pwd|courtesy)"
)
_PEOPLE = re.compile(
    r"^(first|last|given|family|middle|full|sur|contact|customer|client|employee|user|person|"
    r"caller|request(er|or)|assign|patient|author|sender|recipient|owner|manager|member|applicant|"
    r"candidate|student|staff|guest|driver|agent|rep|technician|operator|reporter|supplier|buyer|"
    r"ship|billing|holder|insured|tenant|worker|doctor|nurse|teacher|guardian|kunde|mitarbeiter|sales)"
)
_TABLES = re.compile(
    r"^(customer|client|employee|user|person|people|contact|patient|member|applicant|candidate|"
    r"student|staff|guest|driver|agent|supplier|account|tenant|worker|doctor|teacher|kunde|"
    r"mitarbeiter|actor|author)"
)
_BESIDE = frozenset(["name", "names", "namen", "nom", "nombre"])


class Candidate(NamedTuple):
    """Columns that would do, how well, and why."""

    columns: tuple[str, ...]
    grade: Grade
    why: str

    def __str__(self) -> str:
        return f"{', '.join(self.columns) or 'none'} ({self.grade}: {self.why})"


def tokens(name: str) -> list[str]:
    """Return the words of a column's name, in small letters: `sys_updatedOn` has three."""
    return [word.casefold() for word in _TOKEN.findall(name)]


def keys(table: TableProfile) -> list[Candidate]:
    """Return what tells rows apart, the best first; empty where nothing does."""
    found = [
        Candidate(key, "good" if at == 0 else "fair", "a unique key of the table")
        for at, key in enumerate(table.unique)
    ]
    if found:
        return found
    why = f"unique in the {min(table.rows, table.sampled):,} rows of the sample"
    if table.proven_in_all:
        why = f"unique in all {table.rows:,} rows"
    return [
        Candidate(key, "fair" if at == 0 else "poor", f"{why}; nothing in the database keeps it so")
        for at, key in enumerate(table.proven)
    ]


def cursors(table: TableProfile, key: Collection[str]) -> list[Candidate]:
    """Return how new and changed rows may be found, the best first; the last one is no cursor."""
    found = sorted(
        (made for column in table.columns if (made := _cursor(table, column, key)) is not None),
        key=lambda made: -made[0],
    )
    every = duration(sweep_s(table, cursor=False))
    none = Candidate((), "fair", f"new and changed rows are found by comparing all, every {every}")
    return [*(candidate for _, candidate in found), none]


def _cursor(
    table: TableProfile, column: ColumnProfile, key: Collection[str]
) -> tuple[float, Candidate] | None:
    """Return a column as a cursor, with its rank; None if it cannot be one."""
    words = tokens(column.name)
    is_moment = column.kind in ("datetime", "date") or (
        column.kind in ("text", "char") and column.filled > 0
    )
    sorts = column.filled == column.moments  # as text too; what is no time there would hide rows
    changes = any(map(_CHANGES.match, words)) or _CHANGES.match("".join(words)) is not None
    one = (column.name,)
    lacks_index = table.rows > SMALL and not column.indexed
    if column.automatic == "change":
        rank, grade, why = 9.0, "good", "the database sets it at every change"
    elif is_moment and changes and sorts and not _PERSONS & set(words) and column.kind != "date":
        rank, grade, why = 8.0, "good", "by its name and values the time of the last change"
        if column.filled < table.sampled:
            share = 1 - column.filled / max(1, table.sampled)
            rank, why = rank - 2 * share, f"{why}; {share:.0%} have none, sweeps find those"
            grade = "good" if share < 0.5 else "fair"  # noqa: PLR2004 - half
    elif set(key) == {column.name} and column.automatic == "identity":
        every = duration(sweep_s(table, cursor=True))
        rank, grade = 6.0, "fair"
        why = f"an identity: new rows at once, changed ones by comparing all, every {every}"
    elif (
        is_moment
        and sorts
        and column.kind != "date"
        and column.filled == table.sampled
        and tells_of_making(column)
        and not _PERSONS & set(words)
    ):
        rank, grade, why = 4.0, "poor", "a time that does not tell of changes: sweeps find them"
    else:
        return None
    if column.filled == 0 and table.sampled:
        return None
    if lacks_index:
        rank, grade = rank - 5, "poor"
        why += "; it leads no index, which a page needs in a table of this size"
    return rank + 0.5 * column.indexed, Candidate(one, grade, why)  # type: ignore[arg-type]


def tells_of_changes(column: ColumnProfile) -> bool:
    """Return whether a column is set at each change, as the database or its name says."""
    return column.automatic == "change" or any(map(_CHANGES.match, tokens(column.name)))


def tells_of_making(column: ColumnProfile) -> bool:
    """Return whether a column's name says that it is set when a row is made."""
    return any(map(_MADE.match, tokens(column.name)))


def equal(candidates: list[Candidate]) -> bool:
    """Return whether the best candidate has an equal, so that a person should choose."""
    real = [one for one in candidates if one.columns]
    return len(real) > 1 and real[0].grade == real[1].grade != "poor"


def sweep_s(table: TableProfile, *, cursor: bool) -> float:
    """Return how often to compare all rows, in seconds: a fiftieth of the time at most.

    Without a cursor only that finds new rows, so it is as often as the table's size allows.
    """
    needed = min(table.rows, table.counted) / _SWEPT_PER_S / _SHARE
    least = _CALM_SWEEP_S if cursor else _LEAST_SWEEP_S
    return min(_MOST_SWEEP_S, max(least, needed))


def duration(seconds: float) -> str:
    """Return seconds as the settings write them."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{round(seconds / unit)}{name}"
    return f"{round(seconds)}s"


def personal(table: TableProfile, name: str) -> dict[str, str]:
    """Return the columns whose values are personal, each with what tells so.

    Args:
        table: The table.
        name: What it is called: a `name` in `customers` is a person's.
    """
    about_people = any(map(_TABLES.match, tokens(name)))
    found: dict[str, str] = {}
    for column in table.columns:
        if column.kind not in ("text", "char", "other", "date", "datetime"):
            continue
        words = tokens(column.name)
        if why := _personal(column, words, about_people=about_people):
            found[column.name] = why
    return found


def _personal(column: ColumnProfile, words: list[str], *, about_people: bool) -> str:
    whole = "".join(words)
    dated = column.kind in ("date", "datetime")
    if dated:
        return "its name" if re.match(r"birth|dob|born|geburt", whole) else ""
    if any(map(_DIRECT.match, words)) or _DIRECT.match(whole):
        return "its name"
    named = bool(_BESIDE & set(words)) or whole.endswith("name")
    people = any(map(_PEOPLE.match, words))
    if named and (people or (about_people and len(words) == 1)):
        return "its name"
    filled = max(1, column.filled)
    if column.words < _PROSE + 1:
        kinds = [kind for kind, count in column.personal.items() if 2 * count >= column.distinct]
        if kinds and column.distinct:
            return f"its values: {', '.join(kinds)}"
    if (people or about_people or "by" in words) and column.people >= _NAMES * filled:
        return "its values look like names"
    return ""


def found_in_text(table: TableProfile, hidden: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield columns whose texts hold something personal, which redaction replaces, and what."""
    for column in table.columns:
        if column.personal and column.name not in hidden:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(column.personal.items()))
            yield column.name, kinds


def texts(table: TableProfile, hidden: Collection[str]) -> list[str]:
    """Return the columns of free text, the richest first: what can be quoted from."""
    found = [
        column
        for column in table.columns
        if column.kind in ("text", "char")
        and column.name not in hidden
        and column.filled
        and column.moments < column.filled
        and column.words >= _TEXT
        and (column.distinct > 1 or column.filled < _FEW)
    ]
    return [column.name for column in sorted(found, key=lambda c: -_richness(table, c))]


def _richness(table: TableProfile, column: ColumnProfile) -> float:
    share = column.filled / max(1, table.sampled)
    varied = column.distinct / max(1, column.filled)
    return min(column.words, 60.0) * share * (0.3 + varied)


def shown(table: TableProfile, hidden: Collection[str], key: Collection[str]) -> list[str]:
    """Return the columns that a prompt shows, never none: text first, then what describes it."""
    prose = texts(table, hidden)[:4]
    rest = [
        column.name
        for column in table.columns
        if column.name not in (*hidden, *prose)
        and column.kind != "binary"
        and column.filled
        and not tells_of_changes(column)
    ]
    telling = [name for name in rest if name not in key and not _is_reference(table, name)]
    chosen = {*prose, *telling[: _MOST_SHOWN - len(prose)]}
    if not chosen:
        chosen = set(rest[:_MOST_SHOWN]) or {table.columns[0].name}
    return [column.name for column in table.columns if column.name in chosen]


def _is_reference(table: TableProfile, name: str) -> bool:
    """Return whether a column only points at another table: its numbers say nothing here."""
    words = tokens(name)
    reference = bool(words) and words[-1] in ("id", "fk", "guid", "uuid")
    return reference and table.column(name).kind in ("integer", "guid", "decimal", "char", "text")
