"""Files in a binary column: read one at a time, and known by digests."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from insights import errors
from insights.model import Attachment, StreamSpec
from insights.sources import canonical
from insights.sources.casts import Casts
from insights.sources.statements import Statements

_LACKING = "raise its max_allowed_packet, or give the collection a smaller attachment_mib"


def read(
    link: sa.Connection,
    statements: Statements,
    casts: Casts,
    stream: StreamSpec,
    parts: tuple[str, ...],
) -> Attachment:
    """Return the file of the row with this key, and the row's personal columns.

    Raises:
        errors.RowError: If the row is gone, or its file does not come whole.
    """
    where = f"stream {stream.name}"
    cursor = link.execute(statements.attachment(parts)).cursor
    assert cursor is not None  # noqa: S101 - a SELECT has one
    row: Any = cursor.fetchone()
    if row is None:
        raise errors.RowError("the row is gone", where=where)
    size = None if row[0] is None else int(row[0])
    data = None if row[1] is None else casts.raw(row[1])
    if size is not None and size <= stream.attachment_bytes and len(data or b"") != size:
        raise errors.RowError(
            f"the database does not send all {size:,} bytes of a file", where=where, fix=_LACKING
        )
    texts = (canonical.clean(casts.decoded(raw), stream.max_text_chars)[0] for raw in row[2:])
    private = dict(zip(stream.redaction.columns, texts, strict=True))
    return Attachment(data=data, size=size, private=private)


def digested(
    rows: Sequence[Any], place: int, casts: Casts, read_one: Callable[[Any], Attachment]
) -> list[Any]:
    """Return rows with a digest at `place`, for engines without one; one file is held at a time.

    That of a file that is too large is over its size alone: nobody will read it.
    """
    made = [list(row) for row in rows]
    for row in made:
        found = read_one(row)
        if found.size is not None:
            told = hashlib.sha256(found.data or str(found.size).encode()).hexdigest()
            row[place] = f"={told}" if casts.encodes else told
    return made
