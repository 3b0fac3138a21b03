"""`[door.<name>]`: a watched folder whose files are sent to a pipeline of the inbox."""

import codecs
import itertools
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from insights.site.values import Duration, Name, Section, seconds

_SET = {"xml": ("record", "fields"), "fixed": ("columns", "unit", "result")}


class WidthSettings(Section):
    """A column of what is written: its name and its width."""

    name: str = Field(min_length=1)
    width: int = Field(gt=0, le=1_000_000)


class ColumnSettings(WidthSettings):
    """A column of a fixed-width line: its name, its first place from 1, and its width."""

    at: int = Field(gt=0, le=10_000_000)


class DoorSettings(Section):
    """`[door.<name>]`: a folder watched for files whose records one pipeline gets.

    A file is complete when it was renamed to a name that `pattern` takes (`renamed`), when the file
    with its name and `marker` is there too (`marker`), or when it stood still for `still`. The
    folders `out`, `done` and `failed` are below `folder`, or anywhere on the same file system.
    `record` and `fields` say where XML has records and their fields, `columns` and `unit` where
    lines of fixed width have them, `result` how outcomes of these are written.
    """

    folder: Path
    pipeline: Name
    pattern: str = Field(default="*.csv", min_length=1)
    format: Literal["csv", "jsonl", "xml", "fixed"] = "csv"
    complete: Literal["still", "renamed", "marker"] = "still"
    still: Duration = Field(default=seconds("10s"), ge=0)
    marker: str = Field(default=".done", pattern=r"^\.[^/\\]+$")
    every: Duration = Field(default=seconds("2s"), gt=0)
    encoding: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    record: str | None = Field(default=None, pattern=r"^(/?[^/\s<>]+)*$")
    fields: dict[str, str] = Field(default_factory=dict)
    columns: tuple[ColumnSettings, ...] = ()
    unit: Literal["characters", "bytes"] = "characters"
    result: tuple[WidthSettings, ...] = ()
    out: Path = Path("out")
    done: Path = Path("done")
    failed: Path = Path("failed")

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError(f"there is no encoding {encoding!r}; such as cp1252") from None
        return encoding

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for form, names in _SET.items():
            if self.format != form and (extra := self.model_fields_set.intersection(names)):
                raise ValueError(f"{min(extra)!r} is of format = {form!r} alone")
        if self.format == "xml" and not self.record:
            raise ValueError('format = "xml" needs record, the path to records: "tickets/ticket"')
        if self.format == "fixed":
            self._columns_fit()
        return self

    def _columns_fit(self) -> None:
        if not self.columns:
            raise ValueError('format = "fixed" needs columns: [{ name = "id", at = 1, width = 8 }]')
        for wide in (self.columns, self.result):
            names = [one.name for one in wide]
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"the column {twice[0]!r} is there twice")
        places = sorted(self.columns, key=lambda one: one.at)
        for one, after in itertools.pairwise(places):
            if one.at + one.width > after.at:
                raise ValueError(f"the columns {one.name!r} and {after.name!r} overlap")
        if self.unit == "bytes" and len("\n".encode(self.encoding or "utf-8")) != 1:
            raise ValueError(f"{self.encoding} has no byte for a line's end: count characters")
