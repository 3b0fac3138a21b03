"""Streams, their rows and pages, replicas, and what the store knows of them between polls."""

from typing import Literal, NamedTuple

from insights.model.base import Grade, Value

INBOX = "inbox"  # the source of streams whose rows come in through doors


class Redaction(Value, frozen=True):
    """What the reader replaces by typed placeholders before a row leaves its process.

    `kinds` are pattern-and-checksum detectors; `columns` are columns whose value is replaced in
    every text of the row. `regions` are ISO 3166 countries whose national telephone numbers and ids
    are looked for in any form. `patterns` are the site's own, as (name, regular expression);
    `allow` are values that are never replaced, `deny` words that always are. `masked` placeholders
    carry what they stand for with most of it hidden, for `insights redact test` and nothing else.
    """

    kinds: tuple[str, ...] = (
        "email",
        "card",
        "iban",
        "phone",
        "ip",
        "mac",
        "url",
        "national_id",
        "passport",
        "licence",
        "birth_date",
        "secret",
    )
    columns: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    masked: bool = False


class Named(NamedTuple):
    """What a model found in a text: where, and under which of its labels."""

    start: int
    end: int
    label: str


class NamesModel(Value, frozen=True):
    """A model that finds names which no column gives: its folder, its pin, and what it looks for.

    `labels` are the model's own (without B- and I-) with the kind of placeholder that each becomes.
    `allow` and `masked` are those of the `Redaction` beside it.
    """

    path: str
    sha256: str
    labels: tuple[tuple[str, str], ...]
    allow: tuple[str, ...] = ()
    masked: bool = False

    @property
    def rules(self) -> tuple[object, ...]:
        """What decides what it replaces: not where the folder is."""
        return self.sha256, self.labels, self.allow


class StreamSpec(Value, frozen=True):
    """One table or query of a source: what to read of it and how to find what changed.

    Exactly one of `table` and `query` is set. `cursor` and `pending` exclude each other; with
    neither, only sweeps find rows. `restored` are the kinds of placeholders whose values leave the
    reader sealed, for the sink. `names` finds names in what the reader sends. `extra` are columns
    read for redaction that are no input and not part of the hash. `attachment` is the input that
    holds a file of up to `attachment_bytes`: it is read by a call of its own, and a digest of its
    bytes stands in its place everywhere else. Of `ocr_pages` scanned pages letters are recognised.
    Where rows wait for room or a model, those of a stream with more `weight` have more turns.

    A version reads rows with its own columns as `inputs`. A poll reads with all columns that the
    stream's versions read: `own` are then the column sets of those that do not read all of them,
    and `former_inputs` what hashes were over before, while rows are still known by those.
    """

    name: str
    source: str
    key: tuple[str, ...]
    inputs: tuple[str, ...]
    table: str | None = None
    schema: str | None = None
    query: str | None = None
    where: str | None = None
    before: str | None = None  # only rows whose cursor is older than this, or that have none
    cursor: str | None = None
    pending: str | None = None
    extra: tuple[str, ...] = ()
    own: tuple[tuple[str, ...], ...] = ()
    former_inputs: tuple[str, ...] | None = None
    redaction: Redaction = Redaction()
    names: NamesModel | None = None
    grade: Grade | None = None
    start: str = "beginning"
    overlap_s: float = 60.0
    longest_s: float = 3600.0
    time_zone: str | None = None
    poll_null_cursors: bool = False
    page_rows: int = 5_000
    max_text_chars: int = 200_000
    rows_per_second: int | None = None
    accept_scan: bool = False
    key_personal: bool = False
    sensitive: bool = False
    restored: tuple[str, ...] = ()
    attachment: str | None = None
    attachment_bytes: int = 0
    ocr_pages: int = 0
    weight: int = 1

    @property
    def of_inbox(self) -> bool:
        """Whether its rows come in through doors: nothing of it is polled."""
        return self.source == INBOX

    @property
    def projection(self) -> tuple[str, ...]:
        """All columns that hashes are over: `inputs`, then what only other sets have."""
        others = (name for names in (self.former_inputs or (), *self.own) for name in names)
        return tuple(dict.fromkeys((*self.inputs, *others)))


class Row(Value, frozen=True):
    """One row as read again for processing: redacted, canonical, never stored.

    `values` maps column to redacted text (None is SQL NULL). `input_hash` is BLAKE2b-128 over the
    canonical prompt inputs *before* redaction. `redactions` counts placeholders by kind; `notes`
    says what was normalised or cut. `former_hash` is that under the former key, if there is one.
    `sealed` is what placeholders of the kinds `restored` stand for, sealed. `attached` is the
    SHA-256 of the file in the stream's attachment column, whose value is NULL until it is read.
    """

    key: str
    input_hash: bytes
    cursor: str | None
    values: dict[str, str | None]
    redactions: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    former_hash: bytes | None = None
    sealed: dict[str, str] = {}
    attached: str | None = None


class Attachment(Value, frozen=True):
    """A file out of a column of one row, as it is.

    `data` is None where there is none, or where it is larger than the stream's `attachment_bytes`;
    `size` is None only in the first case. `private` are the row's personal columns: what has to be
    replaced in the file's text as well.
    """

    data: bytes | None
    size: int | None
    private: dict[str, str | None] = {}


class Bookmark(Value, frozen=True):
    """Where a walk of keyset pages goes on: cursor and key parts of the last row, as text."""

    key: tuple[str, ...]
    cursor: str | None = None


class Page(Value, frozen=True):
    """One page of (key, hash, cursor), COPY-ready, without any row value.

    `block` is PostgreSQL COPY text: `row_key TAB input_hash (uuid text) TAB cursor (or backslash-N)
    NEWLINE` a row, escaped; if it is `wide`, followed by the hash in the form before (or
    backslash-N), the hashes over the stream's `own` column sets as an array (or backslash-N), and
    those by the key before. `last` is the bookmark of the last row, None for an empty page;
    `complete` says that no page follows.
    """

    rows: int
    block: bytes
    last: Bookmark | None
    complete: bool
    wide: bool = False


class Lease(Value, frozen=True):
    """A lease we hold: `token` proves it, `epoch` grew when it changed hands.

    It lasts `ttl_s` seconds from when it was taken, renewed or written under.
    """

    name: str
    token: str
    epoch: int
    ttl_s: float


class Window(Value, frozen=True):
    """What stands at or above a cursor (NULLs left out): rows, lowest and highest cursor as text.

    `safe_high` is the highest cursor that is not in the future of the database's clock; for cursors
    that are no times it equals `high`. A watermark never passes it.
    """

    rows: int
    low: str | None
    high: str | None
    safe_high: str | None


class Mark(Value, frozen=True, array_like=True):
    """The highest safe cursor before a pass began, which the watermark may take when it is ripe.

    `at` is a time (epoch seconds) at or after the row with that cursor was committed; `horizon` the
    first transaction, as the engine numbers them, that had not begun then (None: not told).
    """

    at: float
    cursor: str
    horizon: int | None = None


class Gap(Value, frozen=True, array_like=True):
    """Identities missing between two rows, `low` and `high`, seen at `at` (epoch seconds)."""

    at: float
    low: str
    high: str


class Horizon(Value, frozen=True):
    """How far a pass can see: everything committed by `applied_s`, or before `oldest`, is there.

    `applied_s` is in epoch seconds of the primary's clock where the replica tells it, else of the
    store's less the lag. `oldest` is the oldest transaction in flight, None where it is not told.
    `position` is the replica's: on an older copy the pass would not see what its mark stands for.
    """

    applied_s: float
    oldest: int | None = None
    position: str | None = None


class StreamState(Value, frozen=True):
    """What the store knows of a stream between polls. Times are epoch seconds of the store's clock.

    `mark` and `horizon` belong to the pass under way, `passes` are the marks of complete passes not
    yet promoted. `window` is what the last reading of the window found, and `unchanged` how many
    polls in a row have found it so since. `gaps` are missing identities that are probed again.
    """

    stream_id: int
    paused: bool
    stopped_reason: str | None
    epoch: int
    identity: str | None
    position: str | None
    watermark: str | None
    bookmark: Bookmark | None
    mark: Mark | None
    horizon: Horizon | None
    passes: tuple[Mark, ...]
    gaps: tuple[Gap, ...]
    window: Window | None
    unchanged: int
    overlap_s: float
    shape: dict[str, str] | None
    sweep_due: bool
    baselined: bool
    now: float

    @property
    def reached(self) -> str | None:
        """The position below which a replica is an older copy of what was read."""
        begun = None if self.horizon is None else self.horizon.position
        return begun or self.position


class Recorded(Value, frozen=True):
    """What recording one page did: rows by outcome, at which time (epoch seconds of the store).

    `outdated` rows were recorded anew by somebody else after the page was read, and left alone: the
    page has to be read again. `stamped` are keys of rows that are new or changed with a new cursor,
    as many as were asked for; `row_ids` come only where a sweep asked for them. `paused` says that
    the stream is not to be read on.
    """

    new: int
    changed: int
    revived: int
    at: float
    outdated: int = 0
    stamped: tuple[str, ...] = ()
    row_ids: tuple[int, ...] = ()
    paused: bool = False


class Lateness(Value, frozen=True):
    """How late a row was found: whether its cursor is below the watermark, and how old it is.

    `age_s` is the database's clock less the cursor; None where that is no time.
    """

    below: bool
    age_s: float | None


class SweepState(Value, frozen=True):
    """An unfinished sweep, or a fresh one: where it stands and which blocks it has marked."""

    sweep_id: int
    epoch: int
    bookmark: Bookmark | None
    blocks: dict[int, bytes]


class LastSweep(Value, frozen=True):
    """The last sweep that ended: how many seconds ago it did and began, and what it left.

    With `unconfirmed`, rows were absent that a sweep at another `position` may declare gone.
    """

    age_s: float
    began_s: float
    unconfirmed: bool
    position: str | None


class Fingerprint(Value, frozen=True):
    """Which replica answered, and how far it has applied.

    `position` is opaque but comparable by the source adapter. `applied_s` is the replica's applied
    time, in epoch seconds of the primary's clock; `oldest` and `next` are the oldest transaction in
    flight and the first that has not begun. Each is None where the engine does not tell it.
    """

    identity: str | None
    position: str | None
    lag_s: float | None = None
    applied_s: float | None = None
    oldest: int | None = None
    next: int | None = None


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
