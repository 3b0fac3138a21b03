"""Streams, their rows and pages, replicas, and what the store knows of them between polls."""

from typing import Literal

from insights.model.base import Grade, Value


class Redaction(Value, frozen=True):
    """What the reader replaces by typed placeholders before a row leaves its process.

    `kinds` are pattern-and-checksum detectors; `columns` are columns whose value is replaced in
    every text of the row.
    """

    kinds: tuple[str, ...] = ("email", "card", "iban", "phone", "ip")
    columns: tuple[str, ...] = ()


class StreamSpec(Value, frozen=True):
    """One table or query of a source: what to read of it and how to find what changed.

    Exactly one of `table` and `query` is set. `cursor` and `pending` exclude each other; with
    neither, only sweeps find rows. `extra` are columns read for filters or redaction that are no
    prompt input and not part of the hash.
    """

    name: str
    source: str
    key: tuple[str, ...]
    inputs: tuple[str, ...]
    table: str | None = None
    schema: str | None = None
    query: str | None = None
    where: str | None = None
    cursor: str | None = None
    pending: str | None = None
    extra: tuple[str, ...] = ()
    redaction: Redaction = Redaction()
    grade: Grade | None = None
    start: str = "beginning"
    overlap_s: float = 60.0
    page_rows: int = 5_000
    max_text_chars: int = 200_000
    rows_per_second: int | None = None
    accept_scan: bool = False
    key_personal: bool = False
    sensitive: bool = False


class Row(Value, frozen=True):
    """One row as read again for processing: redacted, canonical, never stored.

    `values` maps column to redacted text (None is SQL NULL). `input_hash` is BLAKE2b-128 over the
    canonical prompt inputs *before* redaction. `redactions` counts placeholders by kind; `notes`
    says what was normalised or cut.
    """

    key: str
    input_hash: bytes
    cursor: str | None
    values: dict[str, str | None]
    redactions: dict[str, int] = {}
    notes: tuple[str, ...] = ()


class Bookmark(Value, frozen=True):
    """Where a walk of keyset pages goes on: cursor and key parts of the last row, as text."""

    key: tuple[str, ...]
    cursor: str | None = None


class Page(Value, frozen=True):
    """One page of (key, hash, cursor), COPY-ready, without any row value.

    `block` is PostgreSQL COPY text: `row_key TAB input_hash (uuid text) TAB cursor (or backslash-N)
    NEWLINE` a row, escaped. `last` is the bookmark of the last row, None for an empty page;
    `complete` says that no page follows.
    """

    rows: int
    block: bytes
    last: Bookmark | None
    complete: bool


class Lease(Value, frozen=True):
    """A lease we hold: `token` proves it, `epoch` grew when it changed hands."""

    name: str
    token: str
    epoch: int


class Window(Value, frozen=True):
    """What stands at or above a cursor (NULLs left out): rows, lowest and highest cursor as text.

    `safe_high` is the highest cursor that is not in the future of the database's clock; for cursors
    that are no times it equals `high`. A watermark never passes it.
    """

    rows: int
    low: str | None
    high: str | None
    safe_high: str | None


class StreamState(Value, frozen=True):
    """What the store knows of a stream between polls. Times are epoch seconds of the store's clock.

    `passes` are complete passes not yet promoted: (began, largest safe cursor). `window` is what
    the last reading of the window found, and `skipped` how many polls have left it unread since.
    """

    stream_id: int
    paused: bool
    stopped_reason: str | None
    epoch: int
    identity: str | None
    position: str | None
    watermark: str | None
    bookmark: Bookmark | None
    began: float | None
    mark: str | None
    passes: tuple[tuple[float, str], ...]
    window: Window | None
    skipped: int
    overlap_s: float
    shape: dict[str, str] | None
    sweep_due: bool
    baselined: bool
    now: float


class Recorded(Value, frozen=True):
    """What recording one page did: rows by outcome. `row_ids` only where a sweep asked for them."""

    new: int
    changed: int
    revived: int
    row_ids: tuple[int, ...] = ()


class SweepState(Value, frozen=True):
    """An unfinished sweep, or a fresh one: where it stands and which blocks it has marked."""

    sweep_id: int
    epoch: int
    bookmark: Bookmark | None
    blocks: dict[int, bytes]


class Fingerprint(Value, frozen=True):
    """Which replica answered, how far it has applied, and its clocks.

    `position` is opaque but comparable by the source adapter; `applied_at` is the replica's applied
    time as the database's own text in the cursor's format (None where the engine has none), `now`
    its clock likewise.
    """

    identity: str | None
    position: str | None
    applied_at: str | None
    now: str | None
    lag_s: float | None = None


class StreamShape(Value, frozen=True):
    """What a stream reads: its columns with their types, and a digest of both.

    `grade` is the cursor's as far as the catalogue tells; a DBA may declare another one.
    """

    columns: dict[str, str]
    shape: str
    grade: Grade


class TableShape(Value, frozen=True):
    """A table as `insights init` sees it: columns in order with their types, and its key."""

    columns: dict[str, str]
    key: tuple[str, ...]
    dialect: str


class Finding(Value, frozen=True):
    """One line of `insights doctor`: what was looked at, what was found, what to do about it."""

    level: Literal["ok", "note", "warning", "error"]
    what: str
    fix: str = ""
