"""Looking for a row's key and texts in every corner of the store: what is left of it."""

import json
import re
from collections.abc import Iterator, Sequence

import msgspec
from psycopg import sql as psql

from insights.store.postgres import Connection, Store
from insights.store.queries import load

_TELLING = re.compile(r"(?=.*[^\W\d_]).{6,}", re.DOTALL)  # six characters, one of them a letter


class Place(msgspec.Struct, frozen=True):
    """Where was looked for a row, and how often it was found there."""

    place: str
    found: int


def is_telling(key: str) -> bool:
    """Return whether a key can be looked for anywhere: `4711` stands in dates, numbers, hashes."""
    return _TELLING.fullmatch(key) is not None


class Proof:
    """Looks through the store; changes nothing.

    Args:
        store: The store, with a login that may read all of it: the daemon's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = load("forgetting")

    def look(
        self, stream: str, key: str, collections: Sequence[str], texts: Sequence[str]
    ) -> list[Place]:
        """Return every place, with how often the row was found in it.

        Args:
            stream: The row's stream.
            key: Its key: looked for wherever a key stands, and if it is telling in every column.
            collections: The collections whose documents the settings make of this stream.
            texts: Words of the row: looked for in every column, large or small letters.
        """
        values = {
            "stream": stream,
            "key": key,
            "parts": _array(key),
            "collections": list(collections),
        }
        needles = [*([key] if is_telling(key) else []), *texts]
        with self._store.transaction() as connection:
            rows = connection.execute(self._sql["proof_of_key"], values).fetchall()
            found = [Place(row.place, row.found) for row in rows]
            found += self._anywhere(connection, needles) if needles else []
        return found

    def _anywhere(self, connection: Connection, needles: Sequence[str]) -> Iterator[Place]:
        columns = connection.execute(self._sql["proof_columns"]).fetchall()
        patterns = [f"%{_literal(form)}%" for needle in needles for form in _forms(needle)]
        raw = [needle.encode() for needle in needles]
        for table in sorted({row.table for row in columns}):
            of = [row for row in columns if row.table == table]
            tests = [
                psql.SQL("t.{}::text ILIKE ANY (%(patterns)s)").format(psql.Identifier(row.column))
                for row in of
                if not row.is_bytes
            ]
            tests += [
                psql.SQL(
                    "EXISTS (SELECT FROM unnest(%(raw)s::bytea[]) AS n (part)"
                    " WHERE position(n.part IN t.{}) > 0)"
                ).format(psql.Identifier(row.column))
                for row in of
                if row.is_bytes
            ]
            look = psql.SQL("SELECT count(*) AS found FROM store.{} t WHERE {}").format(
                psql.Identifier(table), psql.SQL(" OR ").join(tests)
            )
            row = connection.execute(look, {"patterns": patterns, "raw": raw}).fetchone()
            names = ", ".join(one.column for one in of)
            yield Place(f"store.{table} ({names})", 0 if row is None else row.found)


def _array(key: str) -> str | None:
    """Return a key of several parts as JSON; None if it is one text."""
    try:
        return key if isinstance(msgspec.json.decode(key), list) else None
    except msgspec.DecodeError:
        return None


def _forms(needle: str) -> list[str]:
    """Return a text as it is, and as it stands inside JSON where that differs."""
    return list(dict.fromkeys((needle, json.dumps(needle, ensure_ascii=False)[1:-1])))


def _literal(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
