"""What the status page reads of the store: bounded, however much it holds.

Nothing here counts a table. Each statement walks an index from its end, or reads a small table, and
gives up after two seconds. Reading a text writes an audit event in the same transaction: no event,
no text.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from insights.store import audit
from insights.store.postgres import Store
from insights.store.queries import load

SEED = 20_000  # insights that tell what was made before the daemon began
COUNTED = 5_000  # insights that one statement counts: 20,000 took 0.2 s on a busy machine
LISTED = 20
LETTERS = 50
_PATIENCE_S = 2.0  # whoever looks at the page can wait; the daemon's own work cannot
Found = TypeVar("Found", bound=msgspec.Struct)


class StreamRow(msgspec.Struct, frozen=True):
    """How a stream fares; `_s` are seconds, ago or long.

    `behind_s` tells since when it is complete; `swept_s` when the last whole sweep began, which saw
    `swept_rows` rows; `p50_s` and `p99_s` within what time of its change a row was found.
    """

    stream: str
    paused: bool
    stopped_reason: str | None
    last_error: str | None
    lag_s: float | None
    polled_s: float | None
    behind_s: float | None
    missed_rows: int
    overlap_s: float | None
    epoch_changes: int
    open_gaps: int
    swept_s: float | None
    swept_rows: int | None
    p50_s: float | None
    p99_s: float | None


class VersionRow(msgspec.Struct, frozen=True):
    """A version of a pipeline, and how it is deployed: for which share of the keys, 0 to 1."""

    pipeline: str
    stream: str
    sink: str | None
    sha256: str
    stage: str
    share: float
    stopped_reason: str | None
    changed_at: dt.datetime
    changed_by: str
    served_by: list[str] | None


class RecentRow(msgspec.Struct, frozen=True):
    """The newest insights of a pipeline: outcomes, and seconds since their change was found.

    `made` until the insight was written, `shown` until its sink had it (None: it has no sink).
    """

    stream: str
    pipeline: str
    insights: int
    ok: int
    abstained: int
    withheld: int
    made_p50_s: float | None
    made_p99_s: float | None
    shown_p50_s: float | None
    shown_p99_s: float | None


class ModelRow(msgspec.Struct, frozen=True):
    """A model that made some of the newest insights, and what one cost on average."""

    model: str
    insights: int
    prompt_tokens: float | None
    output_tokens: float | None
    ms: float | None


class MadeRow(msgspec.Struct, frozen=True):
    """How many insights a minute (seconds since 1970) has seen."""

    minute: float
    ok: int
    others: int


class InsightRow(msgspec.Struct, frozen=True):
    """An insight with its text; `row_key` as people may see it."""

    insight_id: int
    row_id: int
    stream: str
    row_key: str
    pipeline: str
    sha256: str
    status: str
    reason: str | None
    output: Any
    model: str | None
    generated_at: dt.datetime
    confidence: float | None


class CitationRow(msgspec.Struct, frozen=True):
    """What a field of an output stands on; `content` is the passage as it is now, if it still is.

    Offsets are in characters: of the quote in its source, of the claim in the field.
    """

    field: str
    source: str
    title: str | None
    uri: str | None
    quote: str | None
    quote_start: int | None
    quote_end: int | None
    support: float | None
    claim_start: int | None
    claim_end: int | None
    content: str | None


class LetterRow(msgspec.Struct, frozen=True):
    """A dead letter."""

    work_id: int
    stream: str
    row_key: str
    attempts: int
    reason: str
    died_at: dt.datetime


class ReasonRow(msgspec.Struct, frozen=True):
    """How many of a stream's newest thousand dead letters have a reason."""

    stream: str
    reason: str
    rows: int


class BoardReports:
    """Reads for the page."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("board")

    def streams(self) -> list[StreamRow]:
        """Return how each stream fares."""
        return self._read("streams", StreamRow)

    def versions(self) -> list[VersionRow]:
        """Return what is deployed, and what was of late."""
        return self._read("versions", VersionRow)

    def recent(self) -> list[RecentRow]:
        """Return outcomes and latency of the newest 500 insights."""
        return self._read("recent", RecentRow)

    def models(self) -> list[ModelRow]:
        """Return which models made the newest 500 insights."""
        return self._read("models", ModelRow)

    def newest(self) -> int:
        """Return the number of the newest insight."""
        with self._store.patient(_PATIENCE_S) as connection:
            return int(connection.execute(self._sql["newest"]).fetchall()[0].insight_id)

    def made(self, after: int, upto: int) -> list[MadeRow]:
        """Return by minute how many insights have a number above `after`, at most `upto`."""
        return self._read("made", MadeRow, after=after, upto=upto)

    def dead(self) -> list[LetterRow]:
        """Return the newest dead letters of each stream."""
        return self._read("dead", LetterRow, limit=LETTERS)

    def reasons(self) -> list[ReasonRow]:
        """Return the reasons of each stream's newest thousand dead letters."""
        return self._read("dead_reasons", ReasonRow)

    def latest(self, status: str | None, *, actor: str) -> list[InsightRow]:
        """Return the newest insights, and tell the audit that `actor` reads them."""
        with self._store.patient(_PATIENCE_S) as connection:
            values = {"status": status, "limit": LISTED}
            rows = connection.execute(self._sql["latest"], values).fetchall()
            details = {"insights": [row.insight_id for row in rows], "passages": False}
            audit.append(connection, actor, [audit.Event("texts read", details=details)])
        return _typed(rows, InsightRow)

    def insight(
        self, insight_id: int, *, actor: str
    ) -> tuple[InsightRow, list[CitationRow]] | None:
        """Return an insight with what it cites, and tell the audit that `actor` reads it."""
        with self._store.patient(_PATIENCE_S) as connection:
            values = {"insight_id": insight_id}
            rows = connection.execute(self._sql["insight"], values).fetchall()
            if not rows:
                return None
            cited = connection.execute(self._sql["citations"], values).fetchall()
            event = audit.Event(
                "texts read",
                row_id=rows[0].row_id,
                insight_id=insight_id,
                details={"insights": [insight_id], "passages": True},
            )
            audit.append(connection, actor, [event])
        return _typed(rows, InsightRow)[0], _typed(cited, CitationRow)

    def _read(self, statement: str, kind: type[Found], **values: object) -> list[Found]:
        with self._store.patient(_PATIENCE_S) as connection:
            rows = connection.execute(self._sql[statement], values).fetchall()
        return _typed(rows, kind)


def _typed(rows: Sequence[Any], kind: type[Found]) -> list[Found]:
    told: list[Mapping[str, Any]] = [row._asdict() for row in rows]
    return [msgspec.convert(one, kind, strict=False) for one in told]
