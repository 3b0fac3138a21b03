"""`[stream.<name>]`: where rows come from, and what finds their changes."""

import zoneinfo
from typing import Literal

from pydantic import Field, model_validator

from insights.model import INBOX
from insights.site.personal import RedactionSettings
from insights.site.values import Duration, Name, Section, seconds

_OF_A_SOURCE = frozenset(
    {
        "table", "schema_", "query", "cursor", "pending", "acknowledge", "reject", "where",
        "regenerate_on_remark", "grade", "start", "overlap", "longest_transaction", "time_zone",
        "poll_null_cursors", "page_rows", "rows_per_second", "quiet_hours", "accept_scan",
        "attachment", "attachment_name", "attachment_mib", "ocr_pages", "poll_every", "sweep_every",
        "consent",
    }
)  # fmt: skip
_REQUESTS = 4  # turns of rows that come in through doors, to each of a row that is polled


class MarkSettings(Section):
    """`acknowledge`, `reject` of a stream: one column of marked rows, changed on the primary.

    The statement is built from these names and values, never from text: an UPDATE of this column
    that is restricted to the key and to the mark's old value.
    """

    source: Name
    table: str | None = None
    schema_: str | None = Field(default=None, alias="schema")
    column: str
    from_: str | int = Field(alias="from")
    to: str | int

    @model_validator(mode="after")
    def _changes(self) -> "MarkSettings":
        if self.from_ == self.to:
            raise ValueError("from and to are the same value: the row would stay marked")
        return self


def check_attachment(column: str | None, name: str | None, others: tuple[str | None, ...]) -> None:
    """Refuse a column of files that is something else as well, with a `ValueError`."""
    if column is None and name is not None:
        raise ValueError("attachment_name needs attachment: the column of the file itself")
    if column is not None and column in (name, *others):
        raise ValueError("attachment names a column with a file, which is nothing else as well")


class StreamSettings(Section):
    """`[stream.<name>]`: one table or query of a source, its key, and how its changes are found.

    `attachment` is a binary column with a file, whose text a prompt that names the column shows;
    `attachment_name` is the column of the file's name. With `source = "inbox"` its rows come in
    through doors: nothing is polled, and a row's fields are kept for `keep` at most. Where rows of
    several streams wait for the same model, each has turns by its `weight`.
    `consent` is the column that says whether a row may be trained on, or true where all may.
    """

    source: Name
    table: str | None = None
    schema_: str | None = Field(default=None, alias="schema")
    query: str | None = None
    key: tuple[str, ...] = Field(min_length=1)
    cursor: str | None = None
    pending: str | None = None
    acknowledge: MarkSettings | None = None
    reject: MarkSettings | None = None
    regenerate_on_remark: bool = False
    where: str | None = None
    grade: Literal["L0", "L1", "L2", "L3", "L4"] | None = None
    start: str = "beginning"
    overlap: Duration = Field(default=seconds("60s"), gt=0)
    longest_transaction: Duration = Field(default=seconds("1h"), gt=0)
    time_zone: str | None = None
    poll_null_cursors: bool = False
    page_rows: int = Field(default=5_000, ge=1, le=100_000)
    max_text_chars: int = Field(default=200_000, ge=100)
    rows_per_second: int | None = Field(default=None, ge=1)
    quiet_hours: str | None = None
    accept_scan: bool = False
    key_personal: bool = False
    sensitive: bool = False
    consent: bool | str = False
    attachment: str | None = None
    attachment_name: str | None = None
    attachment_mib: int = Field(default=10, ge=1, le=64)
    ocr_pages: int = Field(default=0, ge=0, le=10_000)
    poll_every: Duration = seconds("5s")
    sweep_every: Duration = seconds("6h")
    keep: Duration = Field(default=seconds("1d"), ge=60)
    weight: int | None = Field(default=None, ge=1, le=100)
    redact: RedactionSettings = RedactionSettings()

    @property
    def turns(self) -> int:
        """Its weight; without one, requests have more turns than rows that are polled."""
        return self.weight or (_REQUESTS if self.source == INBOX else 1)

    @model_validator(mode="after")
    def _one_way(self) -> "StreamSettings":
        if self.source == INBOX:
            if polled := sorted(_OF_A_SOURCE & self.model_fields_set):
                name = polled[0].removesuffix("_")
                raise ValueError(f"rows of the inbox are not polled: {name} has no meaning here")
            return self
        if "keep" in self.model_fields_set:
            raise ValueError('keep is for source = "inbox": rows of a database are not stored')
        if (self.table is None) == (self.query is None):
            raise ValueError("give exactly one of table and query")
        if self.cursor is not None and self.pending is not None:
            raise ValueError("give at most one of cursor and pending")
        if self.overlap > self.longest_transaction:
            raise ValueError("overlap is longer than longest_transaction, which bounds it")
        if self.key_personal and self.cursor in self.key:
            raise ValueError("a personal key cannot be the cursor, which is shown beside insights")
        check_attachment(self.attachment, self.attachment_name, (*self.key, self.cursor))
        if self.attachment is not None and self.attachment in self.redact.columns:
            raise ValueError("a file is no personal value: it is redacted as a text")
        if self.time_zone is not None and self.time_zone not in zoneinfo.available_timezones():
            raise ValueError(f"there is no time zone {self.time_zone!r}; write it as Europe/Zurich")
        return self

    @model_validator(mode="after")
    def _marks(self) -> "StreamSettings":
        marks = [mark for mark in (self.acknowledge, self.reject) if mark is not None]
        if (marks or self.regenerate_on_remark) and self.pending is None:
            raise ValueError("acknowledge, reject and regenerate_on_remark need pending")
        if self.regenerate_on_remark and self.acknowledge is None:
            raise ValueError("regenerate_on_remark needs acknowledge: else a mark is always old")
        if len({(mark.source, mark.table, mark.schema_) for mark in marks}) > 1:
            raise ValueError("acknowledge and reject must name the same source and table")
        if marks and self.table is None and marks[0].table is None:
            raise ValueError("a stream that is a query must name the table to acknowledge in")
        return self
