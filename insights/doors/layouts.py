"""How files are written, and what is read of them: records, and what is wrong with one."""

from typing import Literal

import msgspec

Form = Literal["csv", "jsonl", "xml", "fixed"]
Unit = Literal["characters", "bytes"]


class Column(msgspec.Struct, frozen=True):
    """A column of a fixed-width file: its first place, counted from 1, and its width.

    Both in the layout's unit. `at` is of no use in what is written: there columns follow in order.
    """

    name: str
    width: int
    at: int = 1

    @property
    def end(self) -> int:
        """The last place."""
        return self.at + self.width - 1


class Layout(msgspec.Struct, frozen=True):
    """How a file is written; None: found by looking at it.

    Attributes:
        form: Its format.
        encoding: A name that Python knows.
        delimiter: The character between two cells.
        most: Characters of a cell that are read; a longer one is refused.
        record: Local names of the elements that lead to a record, with `/` between.
        fields: Where in a record each field stands; none: each element and attribute is one.
        columns: Where in a line each field stands.
        unit: What places and widths count.
        result: How outcomes of a fixed-width file are written; none: as `results` says.
    """

    form: Form
    encoding: str | None = None
    delimiter: str | None = None
    most: int = 200_000
    record: str = ""
    fields: dict[str, str] = {}
    columns: tuple[Column, ...] = ()
    unit: Unit = "characters"
    result: tuple[Column, ...] = ()


class Record(msgspec.Struct, frozen=True):
    """One record: the line it begins in, its fields, and where each field stands.

    A column is the cell in CSV, else the place in its line, counted from 1. `lines` has the line of
    each field where it may be another than the record's.
    """

    line: int
    fields: object
    columns: dict[str, int] = {}
    lines: dict[str, int] = {}


class Refused(msgspec.Struct, frozen=True):
    """Why a record, or a whole file where `line` is that of its header, was not accepted."""

    line: int
    column: int | None
    field: str
    what: str
    fix: str = ""


class Unreadable(Exception):
    """A file has no record that could be read."""

    def __init__(self, *refused: Refused) -> None:
        super().__init__(refused[0].what)
        self.refused = refused
