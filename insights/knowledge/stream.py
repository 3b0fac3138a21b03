"""A stream of legacy rows as a collection: resolved tickets, parts, policies kept in a table.

Rows are read by the source's reader like any other, so they arrive redacted; the store gets the
redacted text only. A document's hash is the reader's keyed hash of the row, so an unchanged row is
never fetched.
"""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence

from insights import errors
from insights.documents.filters import FilterType, canonical
from insights.model import Bookmark, Document, Row, StreamSpec
from insights.ports import Source

# Rows fetched ahead in one query while documents are loaded in listing order.
_AHEAD = 200
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
    """

    def __init__(
        self,
        source: Source,
        stream: StreamSpec,
        *,
        title: str | None,
        text: Sequence[str],
        filters: Mapping[str, FilterType] | None = None,
    ) -> None:
        if stream.key_personal:
            raise errors.SettingsError(
                "a key that is personal data would be shown with every citation",
                where=f"stream.{stream.name}.key_personal",
                fix="use a stream with another key as knowledge",
            )
        self._source = source
        self._stream = stream
        self._title = title
        self._text = list(text)
        self._filters = dict(filters or {})
        self._order: list[str] = []
        self._position: dict[str, int] = {}
        self._ahead: dict[str, Row | None] = {}

    def listing(self) -> Iterator[tuple[str, bytes]]:
        """Yield key and hash of every row, page by page in key order."""
        self._order, self._ahead = [], {}
        after: Bookmark | None = None
        while True:
            page = self._source.page(self._stream, after, by="key")
            for line in page.block.decode().split("\n")[:-1]:
                key, digest, _ = line.split("\t")
                key = _ESCAPED.sub(lambda match: _PLAIN[match[1]], key)
                self._order.append(key)
                yield key, uuid.UUID(digest).bytes
            if page.complete or page.last is None:
                self._position = {key: index for index, key in enumerate(self._order)}
                return
            after = page.last

    def load(self, uri: str) -> Document:
        """Return one row's document; the next rows in listing order are fetched along."""
        if uri not in self._ahead:
            start = self._position.get(uri)
            keys = [uri] if start is None else self._order[start : start + _AHEAD]
            self._ahead = dict.fromkeys(keys)
            self._ahead |= {row.key: row for row in self._source.fetch(self._stream, keys)}
        row = self._ahead.get(uri)
        where = f"{self._stream.name} {uri}"
        if row is None:
            raise errors.KnowledgeError("the row is gone", where=where, fix="synchronise again")
        parts = [row.values.get(column) or "" for column in self._text]
        text = "\n\n".join(part for part in parts if part.strip())
        if not text:
            raise errors.KnowledgeError("the row has no text", where=where)
        title = (row.values.get(self._title) if self._title else None) or where
        return Document(
            uri=uri,
            title=title,
            text=text,
            is_markdown=False,
            filters={
                name: canonical(name, kind, value, where=where)
                for name, kind in self._filters.items()
                if (value := row.values.get(name)) is not None
            },
        )
