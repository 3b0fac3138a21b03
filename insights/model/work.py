"""Work, finished insights, and what sinks are told."""

from datetime import datetime
from typing import Literal

from insights.ground.spans import Attempt, trace_of
from insights.model.base import InsightStatus, Json, Shows, Value
from insights.model.generation import Generation, Verdict
from insights.model.knowledge import Example


class Claim(Value, frozen=True):
    """Work held under a lease: `token` must still stand when the result is written.

    `barred` is the model whose budget was used up when the row was claimed: another one makes it.
    """

    work_id: int
    row_id: int
    token: str
    stream: str
    row_key: str
    input_hash: bytes
    hash_version: int
    pipeline_version_id: int
    attempts: int
    isolated: bool = False
    barred: str | None = None

    @property
    def trace(self) -> str:
        """The id of this row version's trace."""
        return trace_of(self.row_id, self.pipeline_version_id, self.input_hash)

    @property
    def attempt(self) -> Attempt:
        """What its spans belong to."""
        return Attempt(self.trace, self.token)


class Share(Value, frozen=True):
    """How many rows of one pipeline version may be claimed now, or of its suspects alone.

    A suspect is a row that was in flight when a generator died: it is only claimed to run alone.
    """

    pipeline_version_id: int
    rows: int
    isolated: bool = False


class Outstanding(Value, frozen=True):
    """Open work: `all_open` now or later, `next_s` seconds until the next may be done.

    `bounded` says which budget keeps all of it from beginning, and until when; "" where none does.
    """

    all_open: int
    next_s: float
    bounded: str = ""


class Insight(Value, frozen=True):
    """A finished row, ready to be written under its claim.

    `sealed` is what placeholders of its output stand for, sealed for the sink's publisher.
    `neighbour` is the nearest labelled row, where the pipeline has examples. For the
    audit: the SHA-256 of what the model was asked, its text where that is kept, and the passages
    shown with their scores.
    `asked` is the SHA-256 by which others may reuse its generation, where they may.
    """

    claim: Claim
    verdict: Verdict
    generation: Generation | None
    source_cursor: str | None
    redactions: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    sealed: dict[str, str] = {}
    neighbour: Example | None = None
    prompt_sha256: str | None = None
    prompt: str | None = None
    shown: tuple[tuple[int, float], ...] = ()
    asked: bytes | None = None


class SinkSpec(Value, frozen=True):
    """A table in a legacy database that shows insights: where it is and what it shows.

    `key` are the sink's key columns, which are the legacy row's key columns by name; the other
    columns follow from `output_schema` (see `sinks.ddl`). `legacy_table` is the table the key
    types come from and that `view` joins; None where the stream reads a query. `text` says where
    its text is shown, and so what is taken out of it (`sinks.text`). With `confidence` its table
    has the column of that name; without, a table that has it is given it all the same.
    """

    name: str
    source: str
    table: str
    key: tuple[str, ...]
    output_schema: Json
    schema: str | None = None
    view: str | None = None
    legacy_table: str | None = None
    legacy_schema: str | None = None
    text: Literal["plain", "html", "csv"] = "plain"
    confidence: bool = False


class SinkState(Value, frozen=True):
    """What a sink shall show for one row: the outbox's current state of it.

    `values` maps output property to its JSON value; empty for a tombstone and where there is
    nothing to show. `sealed` is what placeholders in them stand for, until the sink was told.
    `found_at` is when the row's change was found, where the row is shown as it is.
    """

    row_id: int
    row_key: str
    revision: int
    shows: Shows
    status: InsightStatus | None
    insight_id: int | None
    values: Json
    citations: str
    pipeline_version: str
    model: str
    source_cursor: str | None
    generated_at: datetime | None
    sealed: dict[str, str] = {}
    confidence: float | None = None
    trace: str = ""
    found_at: datetime | None = None


class SinkResult(Value, frozen=True):
    """Whether this state, or a newer one, now stands in the sink; `error` is this row's alone.

    `standing` is set where the sink refused the state: the newer revision that it holds.
    """

    row_id: int
    revision: int
    standing: int | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
