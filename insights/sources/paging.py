"""Makes pages of a driver's rows: keys, hashes and cursors, as PostgreSQL's COPY reads them."""

from collections.abc import Sequence
from typing import Any

from insights import errors
from insights.ground import keys
from insights.model import Bookmark, Page, StreamSpec
from insights.sources import canonical, shape
from insights.sources.casts import Casts

_NULL = "\\N"  # as COPY reads it

_Raw = Any  # a driver's row: a sequence of texts, bytes and None


class Paging:
    """Pages of one stream.

    Args:
        spec: The stream.
        hasher: The keyed hash.
        former: That under the former key, while rows are still known by it.
    """

    def __init__(
        self, spec: StreamSpec, hasher: canonical.Hasher, former: canonical.Hasher | None
    ) -> None:
        self.casts = Casts()  # how the engine prints values, once there is a connection
        self._spec = spec
        self._hasher = hasher
        self._former = former
        self._where = shape.place(spec)
        self._names = spec.projection
        self._inputs = self._places(spec.inputs)
        self._former_inputs = self._places(spec.former_inputs or spec.inputs)
        self._own = [self._places(names) for names in spec.own]
        self._wide = former is not None or bool(spec.own) or spec.former_inputs is not None

    def page(self, rows: Sequence[_Raw]) -> Page:
        """Return the page of these rows: its key, cursor and projection each, and one more at most.

        Raises:
            errors.StreamError: If a key is NULL, or there twice with different inputs.
        """
        limit = self._spec.page_rows
        lines = self._lines_at_once(rows)
        if lines is None:
            lines = self._lines(rows)
        last = None
        if rows:
            at = rows[min(len(rows), limit) - 1]
            last = Bookmark(key=self.key(at), cursor=self.text(at[len(self._spec.key)]))
        return Page(
            rows=len(lines),
            block="".join(lines).encode(),
            last=last,
            complete=len(rows) <= limit,
            wide=self._wide,
        )

    def key(self, row: _Raw) -> tuple[str, ...]:
        """Return the parts of a row's key.

        Raises:
            errors.StreamError: If one is NULL, or no text.
        """
        parts: list[str] = []
        for number, name in enumerate(self._spec.key):
            part = self.text(row[number])
            if part is None:
                raise errors.StreamError(
                    f"key column {name} is NULL in a row, which could not be found again",
                    where=self._where,
                    fix=f'leave such rows out with `where = "{name} IS NOT NULL"`',
                )
            parts.append(part)
        return tuple(parts)

    def text(self, raw: object) -> str | None:
        """Return a key part or cursor as the server printed it.

        Raises:
            errors.StreamError: If it is no text.
        """
        if type(raw) is str and not self.casts.encodes:
            return raw
        value = self.casts.decoded(raw)
        if isinstance(value, (bytes, bytearray)):
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise errors.StreamError(
                    "a key or cursor holds bytes that are no text",
                    where=self._where,
                    fix="name another key, or read a query that leaves such rows out",
                ) from None
        return None if value is None else str(value)

    def clean(self, raw: object) -> tuple[str | None, tuple[str, ...]]:
        """Return a value as canonical text, and what had to be done to it."""
        return canonical.clean(self.casts.decoded(raw), self._spec.max_text_chars)

    def _lines_at_once(self, rows: Sequence[_Raw]) -> list[str] | None:
        """Return a plain page's lines; None for any doubt about any of its rows.

        Nearly all pages are plain: one key column, no key twice, all keys and cursors printable
        ASCII, all values clean. What can be asked of all rows together is not asked of each.
        """
        if len(self._spec.key) != 1 or self.casts.encodes or self._wide or self._inputs is not None:
            return None
        names = [row[0] for row in rows]
        cursors = [row[1] for row in rows]
        try:
            fields = "".join(names), "".join(filter(None, cursors))
        except TypeError:  # a driver's type
            return None
        if len(set(names)) < len(names) or not all(map(canonical.is_plain_field, fields)):
            return None
        page = rows[: self._spec.page_rows]
        hashes = self._hasher.hashes_if_clean([row[2:] for row in page], self._spec.max_text_chars)
        if hashes is None:
            return None
        return [
            f"{name}\t{hashed}\t{_NULL if cursor is None else cursor}\n"
            for name, hashed, cursor in zip(names, hashes, cursors, strict=False)
        ]

    def _lines(self, rows: Sequence[_Raw]) -> list[str]:
        limit, width = self._spec.page_rows, len(self._spec.key)
        lines: list[str] = []
        seen: dict[str, bytes] = {}
        for number, row in enumerate(rows):
            key = keys.join(self.key(row))
            digest = self._digest(row, self._hasher, self._inputs)
            if seen.setdefault(key, digest) != digest:
                raise errors.StreamError(
                    f"one key ({', '.join(self._spec.key)}) is there twice with different inputs",
                    where=self._where,
                    fix="name all columns that together tell rows apart, or read a query that does",
                )
            if number == limit:
                break  # the row past the page
            if len(seen) > len(lines):
                cursor = self.text(row[width])
                lines.append(
                    f"{canonical.copy_field(key, where=self._where)}\t{digest.hex()}\t"
                    f"{canonical.copy_field(cursor, where=self._where)}"
                    f"{self._others(row) if self._wide else ''}\n"
                )
        return lines

    def _others(self, row: _Raw) -> str:
        """Return the fields of a wide page: the former hash, the own ones, and the former own."""
        former = own = former_own = _NULL
        if self._former is not None or self._spec.former_inputs is not None:
            hasher = self._former or self._hasher
            former = self._digest(row, hasher, self._former_inputs).hex()
        if self._own:
            own = self._hashes(row, self._hasher)
            if self._former is not None:
                former_own = self._hashes(row, self._former)
        return f"\t{former}\t{own}\t{former_own}"

    def _hashes(self, row: _Raw, hasher: canonical.Hasher) -> str:
        found = (self._digest(row, hasher, places).hex() for places in self._own)
        return "{" + ",".join(found) + "}"

    def _places(self, names: Sequence[str]) -> tuple[int, ...] | None:
        """Return where columns stand among all that are read; None if they are all of them."""
        if tuple(names) == self._names:
            return None
        return tuple(self._names.index(name) for name in names)

    def _digest(self, row: _Raw, hasher: canonical.Hasher, places: tuple[int, ...] | None) -> bytes:
        """Return the hash of a page's row over some columns; most rows are clean as they come."""
        values = row[len(self._spec.key) + 1 :]
        if places is not None:
            values = [values[place] for place in places]
        digest: bytes | None = None
        if not self.casts.encodes:
            digest = hasher.digest_if_clean(values, self._spec.max_text_chars)
        return digest or hasher.digest([self.clean(raw)[0] for raw in values])
