"""A stream of legacy rows as a collection: resolved tickets, parts, policies kept in a table.

Rows are read by the source's reader like any other, so they arrive redacted; the store gets the
redacted text only. A document's hash is the reader's keyed hash of the row, and of the settings
that make a document of it, so an unchanged row is never fetched.
"""

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from insights import errors
from insights.documents.filters import FilterType, canonical
from insights.knowledge.labels import Labels
from insights.model import Bookmark, Document, Row, StreamSpec
from insights.ports import Attachments, Source

_HASH_BYTES = 16
# Rows fetched ahead in one query while documents are loaded in listing order.
_AHEAD = 200
_LOADED = 3  # grows when attachments are read differently, so that all are read anew
_ESCAPED = re.compile(r"\\([\\tnr])")
_PLAIN = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


class StreamDocuments:
    """Implements `ports.Documents` over a source's rows; a document's URI is the row's key.

    Args:
        source: The source.
        stream: The stream; its `inputs` are all columns used here.
        title: The column that names a document; None uses the stream and the key.
        text: The columns that make its text, in order.
        filters: Declared filters; a column of the same name holds the value.
        labels: What people decided about a row.
        attachments: Reads the file in the stream's attachment column, the last of the text.
        pay: Called with the rows of each page that was read: the stream's budget.
        clock: Monotonic seconds; tests replace it.
    """

    def __init__(  # noqa: PLR0913 - what makes a document, each by its name
        self,
        source: Source,
        stream: StreamSpec,
        *,
        title: str | None,
        text: Sequence[str],
        filters: Mapping[str, FilterType] | None = None,
        labels: Labels | None = None,
        attachments: Attachments | None = None,
        pay: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if stream.key_personal:
            raise errors.SettingsError(
                "a key that is personal data would be shown with every citation",
                where=f"stream.{stream.name}.key_personal",
                fix="use a stream with another key as knowledge",
            )
        self._source = source
        self._stream = stream
        self._bare = _without_file(stream)
        self._title = title
        self._text = list(text)
        self._filters = dict(filters or {})
        self._labels = labels or Labels()
        self._attachments = attachments
        self._pay = pay
        self._clock = clock
        self.waits: Callable[[], str] = lambda: ""
        """Says, before each page but the first, why the source must be left alone; or nothing."""
        self._salt = repr((title, self._text, sorted(self._filters.items()), stream.redaction))
        if stream.names is not None:
            self._salt += repr(stream.names.rules)
        if labels is not None:  # what was indexed before there were labels stays as it is
            self._salt += repr(labels)
        if attachments is not None:
            self._salt += repr(
                (_LOADED, stream.attachment, *([stream.ocr_pages] if stream.ocr_pages else []))
            )
        self._low: str | None = None
        self._began: float | None = None
        self._marks: list[tuple[float, str]] = []
        self._order: list[str] = []
        self._position: dict[str, int] = {}
        self._contents: dict[str, bytes] = {}
        self._ahead: dict[str, Row | None] = {}

    @property
    def has_cursor(self) -> bool:
        """Whether `changes` can tell what changed; without a cursor only `listing` can."""
        return self._stream.cursor is not None

    def listing(self) -> Iterator[tuple[str, bytes]]:
        """Yield key and hash of every row, page by page in key order."""
        self._mark()
        return self._walk(None, "key")

    def changes(self) -> Iterator[tuple[str, bytes]]:
        """Yield key and hash of the rows stamped since the last reading, and a little earlier.

        Rows that were committed late, have no cursor or are gone are found by `listing` only.
        """
        self._mark()
        return self._walk(
            Bookmark(key=(), cursor=self._low) if self._low is not None else None, "cursor"
        )

    def settle(self) -> None:
        """Note that what was last listed has been stored: the next `changes` starts later.

        As in polling: the highest cursor before a reading becomes the start of readings once one
        that began `overlap_s` and the replica's lag after it is complete. Whatever was stamped at
        or below it had been committed by then, unless a transaction lasts longer than the overlap.
        """
        if self._began is None:
            return
        lag_s = self._source.fingerprint().lag_s or 0.0
        for at, cursor in list(self._marks):
            if self._began - lag_s - at >= self._stream.overlap_s:
                self._low = cursor
                self._marks.remove((at, cursor))
        self._began = None

    def _mark(self) -> None:
        if not self.has_cursor:
            return
        self._began = self._clock()
        high = self._source.window(self._stream, self._low).safe_high
        if high is not None:
            self._marks.append((self._began, high))

    def _walk(
        self, after: Bookmark | None, by: Literal["cursor", "key"]
    ) -> Iterator[tuple[str, bytes]]:
        self._order, self._ahead, self._contents = [], {}, {}
        while True:
            page = self._source.page(self._stream, after, by=by)
            for line in page.block.decode().split("\n")[:-1]:
                key, digest, *_ = line.split("\t")
                key = _ESCAPED.sub(lambda match: _PLAIN[match[1]], key)
                self._order.append(key)
                content = self._salted(uuid.UUID(digest).bytes)
                if self._attachments is not None:
                    self._contents[key] = content
                yield key, content
            if page.complete or page.last is None:
                self._position = {key: index for index, key in enumerate(self._order)}
                return
            after = page.last
            self._pay(page.rows)
            if reason := self.waits():
                raise errors.MustWait(reason)

    def _salted(self, digest: bytes) -> bytes:
        return hashlib.blake2b(self._salt.encode() + digest, digest_size=_HASH_BYTES).digest()

    def load(self, uri: str, alive: Callable[[], None] = lambda: None) -> Document:
        """Return one row's document; the next rows in listing order are fetched along."""
        if uri not in self._ahead:
            start = self._position.get(uri)
            keys = [uri] if start is None else self._order[start : start + _AHEAD]
            self._ahead = self._fetched(keys, uri)
        row = self._ahead.get(uri)
        where = f"{self._stream.name} {uri}"
        if row is None:
            raise errors.KnowledgeError("the row is gone", where=where, fix="synchronise again")
        file = None
        if self._attachments is not None:
            content = self._contents.get(uri, b"")
            file = self._attachments.read(row, content, where=where, alive=alive)
        parts = [row.values.get(column) or "" for column in self._text]
        text = "\n\n".join(part for part in [*parts, file.text if file else ""] if part.strip())
        if not text:
            raise errors.KnowledgeError("the row has no text", where=where)
        # A name that no column gives would stand in the vector beside a labelled row's own words.
        unnamed = "" if self._labels.columns else file.title if file else where
        title = (row.values.get(self._title) if self._title else None) or unnamed
        return Document(
            uri=uri,
            title=title,
            text=text,
            is_markdown=file is not None and file.is_markdown,
            filters={
                name: canonical(name, kind, value, where=where)
                for name, kind in self._filters.items()
                if (value := row.values.get(name)) is not None
            },
            labels=self._labels.of(row.values),
            moment=self._labels.moment(row.values, where),
        )

    def _fetched(self, keys: list[str], uri: str) -> dict[str, Row | None]:
        """Return rows by key; one over which the recognizer of names dies takes no other along."""
        try:
            rows = self._source.fetch(self._bare, keys)
        except errors.RecognizerDied as exc:
            if len(keys) > 1:
                return self._fetched([uri], uri)
            raise errors.KnowledgeError(
                f"names could not be looked for in it: {exc.what}",
                where=f"{self._stream.name} {uri}",
            ) from exc
        return {**dict.fromkeys(keys), **{row.key: row for row in rows}}


def _without_file(stream: StreamSpec) -> StreamSpec:
    """Return what is read of a row beside its file, which some engines would read for a digest."""
    if stream.attachment is None:
        return stream
    inputs = tuple(name for name in stream.inputs if name != stream.attachment)
    return msgspec.structs.replace(stream, inputs=inputs, attachment=None)
