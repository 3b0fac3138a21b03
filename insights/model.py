"""The values that travel between rooms and processes: frozen msgspec structs without behaviour.

Words are the design's: see `docs/architecture.md`. Times are `datetime` with a zone unless a field
says otherwise; cursors and key parts are the source database's own text, never parsed or compared
in Python.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec

WorkState = Literal["pending", "claimed", "done", "dead", "superseded", "missing", "cancelled"]
InsightStatus = Literal["ok", "abstained", "withheld"]
Shows = Literal["current", "stale", "tombstoned"]
Grade = Literal["L0", "L1", "L2", "L3", "L4"]
Json = dict[str, Any]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every value here: immutable, keyword-only, encodable as msgpack and JSON."""


# --- streams and rows -----------------------------------------------------------------------------


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


# --- knowledge ------------------------------------------------------------------------------------


class Document(Value, frozen=True):
    """One document of a collection as its loader made it: Markdown, or plain text.

    `filters` maps declared filter names to canonical values; never personal data.
    """

    uri: str
    title: str
    text: str
    is_markdown: bool = True
    filters: dict[str, str] = {}


class Chunk(Value, frozen=True):
    """A piece of a document: the headings above it, its text, its length in model tokens."""

    heading: str
    text: str
    tokens: int


class EmbeddingModel(Value, frozen=True):
    """A pinned embedding model, `sha256` over its files; every stored vector names it."""

    name: str
    sha256: str
    dimensions: int
    max_tokens: int


class IndexedDocument(Value, frozen=True):
    """A document ready to be stored: passages, and for each its vector and its exact codes.

    `vectors` are in pgvector's binary halfvec format, `codes` in the text form of a tsvector.
    """

    document: Document
    content_hash: bytes
    chunks: tuple[Chunk, ...]
    vectors: tuple[bytes, ...]
    codes: tuple[str, ...]


class KnownDocument(Value, frozen=True):
    """A document as the store knows it."""

    content_hash: bytes
    title: str


class CollectionStatus(Value, frozen=True):
    """One collection in the store; `models` are those that every passage has a vector of."""

    name: str
    language: str
    documents: int
    passages: int
    models: tuple[str, ...]
    synced_at: datetime | None
    problems: dict[str, str]


class SearchTuning(Value, frozen=True):
    """How the search works; defaults measured by `benchmarks/retrieval.py`.

    `depth` is how many passages each half contributes, `limit` how many fused ones come back.
    `max_words` and `word_budget` bound full text: how many words of a query count, and how many
    passages are ranked. `feedback` is how many first hits speak again. `ef_search` and
    `max_scan_tuples` are pgvector's.
    """

    depth: int = 50
    limit: int = 30
    rrf_k: int = 10
    max_words: int = 16
    word_budget: int = 600
    feedback: int = 3
    ef_search: int = 120
    max_scan_tuples: int = 20_000


class Question(Value, frozen=True):
    """One search: its text, its exact codes (text of a tsvector), its vector, its filters."""

    text: str
    codes: str
    vector: bytes
    filters: dict[str, str] = {}


class Hit(Value, frozen=True):
    """A passage the search found, and why.

    `vector_rank` and `text_rank` count from 1 (None: not among that half's `depth`), as does
    `feedback_rank`, among all hits by nearness to the query and the first hits.
    `similarity` is the cosine of query and passage (None: no vector yet), `words` are the query's
    words it has, rarest first, and `coverage` their share of the query, weighted by rarity.
    """

    passage_id: int
    uri: str
    title: str
    heading: str
    text: str
    tokens: int
    score: float
    vector_rank: int | None
    text_rank: int | None
    feedback_rank: int | None
    similarity: float | None
    bm25: float
    words: tuple[str, ...]
    coverage: float


class Passage(Value, frozen=True):
    """A piece of a document that retrieval returned. `number` counts from 1 within one prompt."""

    passage_id: int
    number: int
    uri: str
    title: str
    text: str
    score: float = 0.0


# --- prompts and generation -----------------------------------------------------------------------


class Segment(Value, frozen=True):
    """A stretch of a prompt: template text, or data.

    Template text may hold control tokens; data never does, and is tokenised apart.

    `source` names where data came from (`row.<column>`, `passage.<number>`), empty for anything
    else.
    """

    text: str
    is_template: bool
    source: str = ""


class Message(Value, frozen=True):
    """One chat message as segments."""

    role: str
    segments: tuple[Segment, ...]


class Sampling(Value, frozen=True):
    """How tokens are chosen. Temperature 0 is greedy. `max_tokens` bounds the output, in tokens."""

    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 512


class GenerateRequest(Value, frozen=True):
    """One constrained generation.

    `output_schema` is JSON Schema draft 2020-12 of the object to make; `abstain` lists the reasons
    the model may give instead (the alternative output `{"abstain": reason}`). Quote fields draw on
    `row` (column to text, as in the prompt) and `passages` (number to text, as in the prompt).
    `cut` names the data sources that may be shortened, first to last, when the prompt does not fit.
    `sensitive` rows never leave the machine. `deadline_s` is the time allowed from submission,
    seconds.
    """

    messages: tuple[Message, ...]
    output_schema: Json
    abstain: tuple[str, ...] = ()
    row: dict[str, str] = {}
    passages: dict[int, str] = {}
    cut: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    sensitive: bool = False
    deadline_s: float = 300.0


class Span(Value, frozen=True):
    """Where a quote stands.

    `field` is a JSON pointer in the output, `source` is `row.<column>` or `passage.<n>`.

    `start` and `end` count Unicode code points of the source's text as it stood in the prompt.
    """

    field: str
    source: str
    start: int
    end: int


class Generation(Value, frozen=True):
    """What a generator made and what it cost: times in milliseconds, counts in tokens."""

    text: str
    finish: Literal["stop", "length"]
    model: str
    route: str = "local"
    quotes: tuple[Span, ...] = ()
    quotes_by: Literal["construction", "check"] = "construction"
    cut: tuple[str, ...] = ()
    shared: bool = False
    prompt_tokens: int = 0
    reused_tokens: int = 0
    sampled_tokens: int = 0
    forced_tokens: int = 0
    queue_ms: float = 0.0
    prompt_ms: float = 0.0
    decode_ms: float = 0.0


class ModelInfo(Value, frozen=True):
    """A loaded generator: tokens of `context` a sequence may hold, `parallel` sequences at once."""

    name: str
    sha256: str
    chat_template_sha256: str
    context: int
    parallel: int
    device: str
    description: str = ""


class Verdict(Value, frozen=True):
    """The outcome of validation: a status, and the output or the reason why there is none."""

    status: InsightStatus
    output: Json | None
    reason: str | None = None
    citations: tuple["Citation", ...] = ()


class Citation(Value, frozen=True):
    """What one output field stands on: a passage or a row column, with offsets where quoted."""

    field: str
    source: str
    passage_id: int | None = None
    uri: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    support: float | None = None


# --- work -----------------------------------------------------------------------------------------


class Claim(Value, frozen=True):
    """Work held under a lease: `token` must still stand when the result is written."""

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


class Outstanding(Value, frozen=True):
    """Open work: `ready` now, `all_open` with what waits, `next_s` seconds until the next."""

    ready: int
    all_open: int
    next_s: float


class Insight(Value, frozen=True):
    """A finished row, ready to be written under its claim."""

    claim: Claim
    verdict: Verdict
    generation: Generation | None
    source_cursor: str | None
    redactions: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    sink_values: Json = {}


# --- publishing -----------------------------------------------------------------------------------


class SinkSpec(Value, frozen=True):
    """A table in a legacy database that shows insights: where it is and what it shows.

    `key` are the sink's key columns, which are the legacy row's key columns by name; the other
    columns follow from `output_schema` (see `publish.ddl`). `legacy_table` is the table the key
    types come from and that `view` joins; None where the stream reads a query.
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


class SinkState(Value, frozen=True):
    """What a sink shall show for one row: the outbox's current state of it.

    `values` maps output property to its JSON value; empty for a tombstone and where there is
    nothing to show.
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


class SinkResult(Value, frozen=True):
    """Whether this state, or a newer one, now stands in the sink; `error` is this row's alone.

    `standing` is set where the sink refused the state: the newer revision that it holds.
    """

    row_id: int
    revision: int
    standing: int | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
