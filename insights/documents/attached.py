"""Rows whose attachment column has the text of its file: what a prompt reads."""

from collections.abc import Sequence

import msgspec

from insights import errors
from insights.documents.attachments import Attachments, File
from insights.model import Bookmark, Fingerprint, Page, Row, StreamSpec, Walk
from insights.ports import Source

_TRIES = 3  # readings of a row and its file that do not belong together, before it is given up


class AttachedRows:
    """Implements `ports.Rows` over those of a source.

    A file that cannot be used is none: its row goes on without it, with a note that says why. A row
    and a file that were read in two states are read again.

    Args:
        rows: The rows, each with the digest of its file.
        files: What reads the files.
    """

    def __init__(self, rows: Source, files: Attachments) -> None:
        self._rows = rows
        self._files = files

    def page(self, stream: StreamSpec, after: Bookmark | None, *, by: Walk) -> Page:
        """Return the next page of the source, for commands that look for keys."""
        return self._rows.page(stream, after, by=by)

    def fetch(self, stream: StreamSpec, keys: Sequence[str]) -> list[Row]:
        """Return rows by key with the texts of their files; see `ports.Rows`.

        Raises:
            errors.LoaderUnavailable: If what reads files cannot be started.
            errors.RowError: If a file changes while it is read, again and again.
        """
        found = self._rows.fetch(stream, keys)
        made = (self._whole(stream, row) for row in found)
        return [row for row in made if row is not None]

    def is_behind(
        self, identity: str | None, position: str | None, now: Fingerprint | None = None
    ) -> bool:
        """Compare the replica with what was recorded; see `ports.Rows`."""
        return self._rows.is_behind(identity, position, now)

    def _whole(self, stream: StreamSpec, row: Row) -> Row | None:
        """Return a row with its file's text; None if it is gone meanwhile."""
        column = str(stream.attachment)
        for _ in range(_TRIES):
            if row.attached is None:
                return row
            try:
                file = self._files.of(row)
            except errors.KnowledgeError as exc:
                return _noted(row, f"{column}: the file cannot be used: it {exc.what}")
            if file is not None and file.digest == row.attached:
                return _filled(row, column, file, stream.max_text_chars)
            again = self._rows.fetch(stream, [row.key])
            if not again:
                return None
            row = again[0]
        raise errors.RowError(
            "its file changes while it is read",
            where=f"stream {stream.name}",
            fix="wait until nobody writes it, then `insights dead retry`",
        )


def _noted(row: Row, *notes: str) -> Row:
    return msgspec.structs.replace(row, notes=(*row.notes, *notes))


def _filled(row: Row, column: str, file: File, most: int) -> Row:
    counts = dict(row.redactions)
    for kind, count in file.redactions.items():
        counts[kind] = counts.get(kind, 0) + count
    text = file.document.text.strip()
    notes = [f"{column}: {doubt}" for doubt in file.doubts]
    notes += [f"{column}: cut"] if len(text) > most else []
    filled = msgspec.structs.replace(
        row, values={**row.values, column: text[:most]}, redactions=counts
    )
    return _noted(filled, *notes)
