"""In-memory adapters of the ports, for tests: yours and ours.

They hold what the real ones promise (`tests/conformance/test_in_memory.py` runs one suite over
both), and need no server, driver or model::

    source = MemorySource({"ticket": [{"id": 1, "body": "no paper", "updated_at": "2026-01-01"}]})
    generator = ScriptedGenerator(lambda request: {"category": "printing"})
    sink = MemorySink()
"""

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from insights import errors
from insights.governance import redact
from insights.ground import keys as row_keys
from insights.inference import quotes
from insights.model import (
    Bookmark,
    Fingerprint,
    Gap,
    GenerateRequest,
    Generation,
    Lateness,
    ModelInfo,
    Page,
    Row,
    SinkResult,
    SinkState,
    StreamShape,
    StreamSpec,
    Walk,
    Window,
)
from insights.ports import Recognizer
from insights.sources import canonical

Cell = str | int | None
Record = Mapping[str, Cell]

MAX_CHARS = 200_000  # of one value, as a stream's own default


class MemorySource:
    """Implements `ports.Source` on tables of dicts; a test changes `tables` as it likes.

    Args:
        tables: Rows by table name; keys and cursors are numbers or texts, compared as such.
        hash_key: The key of the hashes.
        identity: Which replica this is.
        recognizer: Finds names for streams that have a model for it.
    """

    def __init__(
        self,
        tables: dict[str, list[dict[str, Cell]]],
        *,
        hash_key: bytes = b"test",
        identity: str = "memory",
        recognizer: Recognizer | None = None,
    ) -> None:
        self.tables = tables
        self.identity = identity
        self._recognizer = recognizer
        self._hasher = canonical.Hasher(hash_key)

    def fingerprint(self) -> Fingerprint:
        """Return the identity, and a digest of all rows as the position."""
        text = json.dumps(self.tables, sort_keys=True, default=str)
        position = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return Fingerprint(identity=self.identity, position=position)

    def is_behind(
        self, identity: str | None, position: str | None, now: Fingerprint | None = None
    ) -> bool:
        """Tell whether this is another replica; it never shows an older copy of itself."""
        del position, now
        return identity not in (None, self.identity)

    def inspect(self, stream: StreamSpec) -> StreamShape:
        """Return the columns; refuse a table or column that is not there."""
        rows = self._rows(stream)
        present = {name for row in rows for name in row}
        for name in (*stream.key, *stream.projection):
            if rows and name not in present:
                raise errors.StreamError(f"there is no column {name}", where=stream.name)
        columns = dict.fromkeys((*stream.key, *stream.projection), "TEXT")
        return StreamShape(columns=columns, shape=",".join(columns), grade=stream.grade or "L2")

    def page(
        self,
        stream: StreamSpec,
        after: Bookmark | None,
        *,
        by: Walk,
        within: Sequence[Gap] = (),
    ) -> Page:
        """Return the next keyset page; see `ports.Source`."""
        cursor = stream.cursor if by == "cursor" else None
        rows = self._rows(stream)
        if by == "null" and stream.cursor:
            rows = [row for row in rows if row[stream.cursor] is None]
        if cursor:
            rows = [row for row in rows if row[cursor] is not None]
        if cursor and within:
            rows = [row for row in rows if _between(row[cursor], within)]
        names = [*([cursor] if cursor else []), *stream.key]
        rows.sort(key=lambda row: _order(row, names))
        if after is not None:
            texts = [*([after.cursor] if cursor else []), *after.key]
            rows = [row for row in rows if _past(row, names, texts)]
        return self._paged(stream, rows)

    def reread(self, stream: StreamSpec, keys: Sequence[str]) -> Page:
        """Return a page of the rows with these keys."""
        wanted = set(keys)
        return self._paged(stream, [r for r in self._rows(stream) if _key(stream, r) in wanted])

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        """Return the rows with these keys as they are now, redacted."""
        wanted = set(keys)
        found: list[Row] = []
        for row in self._rows(stream):
            if (key := _key(stream, row)) not in wanted:
                continue
            hidden = (*stream.extra, *stream.redaction.columns)
            names = dict.fromkeys((*stream.inputs, *hidden))
            values = {name: _clean(row.get(name)) for name in names}
            redacted, counts = redact.row(values, stream.redaction)
            found.append(
                Row(
                    key=key,
                    input_hash=self._digest(row, stream.inputs),
                    cursor=_text(row[stream.cursor]) if stream.cursor else None,
                    values={name: redacted[name] for name in stream.inputs},
                    redactions=counts,
                )
            )
        if stream.names is None:
            return found
        return redact.names_in_rows(found, stream.names, self._recognizer)

    def window(self, stream: StreamSpec, low: str | None) -> Window:
        """Count what stands at or above a cursor."""
        name = stream.cursor or ""
        cells = [row[name] for row in self._rows(stream) if row[name] is not None]
        cells = sorted(cell for cell in cells if low is None or not _less(cell, low))  # type: ignore[type-var]  # no None is left
        ends = (_text(cells[0]), _text(cells[-1])) if cells else (None, None)
        return Window(rows=len(cells), low=ends[0], high=ends[1], safe_high=ends[1])

    def gaps(
        self, stream: StreamSpec, low: str, high: str, *, at: float, most: int
    ) -> tuple[Gap, ...]:
        """Return identities that are missing between two, the latest ones first."""
        name = stream.cursor or ""
        numbers = sorted(int(row[name] or 0) for row in self._rows(stream))
        inside = [number for number in numbers if int(low) <= number <= int(high)]
        found = [
            Gap(at=at, low=str(before), high=str(after))
            for before, after in itertools.pairwise(inside)
            if after - before > 1
        ]
        return tuple(reversed(found))[:most]

    def lateness(
        self, stream: StreamSpec, keys: Sequence[str], below: str | None
    ) -> tuple[Lateness, ...]:
        """Tell which rows are below the watermark; a test's cursors have no age."""
        name, wanted = stream.cursor or "", set(keys)
        return tuple(
            Lateness(below=below is not None and _less(row[name], below), age_s=None)
            for row in self._rows(stream)
            if _key(stream, row) in wanted and row[name] is not None
        )

    def _rows(self, stream: StreamSpec) -> list[dict[str, Cell]]:
        if stream.table is None or stream.table not in self.tables:
            raise errors.StreamError(f"there is no table {stream.table!r}", where=stream.name)
        return [dict(row) for row in self.tables[stream.table]]

    def _digest(self, row: Record, names: Sequence[str]) -> bytes:
        return self._hasher.digest([_clean(row.get(name)) for name in names])

    def _paged(self, stream: StreamSpec, rows: list[dict[str, Cell]]) -> Page:
        part = rows[: stream.page_rows]
        wide = bool(stream.own)
        lines: list[str] = []
        for row in part:
            cursor = _text(row[stream.cursor]) if stream.cursor else None
            fields = [
                canonical.copy_field(_key(stream, row), where=stream.name),
                self._digest(row, stream.inputs).hex(),
                canonical.copy_field(cursor, where=stream.name),
            ]
            if wide:
                own = (self._digest(row, names).hex() for names in stream.own)
                fields += ["\\N", "{" + ",".join(own) + "}", "\\N"]
            lines.append("\t".join(fields) + "\n")
        last = None
        if part:
            at = part[-1]
            parts = tuple(_text(at[name]) or "" for name in stream.key)
            last = Bookmark(key=parts, cursor=_text(at[stream.cursor]) if stream.cursor else None)
        return Page(
            rows=len(lines),
            block="".join(lines).encode(),
            last=last,
            complete=len(rows) <= stream.page_rows,
            wide=wide,
        )


class MemorySink:
    """Implements `ports.Sink`: `shown` holds what the legacy application would see, by row key."""

    def __init__(self) -> None:
        self.shown: dict[str, SinkState] = {}
        self._lock = threading.Lock()

    def apply(self, states: Sequence[SinkState]) -> list[SinkResult]:
        """Show these states, each unless a newer one stands already."""
        results: list[SinkResult] = []
        with self._lock:
            for state in states:
                held = self.shown.get(state.row_key)
                standing = None
                if held is not None and _stands_against(held, state):
                    standing = held.revision
                else:
                    self.shown[state.row_key] = state
                results.append(
                    SinkResult(row_id=state.row_id, revision=state.revision, standing=standing)
                )
        return results

    def max_revision(self) -> int:
        """Return the highest revision that is shown."""
        with self._lock:
            return max((state.revision for state in self.shown.values()), default=0)


class ScriptedGenerator:
    """Implements `ports.Generator`: a function of yours says what the model would have written.

    Args:
        answer: Called with each request; a dict is the output, an exception is raised as it is.
    """

    def __init__(self, answer: Callable[[GenerateRequest], Mapping[str, Any]]) -> None:
        self._answer = answer
        self.asked: list[GenerateRequest] = []

    def info(self) -> ModelInfo:
        """Return what a model would say of itself."""
        return ModelInfo(
            name="scripted",
            sha256="0" * 64,
            chat_template_sha256="0" * 64,
            context=4096,
            parallel=1,
            device="memory",
        )

    def submit(self, request: GenerateRequest) -> Future[Generation]:
        """Answer at once."""
        self.asked.append(request)
        future: Future[Generation] = Future()
        try:
            output = dict(self._answer(request))
        except errors.InsightsError as exc:
            future.set_exception(exc)
        else:
            numbered = {f"passage.{n}": text for n, text in request.passages.items()}
            texts = {**{f"row.{name}": text for name, text in request.row.items()}, **numbered}
            future.set_result(
                Generation(
                    text=json.dumps(output),
                    finish="stop",
                    model="scripted",
                    quotes=quotes.find_spans(
                        output, request.output_schema, texts, request.headings
                    ),
                    quotes_by="check",
                )
            )
        return future


def _stands_against(held: SinkState, state: SinkState) -> bool:
    """Tell whether a newer state is shown, or another one of this revision: history was lost."""
    same = (held.insight_id, held.shows) == (state.insight_id, state.shows)
    return held.revision > state.revision or (held.revision == state.revision and not same)


def _key(stream: StreamSpec, row: Record) -> str:
    return row_keys.join(tuple(_text(row[name]) or "" for name in stream.key))


def _text(cell: Cell) -> str | None:
    return None if cell is None else str(cell)


def _clean(cell: Cell) -> str | None:
    return canonical.clean(cell, MAX_CHARS)[0]


def _less(cell: Cell, text: str) -> bool:
    """Tell whether a cell is below a value given as text."""
    return cell < int(text) if isinstance(cell, int) else str(cell) < text


def _between(cell: Cell, gaps: Sequence[Gap]) -> bool:
    return any(not _less(cell, gap.low) and _less(cell, gap.high) and str(cell) != gap.low
               for gap in gaps)  # fmt: skip


def _order(row: Record, names: Sequence[str]) -> tuple[tuple[int, str | int], ...]:
    """Return what rows are sorted by: numbers as numbers, texts as texts."""
    return tuple((isinstance(row[name], str), row[name]) for name in names)  # type: ignore[misc]  # no None in keys


def _past(row: Record, names: Sequence[str], texts: Sequence[str | None]) -> bool:
    """Tell whether a row is past a bookmark; at it, where the bookmark names a cursor alone."""
    given = [text for text in texts if text is not None]
    for name, text in zip(names, given, strict=False):
        cell = row[name]
        if str(cell) == text:
            continue
        return not _less(cell, text)
    return len(given) < len(names)
