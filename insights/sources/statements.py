"""The statements that read one stream, built with SQLAlchemy Core on its reflected columns.

    first page   WHERE c >= :w
    next pages   WHERE c >= :c AND (c > :c OR (c = :c AND (k1 > :k1 OR (k1 = :k1 AND k2 > :k2))))
    ORDER BY c, k1, k2   limited to n + 1 rows

The redundant `>=` keeps the cursor's index in use. The row past the page tells whether another page
follows, and whether a key is there twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from insights.model import Bookmark, Gap, StreamSpec, Walk
from insights.odbc.types import OfDomain
from insights.sources.casts import Casts
from insights.sources.kinds import Column, Kind, is_single, kind_of

Selected = sa.Select[Any]
# A statement and what it is given by name.
Asked = tuple[Selected, Mapping[str, object]]
Condition = Column | sa.TextClause
# How inputs are read: as text; so that no invalid byte hurts; not at all.
Reading = Literal["plain", "careful", "bare"]
Source = sa.FromClause
_SIZES = (1, 2, 4, 8, 16)  # rows that a kept statement names; above them whole steps
_STEP = 32


class Statements:
    """Builds what reads one stream; needs no connection.

    Args:
        stream: The stream.
        source: Its reflected table, or its query as a subquery.
        casts: The engine's casts.
        kinds: Kinds that the database knows better than SQLAlchemy's types.
    """

    def __init__(
        self, stream: StreamSpec, source: Source, casts: Casts, kinds: dict[str, Kind] | None = None
    ) -> None:
        self._stream = stream
        self._source = source
        self._casts = casts
        self._kinds = kinds or {}
        self._where: list[Condition] = [_fragment(stream.where)] if stream.where else []
        if stream.before is not None and stream.cursor is not None:
            older = self._ordered(stream.cursor) < self._bound(stream.cursor, stream.before)
            self._where.append(sa.or_(older, source.c[stream.cursor].is_(None)))
        self._pending: list[Condition] = [_fragment(stream.pending)] if stream.pending else []
        hidden = [*stream.extra, *stream.redaction.columns]
        self._kept: dict[tuple[int, Reading], Selected] = {}
        self.inputs = stream.projection
        self.hidden = tuple(dict.fromkeys(name for name in hidden if name not in self.inputs))

    def page(
        self,
        after: Bookmark | None,
        *,
        by: Walk,
        within: Sequence[Gap] = (),
        reading: Reading = "plain",
    ) -> Selected:
        """Return the statement of one keyset page, one row more than a page has.

        `within` narrows it to cursors between the ends of gaps; `by="null"` to rows without one.
        """
        cursor = self._stream.cursor if by == "cursor" else None
        names = [*([cursor] if cursor else []), *self._stream.key]
        conditions = [*self._where, *self._pending]
        if by == "null" and self._stream.cursor:
            conditions.append(self._source.c[self._stream.cursor].is_(None))
        if cursor and within:
            at = self._ordered(cursor)
            conditions.append(
                sa.or_(
                    *(
                        sa.and_(
                            at > self._bound(cursor, gap.low), at < self._bound(cursor, gap.high)
                        )
                        for gap in within
                    )
                )
            )
        if cursor and (after is None or after.cursor is None):
            conditions.append(self._source.c[cursor].is_not(None))
        if after is not None:
            texts = [*([after.cursor] if cursor else []), *after.key]
            given = [text for text in texts if text is not None]
            conditions += self._past(names[: len(given)], given, closed=len(given) < len(names))
        return (
            self._select(self.inputs, reading)
            .where(*conditions)
            .order_by(*(self._sorted(name) for name in names))
            .limit(self._stream.page_rows + 1)
        )

    def sample(self) -> Selected:
        """Return the statement that reads every column of any row."""
        return self._select([*self.inputs, *self.hidden], "plain").where(*self._where).limit(1)

    def bare_sample(self) -> Selected:
        """Return the statement that reads the key and the cursor of any row."""
        return self._select((), "bare").where(*self._where).limit(1)

    def each(self) -> Iterator[tuple[str, Selected]]:
        """Yield, for each input by name, the statement that reads it alone of any row."""
        for name in (*self.inputs, *self.hidden):
            yield name, self._select([name], "plain").where(*self._where).limit(1)

    def gaps(self, low: str, high: str, most: int) -> Selected:
        """Return the statement that finds identities missing between two, the latest first.

        The stream's own conditions do not matter: a row that they leave out is none that is late.
        """
        name = self._stream.cursor or ""
        column = self._source.c[name]
        before = sa.func.lag(column).over(order_by=column).label("low")
        steps = (
            sa.select(before, column.label("high"))
            .where(column >= self._bound(name, low), column <= self._bound(name, high))
            .subquery("steps")
        )
        ends = [self._text_of(name, end) for end in (steps.c.low, steps.c.high)]
        return (
            sa.select(*ends)
            .where(steps.c.high - steps.c.low > sa.literal_column("1"))
            .order_by(steps.c.high.desc())
            .limit(most)
        )

    def lateness(
        self, keys: Sequence[tuple[str, ...]], below: str | None, age: Column | None
    ) -> Selected:
        """Return the statement that tells of rows, by key, how late their cursors are."""
        name = self._stream.cursor or ""
        is_below: Column = sa.literal_column("0")
        if below is not None:
            yes: Column = sa.literal_column("1")
            condition = self._ordered(name) < self._bound(name, below)
            is_below = sa.case((condition, yes), else_=is_below)
        return (
            sa.select(is_below, sa.null() if age is None else age)
            .select_from(self._source)
            .where(*self._where, self._source.c[name].is_not(None), self._found(keys))
        )

    def fetch(self, keys: Sequence[tuple[str, ...]], reading: Reading = "plain") -> Selected:
        """Return the statement that reads rows by key, hidden columns last."""
        return self._select([*self.inputs, *self.hidden], reading).where(
            *self._where, self._found(keys)
        )

    def fetched(
        self, keys: Sequence[tuple[str, ...]], reading: Reading = "plain", *, most: int
    ) -> Asked:
        """Return `fetch` with its values apart: a statement that was built once for so many rows.

        Some numbers of rows alone have one, of `most` at most; what is missing to one of them is
        the last row once more. SQLAlchemy gives a text another type where it is not ASCII, for
        which engines may have one of their own: such keys get a statement of their own.
        """
        if not all(part.isascii() for parts in keys for part in parts):
            return self.fetch(keys, reading), {}
        size = next((size for size in _SIZES if size >= len(keys)), -(-len(keys) // _STEP) * _STEP)
        size = max(len(keys), min(size, most))
        named = [*keys, *[keys[-1]] * (size - len(keys))]
        known = size, reading
        if known not in self._kept:
            self._kept[known] = self._select([*self.inputs, *self.hidden], reading).where(
                *self._where, self._found(named, named=True)
            )
        kinds = [self.kind(name) for name in self._stream.key]
        return self._kept[known], {
            f"k{at}_{place}": self._casts.bindable(part, kind)
            for at, parts in enumerate(named)
            for place, (part, kind) in enumerate(zip(parts, kinds, strict=True))
        }

    def attachment(self, parts: tuple[str, ...]) -> Selected:
        """Return the statement that reads a row's file: its size, itself, the personal columns.

        A file that is too large stays in the database. A column that a query made has no type: the
        engine judges it.
        """
        stream = self._stream
        column = self._source.c[stream.attachment or ""]
        size = self._casts.size(column)
        most: Column = sa.literal_column(str(stream.attachment_bytes))
        whole = sa.case((size <= most, self._casts.contents(column)), else_=sa.null())
        personal = (
            self._casts.careful(self._source.c[name], self.kind(name), stream.max_text_chars)
            for name in stream.redaction.columns
        )
        labelled = [part.label(f"v{at}") for at, part in enumerate((size, whole, *personal))]
        return (
            sa.select(*labelled).select_from(self._source).where(*self._where, self._found([parts]))
        )

    def window(self, low: str | None, now: Column | None) -> Selected:
        """Return the statement that counts what lies at and above a cursor, and its bounds.

        `now` is the condition that a cursor is not in the future, None where it is no time.
        """
        name = self._stream.cursor or ""
        column = self._source.c[name]
        bounded = self._casts.bounded(column, self.kind(name))
        high = sa.func.max(bounded)
        safe = high if now is None else sa.func.max(sa.case((now, bounded)))
        bounds = [self._text_of(name, bound) for bound in (sa.func.min(bounded), high, safe)]
        columns: list[Column] = [sa.func.count(), *bounds]
        conditions = [*self._where, column.is_not(None)]
        if low is not None:
            conditions.append(self._ordered(name) >= self._bound(name, low))
        return sa.select(*columns).select_from(self._source).where(*conditions)

    def may_be_cursor(self) -> bool:
        """Tell whether the stream's cursor is of a type in whose order new values come last."""
        name = self._stream.cursor or ""
        return self._casts.may_be_cursor(self._source.c[name], self.kind(name))

    def round_trip(self, name: str) -> Selected:
        """Return the statement of some texts of a column, the largest values first."""
        column = self._source.c[name]
        one = sa.select(self._text_of(name, column)).where(column.is_not(None))
        return one.order_by(self._sorted(name).desc()).limit(20)

    def found_again(self, name: str, text: str) -> Selected:
        """Return the statement that finds a row by the text of a column."""
        return (
            sa.select(sa.literal_column("1"))
            .select_from(self._source)
            .where(self._ordered(name) == self._bound(name, text))
            .limit(1)
        )

    def row_beyond(self, rows: int) -> Selected:
        """Return the statement that looks for a row past the first so many, in no order."""
        one: Selected = sa.select(sa.literal_column("1")).select_from(self._source)
        return (
            one.order_by(*(self._sorted(name) for name in self._stream.key)).limit(1).offset(rows)
        )

    def singles(self) -> list[str]:
        """Return the columns that are read as numbers of single precision."""
        names = (*self.inputs, *self.hidden)
        return [name for name in names if is_single(self._source.c[name].type)]

    def nullable(self) -> list[str]:
        """Return the columns of the key that may be NULL."""
        return [
            name for name in self._stream.key if getattr(self._source.c[name], "nullable", True)
        ]

    def null_key(self) -> Selected | None:
        """Return the statement that looks for a row without a whole key; None if none can be."""
        nullable = [self._source.c[name] for name in self.nullable()]
        if not nullable:
            return None
        return (
            sa.select(sa.literal_column("1"))
            .select_from(self._source)
            .where(*self._where, sa.or_(*(column.is_(None) for column in nullable)))
            .limit(1)
        )

    def duplicate_key(self) -> Selected:
        """Return the statement that looks for a key that is there twice."""
        columns = [self._source.c[name] for name in self._stream.key]
        return (
            sa.select(*columns)
            .where(*self._where)
            .group_by(*columns)
            .having(sa.func.count() > sa.literal_column("1"))
            .limit(1)
        )

    def kind(self, name: str) -> Kind:
        """Return what a column is."""
        return self._kinds.get(name) or kind_of(self._source.c[name].type)

    def column(self, name: str) -> Column:
        """Return a reflected column."""
        return self._source.c[name]

    def _select(self, names: Sequence[str], reading: Reading) -> Selected:
        """Select the key, the cursor (or NULL) and then the named columns, all as text."""
        cursor = self._stream.cursor
        read = self._casts.careful if reading == "careful" else self._casts.readable
        width = self._stream.max_text_chars
        columns = [
            *(self._text_of(name, self._source.c[name]) for name in self._stream.key),
            self._text_of(cursor, self._source.c[cursor]) if cursor else sa.null(),
            *(
                self._casts.digest(self._source.c[name])
                if name == self._stream.attachment
                else read(self._source.c[name], self.kind(name), width)
                for name in (() if reading == "bare" else names)
            ),
        ]
        labelled = [column.label(f"v{number}") for number, column in enumerate(columns)]
        return sa.select(*labelled).select_from(self._source)

    def _past(self, names: Sequence[str], texts: Sequence[str], *, closed: bool) -> list[Column]:
        """Return the conditions of rows past (closed: at or past) a bookmark."""
        first = self._beyond(names[0], texts[0], closed=True)
        if closed and len(names) == 1:
            return [first]
        beyond: Column | None = None
        for name, text in reversed(list(zip(names, texts, strict=True))):
            column, value = self._ordered(name), self._bound(name, text)
            here = self._beyond(name, text, closed=False)
            beyond = here if beyond is None else sa.or_(here, sa.and_(column == value, beyond))
        return [first] if beyond is None else [first, beyond]

    def _beyond(self, name: str, text: str, *, closed: bool) -> Column:
        """Return the condition of values past (closed: at or past) one, in the column's order."""
        column, value = self._ordered(name), self._bound(name, text)
        members = self._casts.members(self._source.c[name])
        if members is None:
            return column >= value if closed else column > value
        at = members.index(text) + (not closed) if text in members else 0
        return column.in_([self._bound(name, member) for member in members[at:]])

    def _found(self, keys: Sequence[tuple[str, ...]], *, named: bool = False) -> Column:
        """Return the condition of rows with these keys; `named` values can be given anew."""
        names = self._stream.key
        values = [
            [
                self._bound(name, part, f"k{at}_{place}" if named else None)
                for place, (name, part) in enumerate(zip(names, parts, strict=True))
            ]
            for at, parts in enumerate(keys)
        ]
        columns = [self._ordered(name) for name in names]
        if len(names) == 1:
            return columns[0].in_([value for (value,) in values])
        equal = (zip(columns, parts, strict=True) for parts in values)
        return sa.or_(*(sa.and_(*(column == value for column, value in one)) for one in equal))

    def _sorted(self, name: str) -> Column:
        column = self._source.c[name]  # a domain's index is in the order of the bare column
        return column if isinstance(column.type, OfDomain) else self._ordered(name)

    def _ordered(self, name: str) -> Column:
        return self._casts.ordered(self._source.c[name], self.kind(name))

    def _text_of(self, name: str, column: Column) -> Column:
        return self._casts.exact(column, self.kind(name))

    def _bound(self, name: str, text: str, known: str | None = None) -> Column:
        kind = self.kind(name)
        value: sa.BindParameter[Any] = sa.bindparam(
            known, self._casts.bindable(text, kind), unique=known is None
        )
        return self._casts.bound(value, self._source.c[name], kind)


def verbatim(sql: str) -> str:
    """Return SQL for `sqlalchemy.text`, where a `:` would start a parameter; ours has none."""
    return sql.replace(":", "\\:")


def _fragment(condition: str) -> sa.TextClause:
    """Return a condition of the settings as it stands: the DBA's own SQL."""
    end = "\n" if "--" in condition or "#" in condition else ""  # it may end in a comment
    return sa.text(f"({verbatim(condition)}{end})")
