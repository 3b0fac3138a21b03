"""Marks of the legacy application, and how it is told that a marked row is done."""

from datetime import datetime
from typing import Literal

from insights.model.base import Value

Verb = Literal["acknowledge", "reject"]


class MarkChange(Value, frozen=True):
    """One statement: the mark's column, the value it has while the row is pending, and the next."""

    column: str
    old: str | int
    new: str | int


class MarkSpec(Value, frozen=True):
    """What a stream's rows are told on the primary, and in which table.

    `key` are the stream's key columns. At least one of `acknowledge` and `reject` is set.
    """

    stream: str
    source: str
    table: str
    key: tuple[str, ...]
    schema: str | None = None
    acknowledge: MarkChange | None = None
    reject: MarkChange | None = None

    @property
    def changes(self) -> dict[Verb, MarkChange]:
        """The statements there are, by verb."""
        both: dict[Verb, MarkChange | None] = {
            "acknowledge": self.acknowledge,
            "reject": self.reject,
        }
        return {verb: change for verb, change in both.items() if change is not None}


class Outcome(Value, frozen=True):
    """What one marked row is to be told.

    `requests` tells which of its requests this is about. `mark_rejected`: the mark has the value
    that an earlier reject gave it, which an acknowledge then replaces as well.
    """

    row_id: int
    row_key: str
    verb: Verb
    requests: int
    mark_rejected: bool = False


class Told(Value, frozen=True):
    """What one statement did: `changed` is false where the mark no longer had its old value.

    `error` is why the database refused this row's change; it is tried again if the mark stands.
    """

    row_id: int
    verb: Verb
    requests: int
    changed: bool
    error: str | None = None


class PassingRow(Value, frozen=True):
    """A row whose statement the replica has applied; `told_at` says which statement."""

    row_id: int
    row_key: str
    told_at: datetime
