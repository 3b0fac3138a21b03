"""Reads one stream: pages of keys and hashes, rows by key, and how much lies past a cursor."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from insights import errors
from insights.governance import redact
from insights.governance.seal import Seal
from insights.ground import keys
from insights.model import (
    Attachment,
    Bookmark,
    Gap,
    Lateness,
    Page,
    Row,
    StreamShape,
    StreamSpec,
    Walk,
    Window,
)
from insights.sources import attachments, canonical, clock, cursors, shape
from insights.sources.kinds import as_single
from insights.sources.paging import Paging
from insights.sources.session import Session
from insights.sources.statements import Asked, Reading, Statements

_MOST_PARAMETERS = 900  # under SQLite's 999 and SQL Server's 2,100
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"  # what a value that nobody can read is hashed as

_READINGS: tuple[Reading, ...] = ("plain", "careful")

_Raw = Any  # a driver's row: a sequence of texts, bytes and None


_Build = Callable[[Statements, Reading], Asked]


class Stream:
    """One stream over one session.

    Args:
        session: The connection.
        spec: The stream.
        hasher: The keyed hash.
        former: That under the former key, while rows are still known by it.
        seal: Seals what the stream's `restored` placeholders stand for.
    """

    def __init__(
        self,
        session: Session,
        spec: StreamSpec,
        hasher: canonical.Hasher,
        former: canonical.Hasher | None = None,
        seal: Seal | None = None,
    ) -> None:
        self._session = session
        self._spec = spec
        self._hasher = hasher
        self._former = former
        self._seal = seal
        self._where = shape.place(spec)
        self._names = spec.projection
        self._paging = Paging(spec, hasher, former)
        self._built: Statements | None = None
        self._types: dict[str, str] = {}

    def page(self, after: Bookmark | None, *, by: Walk, within: Sequence[Gap] = ()) -> Page:
        """Return the next page; see `ports.Source`."""
        by = "key" if self._spec.cursor is None else by

        def build(statements: Statements, reading: Reading) -> Asked:
            return statements.page(after, by=by, within=within, reading=reading), {}

        try:
            rows = self._read(build)
        except errors.RowError:
            rows = self._salvaged(build)
        return self._paging.page(self._digested(rows))

    def fetch(self, row_keys: Sequence[str]) -> list[Row]:
        """Return rows by key, redacted; see `ports.Source`.

        Raises:
            errors.RowError: If the only row asked for cannot be read; of several, any may be it.
        """
        found: list[Row] = []
        for batch in self._batches(row_keys):
            rows = self._read(partial(_fetching, batch))
            found += self._rows(self._digested(rows))
        return found

    def attachment(self, row_key: str) -> Attachment:
        """Return the file in a row's attachment column; see `SourceClient.attachment`."""
        ((parts,),) = self._batches([row_key])
        return self._attachment(parts)

    def _attachment(self, parts: tuple[str, ...]) -> Attachment:
        with self._session.reading(self._where) as link:
            statements = self._statements(link)
            return attachments.read(link, statements, self._paging.casts, self._spec, parts)

    def _digested(self, rows: list[_Raw]) -> list[_Raw]:
        name = self._spec.attachment
        if name is None or name not in self._names or self._paging.casts.digests:
            return rows
        place = len(self._spec.key) + 1 + self._names.index(name)
        return attachments.digested(
            rows, place, self._paging.casts, lambda row: self._attachment(self._paging.key(row))
        )

    def _batches(self, row_keys: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
        """Yield the parts of keys, as many rows as one statement may name."""
        width = len(self._spec.key)
        try:
            parts = [keys.split(key, width) for key in row_keys]
        except ValueError as exc:
            raise errors.RowError(str(exc), where=self._where) from None
        step = _rows_at_once(width)
        for at in range(0, len(parts), step):
            yield parts[at : at + step]

    def reread(self, row_keys: Sequence[str]) -> Page:
        """Return at most a page of rows by key, as a page; see `ports.Source`."""
        (parts,) = self._batches(row_keys)
        build = partial(_fetching, parts)
        try:
            rows = self._read(build)
        except errors.RowError:
            rows = self._salvaged(build)
        shown = len(self._spec.key) + 1 + len(self._names)
        return self._paging.page(self._digested([row[:shown] for row in rows]))  # nothing hidden

    def window(self, low: str | None) -> Window:
        """Return what lies at and above a cursor."""
        with self._session.reading(self._where) as link:
            statements = self._statements(link)
            assert self._spec.cursor is not None  # noqa: S101 - only asked of streams with one
            now = clock.not_in_the_future(
                link.dialect.name,
                statements.column(self._spec.cursor),
                statements.kind(self._spec.cursor),
            )
            found = link.execute(statements.window(low, now)).one()
        rows, low_end, high, safe = (self._paging.text(part) for part in found)
        return Window(rows=int(rows or 0), low=low_end, high=high, safe_high=safe)

    def gaps(self, low: str, high: str, *, at: float, most: int) -> tuple[Gap, ...]:
        """Return identities that are missing between two, the latest ones first."""
        with self._session.reading(self._where) as link:
            found: Sequence[Any] = link.execute(self._statements(link).gaps(low, high, most)).all()
        ends = [(self._paging.text(row[0]) or "", self._paging.text(row[1]) or "") for row in found]
        return tuple(Gap(at=at, low=before, high=after) for before, after in ends)

    def lateness(self, row_keys: Sequence[str], below: str | None) -> tuple[Lateness, ...]:
        """Tell of rows how late their cursors are; those that are gone are left out."""
        name = self._spec.cursor or ""
        found: list[Lateness] = []
        for batch in self._batches(row_keys):
            with self._session.reading(self._where) as link:
                statements = self._statements(link)
                age = clock.age(link.dialect.name, statements.column(name), statements.kind(name))
                rows: Sequence[Any] = link.execute(statements.lateness(batch, below, age)).all()
            found += [
                Lateness(below=bool(int(is_below)), age_s=None if old is None else float(old))
                for is_below, old in rows
            ]
        return tuple(found)

    def inspect(self) -> StreamShape:
        """Look at the stream in the database anew; see `ports.Source`."""
        self._built = None
        with self._session.reading(self._where) as link:
            statements = self._statements(link)
            cursors.refuse(link, self._spec, statements)
            cursors.refuse_changed(link, self._spec, statements, self._paging.casts)
        try:
            with contextlib.suppress(errors.RowError), self._session.reading(self._where) as link:
                link.execute(self._statements(link).sample()).first()  # may we read every column?
        except errors.StreamError:
            self._explain_each()
            raise
        with self._session.reading(self._where) as link:
            source = shape.reflected(link, self._spec)
            return shape.checked(self._session, link, self._spec, source)

    def _statements(self, link: sa.Connection) -> Statements:
        if self._built is None:
            source = shape.reflected(link, self._spec)
            self._paging.casts = self._session.casts
            self._built = Statements(self._spec, source, self._paging.casts)
            self._types = shape.types(source, self._spec)
        return self._built

    def _read(self, build: _Build) -> list[_Raw]:
        """Run a statement; once more with every input as bytes, if a value cannot be decoded.

        Raises:
            errors.RowError: If a value cannot be read either way.
            errors.StreamError: If a column is gone, named.
        """
        why = "a value cannot be decoded"
        for reading in _READINGS:
            try:
                with self._session.reading(self._where) as link:
                    statement, values = build(self._statements(link), reading)
                    # Straight from the driver: every value is text already, or bytes on purpose.
                    cursor = link.execute(statement, values).cursor
                    assert cursor is not None  # noqa: S101 - a SELECT has one
                    return list(cursor.fetchall())
            except UnicodeError:
                self._session.reset()  # the driver is in the middle of a result
            except errors.RowError as exc:
                why = exc.what
                self._session.reset()
            except errors.StreamError:
                self._explain()
                raise
        raise errors.RowError(
            why,
            where=self._where,
            fix="read the row by hand; leave the column out, or repair the value",
        )

    def _salvaged(self, build: _Build) -> list[_Raw]:
        """Read keys and cursors alone, then the rows by halves, so that one bad row is alone.

        The bad row keeps its key: it becomes work, fails as `RowError` when it is fetched by
        itself, and ends as a dead letter with its reason.
        """
        head = len(self._spec.key) + 1
        bare = [tuple(row) for row in self._read(lambda statements, _: build(statements, "bare"))]
        whole: dict[tuple[Any, ...], _Raw] = {}

        def read(parts: list[_Raw]) -> None:
            texts = [tuple(self._paging.key(part)) for part in parts]
            try:
                rows = self._read(partial(_fetching, texts))
            except errors.RowError:
                if len(parts) > 1:
                    read(parts[: len(parts) // 2])
                    read(parts[len(parts) // 2 :])
            else:
                whole.update({tuple(row[:head]): row[: head + len(self._names)] for row in rows})

        step = _rows_at_once(len(self._spec.key))
        for at in range(0, len(bare), step):
            read(bare[at : at + step])
        unreadable = (_UNREADABLE,) * len(self._names)
        return [whole.get(row, (*row, *unreadable)) for row in bare]

    def _explain(self) -> None:
        """Raise the column that is gone or has another type, if that is why a statement failed."""
        known, self._built = self._types, None
        with self._session.reading(self._where) as link:
            source = shape.reflected(link, self._spec)
        now = shape.types(source, self._spec)
        for name, type_ in known.items():
            if now[name] != type_:
                raise errors.StreamError(
                    f"column {name} has changed from {type_} to {now[name]}",
                    where=self._where,
                    fix=f"check what reads it, then `insights resume {self._spec.name}`",
                )

    def _explain_each(self) -> None:
        """Raise the column that cannot be read as text, if one alone is why a statement failed."""
        if self._built is None:
            return
        with self._session.reading(self._where) as link:
            link.execute(self._built.bare_sample()).first()  # a right on it, or the whole table
        for name, statement in self._built.each():
            try:
                with contextlib.suppress(errors.RowError), self._session.reading() as link:
                    link.execute(statement).first()
            except errors.StreamError as exc:
                raise errors.StreamError(
                    f"column {name} cannot be read as text: {exc.what}",
                    where=self._where,
                    fix="read a query that casts it, such as ST_AsText(column) for a geometry or "
                    "CAST(column AS CHAR(100)); or leave it out of the prompt",
                ) from None

    def _rows(self, rows: list[_Raw]) -> Iterator[Row]:
        spec = self._spec
        head = len(spec.key) + 1
        names = [*self._names, *self._hidden()]
        singles = self._built.singles() if self._built else []
        for row in rows:
            values: dict[str, str | None] = {}
            notes: list[str] = []
            for name, raw in zip(names, row[head:], strict=True):
                values[name], found = self._paging.clean(raw)
                notes += [f"{name}: {note}" for note in found]
            inputs = [values[name] for name in spec.inputs]
            attached = (values.get(spec.attachment or "") or "").rpartition(":")[2]
            if spec.attachment in values:
                values[spec.attachment] = None
            for name in singles:  # as people see it; its hash is that of the double
                values[name] = as_single(values[name])
            stood: dict[str, str] | None = {} if spec.restored else None
            redacted, counts = redact.row(values, spec.redaction, stood)
            key = keys.join(self._paging.key(row))
            sealed = self._seal and stood and self._seal.sealed(stood, key, spec.restored)
            yield Row(
                key=key,
                input_hash=self._hasher.digest(inputs),
                cursor=self._paging.text(row[head - 1]),
                values={name: redacted[name] for name in spec.inputs},
                redactions=counts,
                notes=tuple(notes),
                former_hash=None if self._former is None else self._former.digest(inputs),
                sealed=sealed or {},
                attached=attached or None,
            )

    def _hidden(self) -> tuple[str, ...]:
        assert self._built is not None  # noqa: S101 - rows have been read with it
        return self._built.hidden


def _rows_at_once(width: int) -> int:
    """Return how many rows one statement may name by keys of so many columns."""
    return max(1, _MOST_PARAMETERS // width)


def _fetching(parts: Sequence[tuple[str, ...]], build: Statements, reading: Reading) -> Asked:
    return build.fetched(parts, reading, most=_rows_at_once(len(parts[0])))
