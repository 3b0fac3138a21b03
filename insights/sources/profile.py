"""A table's columns, keys and a sample of its rows, for `insights init`; only counts leave it."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa

from insights import errors
from insights.governance import redact
from insights.model import ColumnProfile, StreamSpec, TableProfile
from insights.sources import shape
from insights.sources.kinds import kind_of
from insights.sources.session import Session
from insights.sources.statements import Statements

COUNTED = 1_000_000  # rows that are counted at most
_END = 200  # rows of the sample from each end of the key
_CHARS = 2_000  # of a text of the sample
_PROVEN_BELOW = 200_000  # rows of a view whose keys are looked for in all of it
_WIDEST = 3  # columns of a key that is looked for
_TRIED = 12  # columns that a key is looked for in
_REDACTED = 120  # values of a column that redaction looks at
_MOST_VALUES = 100  # of a column that repeats them, such as what people decided
_VALUE_CHARS = 60

# A time as text that sorts as time: ISO 8601, or the same without its separators.
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?"
)
_PERSON = re.compile(r"[A-ZÀ-Þ][\w'\u2019.-]*(?: (?:[a-z]{2,3} )?[A-ZÀ-Þ][\w'\u2019.-]*){1,2}")
_RowTexts = dict[str, str | None]


def profile(session: Session, name: str) -> TableProfile:
    """Look at `table` or `schema.table`: its catalogue, its size, and rows from both its ends.

    Raises:
        errors.StreamError: If there is no such table, or our login may not read it.
    """
    place = f"table {name}"
    with session.reading(place) as link:
        schema, table = shape.parted(link, name)
        stream = StreamSpec(name="init", source="", key=(), inputs=(), table=table, schema=schema)
        try:
            source = shape.reflected(link, stream)
        except errors.StreamError as exc:
            exc.where = place
            raise
        unique = _unique(link, stream, source)
        view = shape.is_view(link, stream)
        indexed = shape.leading(link, stream)
        by_itself = shape.set_by_itself(link, stream)
    table_ = _Table(session, source, place)
    rows = table_.sample(next(iter(unique), ()))
    count = table_.count()
    columns = []
    for column in source.c:
        is_key = (column.name,) in unique
        counts = kind_of(column.type) == "integer"
        columns.append(
            ColumnProfile(
                name=str(column.name),  # SQLAlchemy's names are texts of its own
                type=shape.type_text(column.type),
                kind=kind_of(column.type),
                nullable=bool(getattr(column, "nullable", True)),
                automatic="change"
                if column.name in by_itself
                else ("identity" if is_key and counts else ""),
                indexed=column.name in indexed,
                unique=is_key,
                **_told([row[column.name] for row in rows], ordered=bool(unique)),
            )
        )
    return TableProfile(
        columns=tuple(columns),
        unique=tuple(tuple(map(str, key)) for key in unique),
        proven=() if unique else tuple(table_.proven(rows, count)),
        rows=count,
        counted=COUNTED,
        sampled=len(rows),
        dialect=session.dialect,
        is_view=view,
        proven_in_all=count <= _PROVEN_BELOW,
        schema=schema or "",
        table=table,
    )


def _unique(
    link: sa.Connection, stream: StreamSpec, source: sa.FromClause
) -> list[tuple[str, ...]]:
    """Return the table's unique keys, the primary one first; others only if they hold no NULL."""
    primary = shape.primary_key(link, stream)
    return list(
        dict.fromkeys(
            key
            for key in shape.ordered_keys(link, stream)
            if key == primary
            or not any(
                getattr(source.c[name], "nullable", True) for name in key if name in source.c
            )
        )
    )


class _Table:
    """One table's rows: counted, sampled, and looked through for a key."""

    def __init__(self, session: Session, source: sa.FromClause, place: str) -> None:
        self._session = session
        self._source = source
        self._place = place
        self._unreadable: set[str] | None = None  # not looked for

    def count(self) -> int:
        """Count the rows, as far as is worth it."""
        one: sa.Label[int] = sa.literal_column("1").label("one")
        some = sa.select(one).select_from(self._source).limit(COUNTED + 1).subquery()
        with self._session.reading(self._place) as link:
            return int(link.execute(sa.select(sa.func.count()).select_from(some)).scalar() or 0)

    def sample(self, order: Sequence[str]) -> list[_RowTexts]:
        """Return rows from both ends of a key, in its order; any rows where there is none."""
        columns = [self._source.c[name] for name in order]
        first = self._read([column.asc() for column in columns])
        if not columns or len(first) < _END:
            return first
        last = self._read([column.desc() for column in columns])
        seen = {tuple(row[name] for name in order) for row in first}
        return first + [
            row for row in reversed(last) if tuple(row[name] for name in order) not in seen
        ]

    def _read(self, order: Sequence[Any]) -> list[_RowTexts]:
        """Read some rows as text; a column that cannot be read is left empty."""
        casts = self._session.casts
        careful = (casts.readable, casts.careful)
        for read in careful:
            columns = [
                self._read_by(read, column).label(f"v{at}")
                for at, column in enumerate(self._source.c)
            ]
            statement = sa.select(*columns).select_from(self._source)
            statement = statement.order_by(*order).limit(_END if order else 2 * _END)
            try:
                with self._session.reading(self._place) as link:
                    cursor = link.execute(statement).cursor
                    assert cursor is not None  # noqa: S101 - a SELECT has one
                    found = cursor.fetchall()
            except (UnicodeError, errors.RowError):
                self._session.reset()  # the driver is in the middle of a result
                continue
            except errors.StreamError:
                if self._unreadable is not None or not self._some_unreadable():
                    raise
                return self._read(order)
            names = list(map(str, self._source.c.keys()))
            return [dict(zip(names, map(self._text, row), strict=True)) for row in found]
        raise errors.StreamError("its rows cannot be read as text", where=self._place)

    def _read_by(self, read: Any, column: Any) -> Any:  # noqa: ANN401 - SQLAlchemy's, and casts'
        if self._unreadable is not None and column.name in self._unreadable:
            return sa.null()
        return read(column, kind_of(column.type), _CHARS)

    def _some_unreadable(self) -> bool:
        """Find the columns that the server gives no text of, such as MariaDB's geometries."""
        self._unreadable = set()
        for column in self._source.c:
            read = self._session.casts.readable(column, kind_of(column.type), _CHARS)
            statement = sa.select(read.label("v")).select_from(self._source).limit(1)
            try:
                with self._session.reading(self._place) as link:
                    link.execute(statement).first()
            except (UnicodeError, errors.RowError):
                self._session.reset()
            except errors.StreamError:
                self._unreadable.add(column.name)
        return bool(self._unreadable)

    def _text(self, value: object) -> str | None:
        value = self._session.casts.decoded(value)
        if isinstance(value, bytes | bytearray):
            try:
                return value.decode()
            except UnicodeDecodeError:
                return f"<{len(value)} bytes>"
        return None if value is None else str(value)

    def proven(self, rows: Sequence[_RowTexts], count: int) -> Iterator[tuple[str, ...]]:
        """Yield the fewest columns that tell all rows apart: in the sample, then in the table."""
        if not rows:
            return
        whole = [name for name in rows[0] if all(row[name] is not None for row in rows)]
        likely = sorted(
            (name for name in whole if _fits_a_key(self._source.c[name])),
            key=lambda name: (not _IDENTIFIER.search(name), whole.index(name)),
        )[:_TRIED]
        for width in range(1, _WIDEST + 1):
            found = [
                columns
                for columns in itertools.combinations(likely, width)
                if len({tuple(row[name] for name in columns) for row in rows}) == len(rows)
            ]
            kept = [columns for columns in found[:_TRIED] if self._tells_apart(columns, count)]
            yield from kept
            if kept:
                return

    def _tells_apart(self, columns: tuple[str, ...], count: int) -> bool:
        if count > _PROVEN_BELOW:
            return True  # `doctor` and `run` look at all of it
        spec = StreamSpec(name="init", source="", key=columns, inputs=())
        statements = Statements(spec, self._source, self._session.casts)
        null = statements.null_key()
        with self._session.reading(self._place) as link:
            return link.execute(statements.duplicate_key()).first() is None and (
                null is None or link.execute(null).first() is None
            )


_IDENTIFIER = re.compile(
    r"(?:^|_)(?i:id|no|nr|num|number|key|code|guid|uuid)$|[a-z](?:ID|Id|No|Nr)$"
)
_NO_KEYS = ("float", "binary", "boolean", "other")


def _fits_a_key(column: sa.ColumnElement[Any]) -> bool:
    return kind_of(column.type) not in _NO_KEYS


def _told(values: Sequence[str | None], *, ordered: bool) -> dict[str, Any]:
    """Return what the values of a column tell, as fields of its profile."""
    filled = [value for value in values if value is not None and value.strip()]
    some = filled[: _REDACTED // 2] + filled[-(_REDACTED // 2) :]
    kinds: Counter[str] = Counter()
    for value in dict.fromkeys(some):
        kinds.update({found.kind for found in redact.finds(value)})
    return {
        "filled": len(filled),
        "distinct": len(set(filled)),
        "words": sum(len(value.split()) for value in filled) / max(1, len(filled)),
        "moments": sum(_MOMENT.fullmatch(value) is not None for value in filled),
        "rising": _rising(filled) if ordered else None,
        "personal": dict(kinds),
        "people": sum(_PERSON.fullmatch(value) is not None for value in filled),
        "values": _closed(filled),
    }


def _closed(filled: Sequence[str]) -> tuple[str, ...]:
    """Return the different values of a column that repeats few short ones, the frequent first."""
    counts = Counter(filled)
    if not 1 < len(counts) <= min(_MOST_VALUES, len(filled) // 2):
        return ()
    if max(map(len, counts)) > _VALUE_CHARS:
        return ()
    return tuple(value for value, _ in counts.most_common())


def _rising(values: Sequence[str]) -> float | None:
    """Return the share of neighbours that do not fall; None for values that are not compared."""
    if len(values) < 2:  # noqa: PLR2004 - neighbours
        return None
    comparable: list[Decimal] | list[str]
    try:
        comparable = [Decimal(value) for value in values]
    except InvalidOperation:
        if not all(map(_MOMENT.fullmatch, values)):
            return None
        comparable = list(values)
    else:
        if any(map(Decimal.is_nan, comparable)):  # no number, and neither above nor below one
            return None
    pairs: Iterator[tuple[Any, Any]] = itertools.pairwise(comparable)
    return sum(bool(before <= after) for before, after in pairs) / (len(comparable) - 1)
